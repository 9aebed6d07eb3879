/**
 * Flags over environment over configuration file: where database and Redis are.
 * Apart from resolve.ts, so that most verbs need not load the transports.
 */
import { HoldfastError } from '../../errors.ts';
import type { HoldfastConfig } from '../../operations/config.ts';
import type { DatabaseOptions } from '../../postgres/pool-settings.ts';
import { readRedisUrl } from '../../transport/redis/redis-url.ts';
import type { Given } from './options.ts';

type Env = Readonly<Record<string, string | undefined>>;

/** Whether flag, environment or file say where the database is. */
export function namesDatabase(given: Given, config: HoldfastConfig, env: Env): boolean {
  const url = given.databaseUrl ?? config.database?.url;
  if (config.databases !== undefined) return true;
  return url !== undefined || ['PGHOST', 'PGDATABASE', 'PGUSER', 'PGPORT'].some((name) => (env[name] ?? '') !== '');
}

/** `fallback`: the URL where nothing names one. Throws HF_CONFIG for a URL that cannot be read. */
export function resolveDatabase(given: Given, config: HoldfastConfig, fallback?: string): DatabaseOptions {
  const url = given.databaseUrl ?? config.database?.url ?? fallback;
  if (url !== undefined)
    assertUrl(url, ['postgres:', 'postgresql:'], 'The database URL', 'postgres://user:password@host:5432/database');
  return {
    url,
    schema: given.schema ?? config.schema,
    environment: given.environment ?? config.environment,
    max: config.database?.max ?? 5,
    applicationName: 'holdfast',
  };
}

/** Redis servers that carry messages, as far as they are known by URL. */
export function resolveRedisUrls(given: Given, config: HoldfastConfig): readonly string[] {
  const url = given.redisUrl ?? config.redis?.url;
  if (url !== undefined) assertRedisUrl(url);
  return url === undefined ? [] : [url];
}

function assertRedisUrl(url: string): void {
  const read = typeof url === 'string' ? readRedisUrl(url) : null;
  if (read !== null && read.kind !== 'wrong') return;
  throw new HoldfastError('HF_CONFIG', 'The Redis URL cannot be read.', {
    advice:
      read?.advice ??
      'It looks like redis://user:password@host:6379, redis+cluster://host:7000,host:7001 or redis+sentinel://host:26379/NAME, with special characters %-encoded.',
  });
}

/** Never shows the URL: it may hold a password. */
function assertUrl(url: string, protocols: readonly string[], what: string, example: string): void {
  if (typeof url === 'string' && URL.canParse(url) && protocols.includes(new URL(url).protocol)) return;
  throw new HoldfastError('HF_CONFIG', `${what} cannot be read.`, {
    advice: `It looks like ${example}, with special characters %-encoded.`,
  });
}
