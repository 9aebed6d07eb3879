/**
 * Brings the Holdfast tables to the version this package needs.
 *
 * Migrators that run at once take turns by an advisory lock and look into the ledger again once they hold it, so the later one finds nothing
 * to do.
 */
import { HoldfastError } from '../errors.ts';
import { refuseUnknownOptions } from '../runtime/options.ts';
import { applyPatiently, lockKey } from './apply-migration.ts';
import type { Database, TimeLimit } from './database.ts';
import { explainingLockWaits } from './lock-wait.ts';
import { mendSchema, type Repair } from './mend-schema.ts';
import { readMigrations, type Migration } from './migration-files.ts';
import { checkLedger, ledgerName, readLedger, refuseEmptiedLedger } from './migration-ledger.ts';
import { withOwnTypes } from './own-results.ts';
import { quoteIdentifier } from './quoting.ts';
import { classifySqlError, translateSqlError } from './sql-state.ts';

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
      `SELECT coalesce(max(version), 0) AS version FROM ${ledgerName(schema)}`,
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

function upTo(files: readonly Migration[], to: number | undefined): readonly Migration[] {
  if (to === undefined) return files;
  if (!files.some((file) => file.version === to)) {
    throw new HoldfastError('HF_CONFIG', `There is no migration ${String(to)}.`, {
      advice: `This package has 1 to ${files.length}.`,
    });
  }
  return files.filter((file) => file.version <= to);
}
