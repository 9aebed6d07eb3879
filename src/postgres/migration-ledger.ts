/**
 * The ledger of migrations, <schema>.migration: one row for each file that was applied, and what is wrong when they do not fit together.
 */
import type pg from 'pg';
import { HoldfastError } from '../errors.ts';
import type { Migration } from './migration-files.ts';
import { withOwnTypes } from './own-results.ts';
import { quoteIdentifier } from './quoting.ts';
import { classifySqlError } from './sql-state.ts';

/** A file that was applied. */
export interface LedgerRow {
  readonly version: number;
  readonly name: string;
  readonly checksum: string;
  readonly applied_ms: number;
  readonly applied_by: string;
}

/** Creates schema and ledger if they are missing. Asks first: a role without CREATE on the database may not even try. */
export async function createLedger(client: pg.PoolClient, schema: string): Promise<void> {
  const quoted = quoteIdentifier(schema);
  try {
    const { rowCount } = await client.query('SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = $1', [schema]);
    if (rowCount === 0) await client.query(`CREATE SCHEMA ${quoted}`);
    if (await hasLedger(client, schema)) return;
    await client.query(
      `CREATE TABLE ${ledgerName(schema)} (
         version    integer     PRIMARY KEY,
         name       text        NOT NULL,
         checksum   text        NOT NULL,
         applied_at timestamptz NOT NULL DEFAULT now(),
         applied_by text        NOT NULL DEFAULT session_user
       )`,
    );
  } catch (error) {
    if (classifySqlError(error) !== 'permission') throw error;
    throw new HoldfastError('HF_PERMISSION', `The role may not create the schema ${quoted} or tables in it.`, {
      advice: `Let an administrator run CREATE SCHEMA ${quoted} AUTHORIZATION followed by the name of the role, then migrate again.`,
      cause: error,
    });
  }
}

async function hasLedger(client: pg.PoolClient, schema: string): Promise<boolean> {
  // By the catalog, not to_regclass, which fails instead of answering when the role has no USAGE on the schema.
  const { rowCount } = await client.query(
    `SELECT 1 FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     WHERE n.nspname = $1 AND c.relname = 'migration' AND c.relkind IN ('r', 'p')`,
    [schema],
  );
  return rowCount !== 0;
}

export async function readLedger(client: pg.PoolClient, schema: string): Promise<readonly LedgerRow[]> {
  if (!(await hasLedger(client, schema))) return [];
  const { rows } = await withOwnTypes(client).query<LedgerRow>(
    `SELECT version, name, checksum, extract(epoch FROM applied_at)::float8 * 1000 AS applied_ms, applied_by FROM ${ledgerName(schema)} ORDER BY version`,
  );
  return rows;
}

/** Rejects with HF_MIGRATION_FAILED when the tables are there and the ledger has no row: somebody has emptied it along with them. */
export async function refuseEmptiedLedger(client: pg.PoolClient, schema: string): Promise<void> {
  const { rowCount } = await client.query(
    `SELECT 1 FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = 'outbox'`,
    [schema],
  );
  if (rowCount === 0) return;
  throw new HoldfastError(
    'HF_MIGRATION_FAILED',
    `The tables are in ${quoteIdentifier(schema)}, but their ledger ${ledgerName(schema)} is empty: it was emptied, or not copied with them.`,
    {
      advice: `Bring its rows back from where they are (a backup, the original), and leave it out of TRUNCATE. In a test, drop the schema.`,
      details: { schema },
    },
  );
}

export function checkLedger(applied: readonly LedgerRow[], files: readonly Migration[], schema: string): void {
  for (const row of applied) {
    const file = files.find((each) => each.version === row.version);
    if (file === undefined) {
      throw new HoldfastError(
        'HF_SCHEMA_NEWER',
        `The tables in ${quoteIdentifier(schema)} are at version ${row.version}, and this package knows ${files.length}.`,
        {
          advice: 'Migrate with the newest version of the package in use.',
          details: { version: row.version, known: files.length },
        },
      );
    }
    if (file.checksum !== row.checksum) {
      throw new HoldfastError(
        'HF_MIGRATION_CHANGED',
        `Migration ${fileName(file)} was applied on ${new Date(row.applied_ms).toISOString()} and has been changed since.`,
        {
          advice: 'Never edit a shipped migration; put back the file as it was, or reinstall the package.',
          details: { version: row.version, applied: row.checksum, shipped: file.checksum },
        },
      );
    }
  }
}

export function fileName(file: Migration): string {
  return `${String(file.version).padStart(4, '0')}_${file.name}.sql`;
}

export function ledgerName(schema: string): string {
  return `${quoteIdentifier(schema)}.migration`;
}
