/**
 * Brings the Holdfast tables to the version this package needs, from migrations/NNNN_name.sql.
 * Used by `holdfast migrate`, by services at deployment, and by tests; assertSchema by everything that starts.
 */

import type { Database } from './database.ts';

export interface Migration {
  readonly version: number;
  readonly name: string;
  /** The leading comment of the file: what its operator should know. */
  readonly notes: string;
  /** Whole text of the file with the configured schema in place. */
  readonly sql: string;
  /** sha256 of the file as shipped, line ends normalised, in hex. */
  readonly checksum: string;
  /** False when the file says `-- no-transaction`. */
  readonly transaction: boolean;
}

export interface MigrateOptions {
  /** Go up to this version; default: the newest. Never down. */
  readonly to?: number | undefined;
  /** Change nothing, return what would be run. */
  readonly dryRun?: boolean | undefined;
}

export interface MigrationStatus extends Omit<Migration, 'sql' | 'transaction'> {
  readonly state: 'applied' | 'pending' | 'changed';
  readonly appliedAt: Date | null;
  readonly appliedBy: string | null;
}

/** Applies what is pending, one file a transaction, and returns it. Concurrent calls wait for each other. */
export async function migrate(_database: Database, _options: MigrateOptions = {}): Promise<readonly Migration[]> {
  throw new Error('not written yet');
}

/** One entry per file, in order. Works on a database without the tables. */
export async function migrationStatus(_database: Database): Promise<readonly MigrationStatus[]> {
  throw new Error('not written yet');
}

/** Rejects with HF_SCHEMA_MISSING unless every migration this package ships has been applied. One cheap query. */
export async function assertSchema(_database: Database): Promise<void> {
  throw new Error('not written yet');
}
