/**
 * The migrations this package ships: migrations/NNNN_name.sql, read, checked and with the configured schema in place.
 * Knows no database and, but for tests, no folder.
 */

import { createHash } from 'node:crypto';
import { HoldfastError } from '../errors.ts';
import { readMigrationTexts } from './migration-folder.ts';
import { assertSchemaName, quoteIdentifier } from './quoting.ts';

/** A migration that this package ships. */
export interface Migration {
  readonly version: number;
  readonly name: string;
  /** The leading comment of the file: what its operator should know. */
  readonly notes: string;
  /** Whole text of the file with the configured schema in place. */
  readonly sql: string;
  /** sha256 of the file as shipped, line ends normalised, in hex. */
  readonly checksum: string;
  /** False when the leading comment has a line `-- no-transaction`. Such a file holds one statement. */
  readonly transaction: boolean;
}

/** Loaded when they are asked for: the texts are a fifth of what a service would load, and most that start find all migrations applied. */
async function shippedTexts(): Promise<ReadonlyMap<string, string>> {
  return (await import('./shipped-migrations.ts')).shippedMigrations();
}

/** All migrations in order of version. Rejects with HF_CONFIG on a bad schema name, a gap or a double version. */
export async function readMigrations(schema: string, directory?: URL): Promise<readonly Migration[]> {
  const texts = directory === undefined ? await shippedTexts() : await readMigrationTexts(directory);
  const files = [...texts].toSorted(([a], [b]) => (a < b ? -1 : 1));
  const migrations = files.map(([file, text]) => parseMigration(file, text, schema));
  for (const [index, migration] of migrations.entries()) {
    if (migration.version !== index + 1) {
      throw new HoldfastError(
        'HF_CONFIG',
        `The migrations do not count up: ${files[index]?.[0]} should have version ${index + 1}.`,
      );
    }
  }
  return migrations;
}

/** One file. `"holdfast"`, in double quotes, stands for the configured schema everywhere in it. */
export function parseMigration(file: string, text: string, schema: string): Migration {
  const parts = /^(\d{4})_([a-z0-9_]+)\.sql$/.exec(file);
  if (parts === null) throw new HoldfastError('HF_CONFIG', `${file} is not named like a migration: NNNN_name.sql.`);
  const source = text.replaceAll('\r\n', '\n');
  const comment = /^(?:--.*(?:\n|$))*/.exec(source)?.[0] ?? '';
  const lines = comment
    .trimEnd()
    .split('\n')
    .map((line) => line.replace(/^-- ?/, ''));
  return {
    version: Number(parts[1]),
    name: parts[2] ?? '',
    notes: lines.filter((line) => line !== 'no-transaction').join('\n'),
    sql: source.replaceAll('"holdfast"', quoteIdentifier(assertSchemaName(schema))),
    checksum: createHash('sha256').update(source).digest('hex'),
    transaction: !lines.includes('no-transaction'),
  };
}
