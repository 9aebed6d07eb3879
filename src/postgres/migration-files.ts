/**
 * The migrations this package ships: migrations/NNNN_name.sql, read, checked and with the configured schema in place.
 * Used by migrator.ts. Knows no database.
 */

import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { HoldfastError } from '../errors.ts';
import { assertSchemaName, quoteIdentifier } from './quoting.ts';

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

/** Two levels up from src/postgres as well as from dist/postgres. */
const SHIPPED = new URL('../../migrations/', import.meta.url);

/** All migrations in order of version. Rejects with HF_CONFIG on a bad schema name, a gap or a double version. */
export async function readMigrations(schema: string, directory: URL = SHIPPED): Promise<readonly Migration[]> {
  const files = (await readdir(directory)).filter((file) => file.endsWith('.sql')).toSorted();
  const migrations = await Promise.all(
    files.map(async (file) => parseMigration(file, await readFile(new URL(file, directory), 'utf8'), schema)),
  );
  for (const [index, migration] of migrations.entries()) {
    if (migration.version !== index + 1) {
      throw new HoldfastError(
        'HF_CONFIG',
        `The migrations do not count up: ${files[index]} should have version ${index + 1}.`,
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
