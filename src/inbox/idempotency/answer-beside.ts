/**
 * Reads a stored answer on a separate connection, for a transaction whose snapshot is older than the answer.
 */
import pg, { type ClientConfig } from 'pg';
import type { TransactionHandle } from '../../postgres/executor.ts';

/** Rare, and short: a moment for the connection, a moment for the answer. */
const WAIT_MS = 5_000;

/** The row that `sql` finds, as all other sessions see it now. null when there is none, or `tx` does not say how it was connected. */
export async function readBeside(
  tx: TransactionHandle,
  sql: string,
  parameters: readonly unknown[],
): Promise<Readonly<Record<string, unknown>> | null> {
  const config = configOf(tx);
  if (config === null) return null;
  const client = new pg.Client({ ...config, connectionTimeoutMillis: WAIT_MS, query_timeout: WAIT_MS });
  // What is wrong with the connection rejects the query.
  client.on('error', () => {});
  try {
    await client.connect();
    const { rows } = await client.query<Readonly<Record<string, unknown>>>(sql, [...parameters]);
    return rows[0] ?? null;
  } finally {
    await client.end().catch(() => {});
  }
}

/** What a client of node-postgres keeps of how it was connected. Other clients have nothing like it. */
function configOf(tx: TransactionHandle): ClientConfig | null {
  const { connectionParameters: known } = tx as { readonly connectionParameters?: ClientConfig };
  if (typeof known !== 'object' || known === null) return null;
  const { host, port, database, user, password, ssl } = known;
  return { host, port, database, user, password, ssl };
}
