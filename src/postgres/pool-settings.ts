/**
 * What a database is opened with, and the settings of the driver's pool that follow from it. Pure.
 */
import type pg from 'pg';
import { HoldfastError } from '../errors.ts';
import { parseDuration, type Duration } from '../runtime/duration.ts';
import { refuseUnknownOptions } from '../runtime/options.ts';

/** Options of {@link openDatabase}. */
export interface DatabaseOptions {
  /** postgres:// URL. Without it, and without `pool`, the PG* environment variables of the driver apply. */
  readonly url?: string | undefined;
  /** An existing pool, which `close` leaves open, or the driver's own settings for a new one. */
  readonly pool?: pg.Pool | pg.PoolConfig | undefined;
  /**
   * Schema of the Holdfast tables.
   *
   * @defaultValue 'holdfast'
   */
  readonly schema?: string | undefined;
  /**
   * Names whose tables these are, such as 'production': stored beside them at the first start; a relay, worker or
   * consumer with another name refuses to start (HF_ENVIRONMENT), so that a copy does not go on with what the original
   * does.
   *
   * @defaultValue known by cluster and database
   */
  readonly environment?: string | undefined;
  /**
   * Shown in pg_stat_activity.
   *
   * @defaultValue 'holdfast'
   */
  readonly applicationName?: string | undefined;
  /**
   * Most connections in the pool.
   *
   * @defaultValue 10
   */
  readonly max?: number | undefined;
  /**
   * Longest wait for a connection.
   *
   * @defaultValue '10s'
   */
  readonly connectTimeout?: Duration | undefined;
  /**
   * Longest run of one statement, enforced by the server.
   *
   * @defaultValue none
   */
  readonly statementTimeout?: Duration | undefined;
  /**
   * Told of errors on idle connections, which are dropped and replaced.
   *
   * @defaultValue nothing
   */
  readonly onIdleError?: ((error: Error) => void) | undefined;
}

/** Throws HF_CONFIG or HF_OPTION_UNKNOWN. */
export function checkDatabaseOptions(options: DatabaseOptions): void {
  refuseUnknownOptions(options, KNOWN_OPTIONS, 'openDatabase');
  refuseSeveralHosts(options);
}

const KNOWN_OPTIONS = [
  'url',
  'pool',
  'schema',
  'environment',
  'applicationName',
  'max',
  'connectTimeout',
  'statementTimeout',
  'onIdleError',
] as const;

/** The driver takes a list of hosts for the name of one, and looks for it in vain for ever. */
function refuseSeveralHosts({ url, pool }: DatabaseOptions): void {
  const config = pool === undefined || isPool(pool) ? {} : pool;
  const texts = [url, config.connectionString].filter((text) => text !== undefined);
  const several = texts.some(
    (text) =>
      /^[a-z]+:\/\/([^/?#]*)/i.exec(text)?.[1]?.split('@').at(-1)?.includes(',') === true ||
      /[?&]host=[^&]*(?:,|%2C)/i.test(text),
  );
  if (!several && config.host?.includes(',') !== true) return;
  throw new HoldfastError('HF_CONFIG', 'The database URL names several hosts, of which the driver would use none.', {
    advice:
      'Give one: a name or a proxy that follows the primary (HAProxy, a service of the cluster, a virtual address).',
  });
}

/** Throws HF_CONFIG. */
export function assertEnvironmentName(name: string | undefined): string | undefined {
  if (name === undefined || (typeof name === 'string' && /^[\w.:-]{1,100}$/.test(name))) return name;
  throw new HoldfastError('HF_CONFIG', `${JSON.stringify(name)} cannot be the name of an environment.`, {
    advice: "Give 1 to 100 letters, digits, '-', '_', '.' or ':', such as 'production'.",
  });
}

/** Of a pool of our own. Throws HF_CONFIG or HF_DURATION. */
export function poolConfig(options: DatabaseOptions): pg.PoolConfig {
  const { max } = options;
  if (max !== undefined && (!Number.isInteger(max) || max < 1)) {
    throw new HoldfastError('HF_CONFIG', `max must be a whole number of connections from 1 on, not ${String(max)}.`);
  }
  const own: pg.PoolConfig = {
    application_name: options.applicationName ?? 'holdfast',
    connectionTimeoutMillis: parseDuration(options.connectTimeout ?? '10s', 'connectTimeout'),
    max: max ?? 10,
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
  };
  if (options.url !== undefined) own.connectionString = options.url;
  if (options.statementTimeout !== undefined)
    own.statement_timeout = parseDuration(options.statementTimeout, 'statementTimeout');
  const config = isPool(options.pool) ? {} : (options.pool ?? {});
  // The driver's own settings win over defaults, but not over what is said here by name.
  const named: pg.PoolConfig = {};
  if (options.url !== undefined && own.connectionString !== undefined) named.connectionString = own.connectionString;
  if (options.applicationName !== undefined) named.application_name = options.applicationName;
  if (max !== undefined) named.max = max;
  return { ...own, ...config, ...named };
}

export function isPool(pool: pg.Pool | pg.PoolConfig | undefined): pool is pg.Pool {
  return pool !== undefined && 'totalCount' in pool && 'connect' in pool;
}
