/**
 * The database that test databases are copied from: migrated once for each server and set of migrations, and kept there. It is made under
 * another name first, so that one whose making was cut short is never copied.
 */
import { createHash } from 'node:crypto';
import { Client } from 'pg';
import { HoldfastError } from '../../errors.ts';
import { openDatabase } from '../../postgres/database.ts';
import { readMigrations } from '../../postgres/migration-files.ts';
import { migrate } from '../../postgres/migrator.ts';
import { quoteIdentifier } from '../../postgres/quoting.ts';
import { sqlStateOf } from '../../postgres/sql-state.ts';

/** Of the advisory lock that makers of templates take in turns, in the database of `adminUrl`. */
const TEMPLATE_LOCK = '7226173404981151';

/** The name of a migrated template on the server of `adminUrl`, which is made when there is none. */
export async function ensureTemplate(adminUrl: string, schema: string): Promise<string> {
  const migrations = await readMigrations(schema);
  const hash = createHash('sha256').update(migrations.map(({ checksum }) => checksum).join());
  const name = `holdfast_template_${hash.update(`\0${schema}`).digest('hex').slice(0, 16)}`;
  await asAdmin(adminUrl, async (client) => {
    if (await isThere(client, name)) return;
    await client.query('SELECT pg_advisory_lock($1::bigint)', [TEMPLATE_LOCK]);
    // The lock goes with the connection.
    if (!(await isThere(client, name))) await makeTemplate(client, { adminUrl, schema, name });
  });
  return name;
}

interface Making {
  readonly adminUrl: string;
  readonly schema: string;
  readonly name: string;
}

async function makeTemplate(client: Client, { adminUrl, schema, name }: Making): Promise<void> {
  const unfinished = `${name}_unfinished`;
  // Of a process that died here: with the lock, nobody else is at it.
  await client.query(`DROP DATABASE IF EXISTS ${unfinished} WITH (FORCE)`);
  await client.query(`CREATE DATABASE ${unfinished} TEMPLATE template0`);
  const database = openDatabase({ url: databaseUrl(adminUrl, unfinished), schema, max: 1 });
  try {
    await migrate(database);
  } finally {
    await database.close();
  }
  // A database that somebody is connected to cannot be copied.
  await client.query(`ALTER DATABASE ${unfinished} WITH ALLOW_CONNECTIONS false`);
  await client.query(`ALTER DATABASE ${unfinished} RENAME TO ${name}`);
}

async function isThere(client: Client, name: string): Promise<boolean> {
  const { rows } = await client.query('SELECT 1 FROM pg_catalog.pg_database WHERE datname = $1', [name]);
  return rows.length > 0;
}

/** A copy of the template under this name. */
export async function copyTemplate(adminUrl: string, template: string, name: string): Promise<void> {
  await asAdmin(adminUrl, (client) =>
    client.query(`CREATE DATABASE ${quoteIdentifier(name)} TEMPLATE ${quoteIdentifier(template)}`),
  );
}

/** Cuts whoever is connected to it. */
export async function dropDatabase(adminUrl: string, name: string): Promise<void> {
  await asAdmin(adminUrl, (client) => client.query(`DROP DATABASE IF EXISTS ${quoteIdentifier(name)} WITH (FORCE)`));
}

export function databaseUrl(adminUrl: string, name: string): string {
  return Object.assign(new URL(adminUrl), { pathname: `/${name}` }).href;
}

async function asAdmin(adminUrl: string, use: (client: Client) => Promise<unknown>): Promise<void> {
  const client = new Client({ connectionString: adminUrl, application_name: 'holdfast-testing' });
  client.on('error', () => {});
  try {
    await client.connect();
    await use(client);
  } catch (error) {
    throw explained(error);
  } finally {
    await client.end().catch(() => {});
  }
}

/** What keeps a test from its database, told as what to do about it. */
function explained(cause: unknown): unknown {
  if (sqlStateOf(cause) === '42501')
    return new HoldfastError('HF_PERMISSION', 'The role may not create databases for tests.', {
      cause,
      advice: 'Allow it with ALTER ROLE name CREATEDB, or give another url.',
    });
  const { code } = cause as { readonly code?: unknown };
  if (typeof code !== 'string' || !/^(E[A-Z]+|28...|3D000|57P03|08...)$/.test(code)) return cause;
  return new HoldfastError('HF_SERVER_MISSING', `The server for tests does not let us in: ${messageOf(cause)}.`, {
    cause,
    advice: 'Start it, or correct the url or HOLDFAST_TEST_DATABASE_URL; without either, one is started.',
  });
}

/** Of an AggregateError, which says nothing itself: what the first address was refused with. */
function messageOf(error: unknown): string {
  const { message, errors = [] } = error as Error & { readonly errors?: readonly Error[] };
  return (message === '' ? (errors[0]?.message ?? 'no connection') : message).replace(/\.$/, '');
}
