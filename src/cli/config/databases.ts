/**
 * Flags over environment over configuration file: which databases a verb is about. One, unless the file names several.
 */
import { HoldfastError } from '../../errors.ts';
import type { HoldfastConfig } from '../../operations/config.ts';
import { adviceForName, ONLY_DATABASE } from '../../operations/databases/database-names.ts';
import type { DatabaseOptions } from '../../postgres/pool-settings.ts';
import type { Given } from './options.ts';
import { resolveDatabase } from './servers.ts';

export interface NamedDatabase {
  readonly name: string;
  readonly options: DatabaseOptions;
}

/** One at the least. `fallback`: the URL where nothing names one. Throws HF_CONFIG for a name that there is not, and a URL that cannot be read. */
export function resolveDatabases(given: Given, config: HoldfastConfig, fallback?: string): readonly NamedDatabase[] {
  const { databases } = config;
  const names = Object.keys(databases ?? { [ONLY_DATABASE]: null });
  const { database: wanted, databaseUrl, ...rest } = given;
  if (wanted !== undefined && !names.includes(wanted))
    throw new HoldfastError('HF_CONFIG', `The configuration names no database '${wanted}'.`, {
      advice:
        databases === undefined
          ? 'Name it in holdfast.config.ts: databases: { NAME: { url } }.'
          : adviceForName(wanted, names),
    });
  if (databases === undefined) return [{ name: ONLY_DATABASE, options: resolveDatabase(given, config, fallback) }];
  if (wanted === undefined && databaseUrl !== undefined)
    throw new HoldfastError('HF_CONFIG', 'A database URL is given, and the configuration names several databases.', {
      advice: `Name one by --database (${names.join(', ')}), or leave out --database-url, HOLDFAST_DATABASE_URL and DATABASE_URL.`,
    });
  return Object.entries(databases)
    .filter(([name]) => wanted === undefined || name === wanted)
    .map(([name, own]) => {
      const { schema = config.schema, environment = config.environment, ...database } = own;
      return { name, options: resolveDatabase(rest, { ...config, schema, environment, database }) };
    });
}

/** Throws HF_CONFIG where there are several. */
export function theOnly(databases: readonly NamedDatabase[]): NamedDatabase {
  const [first, ...others] = databases;
  if (first !== undefined && others.length === 0) return first;
  throw new HoldfastError('HF_CONFIG', 'It is not said which database is meant.', {
    advice: `Give --database NAME; there are: ${databases.map(({ name }) => name).join(', ')}.`,
  });
}
