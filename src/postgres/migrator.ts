/**
 * Brings the Holdfast tables to the version this package needs.
 *
 * The ledger, <schema>.migration, has one row per applied file. Migrators that run at once take turns by an advisory lock and
 * look into the ledger again once they hold it, so the later one finds nothing to do.
 */

import { withOwnTypes } from './own-results.ts';
import { createHash } from 'node:crypto';
import type pg from 'pg';
import { HoldfastError } from '../errors.ts';
import { refuseUnknownOptions } from '../runtime/options.ts';
import { runTransaction, type Database, type TimeLimit } from './database.ts';
import { mendSchema, type Repair } from './mend-schema.ts';
import { systemClock } from '../runtime/clock.ts';
import {
  explainingLockWaits,
  explainLockWait,
  LOCK_NOT_AVAILABLE,
  LOCK_PATIENCE_MS,
  SET_LOCAL_LOCK_PATIENCE,
} from './lock-wait.ts';
import { readMigrations, type Migration } from './migration-files.ts';
import { quoteIdentifier } from './quoting.ts';
import { classifySqlError, sqlStateOf, translateSqlError } from './sql-state.ts';

export type { Migration } from './migration-files.ts';

/** Options of {@link migrate}. */
export interface MigrateOptions {
  /**
   * Go up to this version. Never down.
   *
   * @defaultValue the newest
   */
  readonly to?: number | undefined;
  /** Change nothing, return what would be run. */
  readonly dryRun?: boolean | undefined;
  /** Told of what was mended beside: functions that wrote into another schema, sequences behind their tables. */
  readonly onRepair?: ((repair: Repair) => void) | undefined;
  /**
   * Where the files are, for tests.
   *
   * @defaultValue those of the package
   */
  readonly directory?: URL | undefined;
}

/** A migration and how far it is. See {@link migrationStatus}. */
export interface MigrationStatus {
  readonly version: number;
  readonly name: string;
  readonly notes: string;
  readonly checksum: string;
  /** changed: applied, but the file is another one by now. unknown: applied by a newer version of this package. */
  readonly state: 'applied' | 'pending' | 'changed' | 'unknown';
  readonly appliedAt: Date | null;
  readonly appliedBy: string | null;
}

interface LedgerRow {
  readonly version: number;
  readonly name: string;
  readonly checksum: string;
  readonly applied_ms: number;
  readonly applied_by: string;
}

/**
 * Applies what is pending and returns it. Each file has a transaction of its own, so a failure leaves the earlier ones applied.
 * Rejects with HF_MIGRATION_CHANGED and HF_SCHEMA_NEWER before anything is run, with HF_MIGRATION_FAILED naming file and line.
 *
 * @example
 * const done = await migrate(database);
 */
export async function migrate(database: Database, options: MigrateOptions = {}): Promise<readonly Migration[]> {
  refuseUnknownOptions(options, ['to', 'dryRun', 'onRepair', 'directory'], 'migrate');
  const files = await readMigrations(database.schema, options.directory);
  const wanted = upTo(files, options.to);
  try {
    return await database.withConnection(async (given) => {
      const client = withOwnTypes(given);
      const applied = await readLedger(client, database.schema);
      checkLedger(applied, files, database.schema);
      if (applied.length === 0) await refuseEmptiedLedger(client, database.schema);
      const pending = wanted.filter((file) => !applied.some((row) => row.version === file.version));
      if (options.dryRun === true) return pending;
      const done: Migration[] = [];
      for (const file of pending) {
        if (await applyPatiently(database, client, file, files)) done.push(file);
      }
      const lock = lockKey(database.schema);
      const wait = { doing: 'The schema was not mended', advisory: lock };
      const repairs = await explainingLockWaits(database, wait, () => mendSchema(client, database.schema, lock));
      for (const repair of repairs) options.onRepair?.(repair);
      return done;
    });
  } catch (error) {
    throw translateSqlError(error);
  }
}

/**
 * One entry per file, in order, then what the ledger knows beyond them. Works on a database without the tables.
 *
 * @example
 * for (const { name, state } of await migrationStatus(database)) console.log(name, state);
 */
export async function migrationStatus(
  database: Database,
  options: { readonly directory?: URL | undefined } = {},
): Promise<readonly MigrationStatus[]> {
  const files = await readMigrations(database.schema, options.directory);
  const applied = await database
    .withConnection(async (client) => readLedger(client, database.schema))
    .catch((error: unknown) => Promise.reject(translateSqlError(error)));
  const known = files.map((file): MigrationStatus => {
    const { version, name, notes, checksum } = file;
    const row = applied.find((each) => each.version === version);
    if (row === undefined)
      return { version, name, notes, checksum, state: 'pending', appliedAt: null, appliedBy: null };
    const state = row.checksum === checksum ? 'applied' : 'changed';
    return { version, name, notes, checksum, state, appliedAt: new Date(row.applied_ms), appliedBy: row.applied_by };
  });
  const unknown = applied
    .filter((row) => row.version > files.length)
    .map((row): MigrationStatus => {
      const { version, name, checksum } = row;
      return {
        version,
        name,
        notes: '',
        checksum,
        state: 'unknown',
        appliedAt: new Date(row.applied_ms),
        appliedBy: row.applied_by,
      };
    });
  return [...known, ...unknown];
}

/**
 * Rejects with HF_SCHEMA_MISSING unless every migration this package ships has been applied. One cheap query, for every start.
 * Tables newer than the package are fine here: migrations keep running services working, so that they can go first.
 */
export async function assertSchema(database: Database, limit: TimeLimit = {}): Promise<void> {
  const { schema } = database;
  const needed = (await readMigrations(schema)).length;
  let version: number;
  try {
    const { rows } = await database.query<{ version: number }>(
      `SELECT coalesce(max(version), 0) AS version FROM ${ledger(schema)}`,
      [],
      limit,
    );
    version = rows[0]?.version ?? 0;
  } catch (error) {
    if (classifySqlError(error) !== 'schema') throw translateSqlError(error);
    version = 0;
  }
  if (version >= needed) return;
  const state =
    version === 0
      ? `There are no Holdfast tables in the schema ${quoteIdentifier(schema)}`
      : `The Holdfast tables are at version ${version}, and ${needed} is needed`;
  throw new HoldfastError('HF_SCHEMA_MISSING', `${state}.`, {
    advice: 'Run `holdfast migrate` on this database, or migrate() from code.',
    details: { schema, version, needed },
  });
}

/**
 * Asks for locks for a moment only, again and again: behind a request that waits, every service would. Rejects with HF_LOCK_WAIT,
 * which says who has them, after a minute. False when another migrator was faster.
 */
async function applyPatiently(
  database: Database,
  client: pg.PoolClient,
  file: Migration,
  files: readonly Migration[],
): Promise<boolean> {
  const { schema } = database;
  const endsAtMs = systemClock.monotonic() + LOCKS_WITHIN_MS;
  for (;;) {
    try {
      return await applyOne(client, schema, file, files);
    } catch (error) {
      if (sqlStateOf(error) !== LOCK_NOT_AVAILABLE || systemClock.monotonic() > endsAtMs) {
        const doing = `Migration ${fileName(file)} was not applied`;
        throw await explainLockWait(database, error, { doing, advisory: lockKey(schema) });
      }
      await systemClock.sleep(LOCK_PATIENCE_MS * (0.2 + 0.2 * Math.random()));
    }
  }
}

/** How long locks are asked for in all, in milliseconds. */
const LOCKS_WITHIN_MS = 60_000;

async function takeTurn(
  client: pg.PoolClient,
  how: 'pg_try_advisory_xact_lock' | 'pg_try_advisory_lock',
  lock: string,
) {
  const { rows } = await client.query<{ mine: boolean }>(`SELECT ${how}($1) AS mine`, [lock]);
  if (rows[0]?.mine === true) return;
  throw Object.assign(new Error('another migrator is at work'), { code: LOCK_NOT_AVAILABLE });
}

/** False when another migrator was faster. */
async function applyOne(
  client: pg.PoolClient,
  schema: string,
  file: Migration,
  files: readonly Migration[],
): Promise<boolean> {
  const lock = lockKey(schema);
  const isPending = async () => {
    const applied = await readLedger(client, schema);
    checkLedger(applied, files, schema);
    return !applied.some((row) => row.version === file.version);
  };
  const record = async () => {
    await client.query(`INSERT INTO ${ledger(schema)} (version, name, checksum) VALUES ($1, $2, $3)`, [
      file.version,
      file.name,
      file.checksum,
    ]);
  };

  if (file.transaction) {
    return runTransaction(client, 'BEGIN', async () => {
      await client.query(`SET LOCAL statement_timeout = 0; ${SET_LOCAL_LOCK_PATIENCE}`);
      await takeTurn(client, 'pg_try_advisory_xact_lock', lock);
      if (!(await isPending())) return false;
      await createLedger(client, schema);
      await runFile(client, file);
      await record();
      return true;
    });
  }
  // Outside a transaction only a lock of the session can span lock, statement and record.
  await takeTurn(client, 'pg_try_advisory_lock', lock);
  try {
    if (!(await isPending())) return false;
    await createLedger(client, schema);
    await runFile(client, file);
    await record();
    return true;
  } finally {
    await client.query('SELECT pg_advisory_unlock($1)', [lock]).catch(() => undefined);
  }
}

async function runFile(client: pg.PoolClient, file: Migration): Promise<void> {
  try {
    await client.query(file.sql);
  } catch (error) {
    if (classifySqlError(error) === 'connection') throw error;
    const position = error instanceof Error && 'position' in error ? Number(error.position) : Number.NaN;
    const line = Number.isNaN(position) ? '' : `, line ${file.sql.slice(0, position).split('\n').length}`;
    const what = error instanceof Error ? error.message : String(error);
    throw new HoldfastError('HF_MIGRATION_FAILED', `Migration ${fileName(file)}${line} failed: ${what}.`, {
      advice: file.transaction
        ? 'Nothing of this file was applied; mend the cause and run it again.'
        : 'This file runs outside a transaction; see its notes for what it may have left behind.',
      cause: error,
      details: { version: file.version, sqlState: sqlStateOf(error) ?? null },
    });
  }
}

/** Creates schema and ledger if they are missing. Asks first: a role without CREATE on the database may not even try. */
async function createLedger(client: pg.PoolClient, schema: string): Promise<void> {
  const quoted = quoteIdentifier(schema);
  try {
    const { rowCount } = await client.query('SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = $1', [schema]);
    if (rowCount === 0) await client.query(`CREATE SCHEMA ${quoted}`);
    if (await hasLedger(client, schema)) return;
    await client.query(
      `CREATE TABLE ${ledger(schema)} (
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

async function readLedger(client: pg.PoolClient, schema: string): Promise<readonly LedgerRow[]> {
  if (!(await hasLedger(client, schema))) return [];
  const { rows } = await withOwnTypes(client).query<LedgerRow>(
    `SELECT version, name, checksum, extract(epoch FROM applied_at)::float8 * 1000 AS applied_ms, applied_by FROM ${ledger(schema)} ORDER BY version`,
  );
  return rows;
}

/** Rejects with HF_MIGRATION_FAILED when the tables are there and the ledger has no row: somebody has emptied it along with them. */
async function refuseEmptiedLedger(client: pg.PoolClient, schema: string): Promise<void> {
  const { rowCount } = await client.query(
    `SELECT 1 FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = 'outbox'`,
    [schema],
  );
  if (rowCount === 0) return;
  throw new HoldfastError(
    'HF_MIGRATION_FAILED',
    `The tables are in ${quoteIdentifier(schema)}, but their ledger ${ledger(schema)} is empty: it was emptied, or not copied with them.`,
    {
      advice: `Bring its rows back from where they are (a backup, the original), and leave it out of TRUNCATE. In a test, drop the schema.`,
      details: { schema },
    },
  );
}

function checkLedger(applied: readonly LedgerRow[], files: readonly Migration[], schema: string): void {
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

function upTo(files: readonly Migration[], to: number | undefined): readonly Migration[] {
  if (to === undefined) return files;
  if (!files.some((file) => file.version === to)) {
    throw new HoldfastError('HF_CONFIG', `There is no migration ${String(to)}.`, {
      advice: `This package has 1 to ${files.length}.`,
    });
  }
  return files.filter((file) => file.version <= to);
}

function fileName(file: Migration): string {
  return `${String(file.version).padStart(4, '0')}_${file.name}.sql`;
}

function ledger(schema: string): string {
  return `${quoteIdentifier(schema)}.migration`;
}

/** A bigint of the schema's own, as text. */
function lockKey(schema: string): string {
  return createHash('sha256').update(`holdfast migrate ${schema}`).digest().readBigInt64BE().toString();
}
