/**
 * Short questions to a PostgreSQL server, each over a connection of its own.
 */
import { Client } from 'pg';

export function urlOf(port: number, password: string, database: string): string {
  return `postgres://postgres:${password}@127.0.0.1:${port}/${database}`;
}

export async function versionOf(url: string): Promise<string> {
  const { rows } = await withClient(url, (client) => client.query<{ server_version: string }>('SHOW server_version'));
  return /^\S+/.exec(rows[0]?.server_version ?? '')?.[0] ?? '';
}

export async function answers(url: string): Promise<boolean> {
  return withClient(url, async () => true).catch(() => false);
}

export async function withClient<T>(url: string, use: (client: Client) => Promise<T>): Promise<T> {
  const client = new Client({ connectionString: url });
  client.on('error', () => {});
  await client.connect();
  try {
    return await use(client);
  } finally {
    await client.end();
  }
}
