/**
 * Holdfast's own access to PostgreSQL: a pool, transactions, and connections kept outside the pool.
 */

import { cutAfter, destroySocket, giveBack, takeConnection } from './checkout.ts';
import { hintCommit, takeNoted } from './commit-hints.ts';
import { OWN_TYPES } from './own-results.ts';
import pg from 'pg';
import { HoldfastError } from '../errors.ts';
import { parseDuration, type Duration } from '../runtime/duration.ts';
import { safeHook } from '../runtime/observers.ts';
import { refuseUnknownOptions } from '../runtime/options.ts';
import { assertSchemaName, DEFAULT_SCHEMA } from './quoting.ts';
import { classifySqlError, sqlStateOf } from './sql-state.ts';

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

export interface TimeLimit {
  /**
   * How long the whole may take by the clock of this process, in milliseconds. Then the connection is cut, and what was under way
   * rejects as when it breaks: the way out when the peer falls silent.
   */
  readonly timeoutMs?: number | undefined;
}

/** How {@link Database.transaction} begins. */
export interface DatabaseTransactionOptions {
  /** @defaultValue what the server has set: 'read committed', unless it was changed */
  readonly isolation?: 'read committed' | 'repeatable read' | 'serializable' | undefined;
  /** @defaultValue false */
  readonly readOnly?: boolean | undefined;
  /** @internal As in TimeLimit. */
  readonly timeoutMs?: number | undefined;
}

export interface DedicatedConnectionOptions {
  /** Called once when the connection is lost, but not when it is ended on purpose. */
  readonly onLost: (error: Error) => void;
  /** Default: the database's application name. */
  readonly applicationName?: string | undefined;
  /** How long an answer is waited for before the query rejects, in milliseconds: the way out when the network falls silent. Default: for ever. */
  readonly queryTimeoutMs?: number | undefined;
}

/** Rejects with the driver's own errors, unless said otherwise; classifySqlError and translateSqlError tell what they mean. */
export interface Database {
  readonly schema: string;
  readonly environment?: string | undefined;
  readonly pool: pg.Pool;
  /** Of its columns, booleans, numbers, bigint (as text) and JSON are read as ever, whatever type parsers the process has set. Limit: a minute. */
  query<R extends pg.QueryResultRow = pg.QueryResultRow>(
    text: string,
    values?: readonly unknown[],
  ): Promise<pg.QueryResult<R>>;
  /** @internal With another limit. */
  query<R extends pg.QueryResultRow = pg.QueryResultRow>(
    text: string,
    values: readonly unknown[] | undefined,
    limit: TimeLimit | undefined,
  ): Promise<pg.QueryResult<R>>;
  /** One connection for several statements. It is destroyed, not reused, if `fn` failed with an error of the connection. */
  withConnection<T>(fn: (client: pg.PoolClient) => Promise<T>): Promise<T>;
  /** @internal In a given time. */
  withConnection<T>(fn: (client: pg.PoolClient) => Promise<T>, limit: TimeLimit | undefined): Promise<T>;
  /**
   * BEGIN, `fn`, COMMIT; ROLLBACK when `fn` rejects. Never retries. Rejects with HF_COMMIT_IN_DOUBT when the connection broke
   * after COMMIT was sent: the transaction may have been committed.
   */
  transaction<T>(fn: (client: pg.PoolClient) => Promise<T>, options?: DatabaseTransactionOptions): Promise<T>;
  /** @internal A connected client outside the pool, with the same settings; the caller ends it. */
  dedicatedConnection(options: DedicatedConnectionOptions): Promise<pg.Client>;
  /** Ends the pool, unless it was given. Idempotent. */
  close(): Promise<void>;
}

/**
 * Opens nothing before the first use. Throws HF_CONFIG on bad options.
 *
 * @example
 * const database = openDatabase({ url: process.env['DATABASE_URL'], max: 20 });
 * await migrate(database);
 * await database.close();
 */
export function openDatabase(options: DatabaseOptions = {}): Database {
  refuseUnknownOptions(options, KNOWN_OPTIONS, 'openDatabase');
  const schema = assertSchemaName(options.schema ?? DEFAULT_SCHEMA);
  const environment = assertEnvironmentName(options.environment);
  const given = isPool(options.pool) ? options.pool : undefined;
  refuseSeveralHosts(options);
  const pool = given ?? new pg.Pool(poolConfig(options));
  const onIdleError = safeHook(options.onIdleError, 'onIdleError of openDatabase');
  // An idle connection that breaks is dropped by the pool, which emits 'error'; unheard, that would end the process.
  pool.on('error', onIdleError);
  // The pool lets go of a new client before whoever waits for it can listen, and its end may come in the same bytes as its beginning.
  pool.on('connect', listenForErrors);
  let closing: Promise<void> | undefined;

  const database: Database = {
    schema,
    environment,
    pool,
    async query<R extends pg.QueryResultRow>(text: string, values?: readonly unknown[], limit: TimeLimit = {}) {
      return database.withConnection(
        (client) =>
          client.query<R>({ text, ...(values === undefined ? {} : { values: [...values] }), types: OWN_TYPES }),
        { timeoutMs: limit.timeoutMs ?? QUERY_TIMEOUT_MS },
      );
    },
    async withConnection<T>(fn: (client: pg.PoolClient) => Promise<T>, { timeoutMs }: TimeLimit = {}): Promise<T> {
      return withConnection(pool, (client) => cutAfter({ pool, client }, timeoutMs, () => fn(client)));
    },
    async transaction(fn, transactionOptions = {}) {
      const begin = beginStatement(transactionOptions);
      return withConnection(pool, async (client) =>
        cutAfter({ pool, client }, transactionOptions.timeoutMs, async () => {
          const result = await runTransaction(client, begin, fn);
          if (takeNoted(client)) hintCommit(database);
          return result;
        }),
      );
    },
    async dedicatedConnection(connectionOptions) {
      return dedicatedConnection(pool, connectionOptions, options.applicationName);
    },
    async close() {
      closing ??= (async () => {
        // end() resolves before the sockets are closed, and a server that goes down in between still makes the pool emit 'error'.
        if (given === undefined) await pool.end();
        else pool.off('error', onIdleError).off('connect', listenForErrors);
      })();
      await closing;
    },
  };
  return database;
}

/**
 * BEGIN, `fn`, COMMIT on a connection that the caller holds; see Database.transaction. `begin` is a whole statement.
 * Also for users of a client that is not from our pool.
 */
export async function runTransaction<C extends pg.ClientBase, T>(
  client: C,
  begin: string,
  fn: (client: C) => Promise<T>,
): Promise<T> {
  await client.query(begin);
  let result: T;
  try {
    result = await fn(client);
  } catch (error) {
    // A failed ROLLBACK leaves the connection with an open transaction, or dead: withConnection destroys it either way.
    await client.query('ROLLBACK').catch(() => undefined);
    throw error;
  }
  let commit: pg.QueryResult;
  try {
    commit = await client.query('COMMIT');
  } catch (error) {
    // A verdict of the server (a deferred constraint, a serialization failure) is a rollback for certain. Anything else
    // leaves it open whether COMMIT arrived and its answer was lost.
    if (sqlStateOf(error) !== undefined && classifySqlError(error) !== 'connection') throw error;
    throw new HoldfastError(
      'HF_COMMIT_IN_DOUBT',
      'The connection broke during COMMIT; the transaction may or may not have been committed.',
      {
        advice: 'Look for one of its rows by id before you repeat it.',
        cause: error,
      },
    );
  }
  // PostgreSQL answers COMMIT of a failed transaction with success and the tag ROLLBACK.
  if (commit.command === 'ROLLBACK') {
    throw new HoldfastError(
      'HF_TRANSACTION_ABORTED',
      'COMMIT rolled back, because a statement of the transaction had failed.',
      {
        advice: 'Do not catch errors of statements inside a transaction without a savepoint.',
      },
    );
  }
  return result;
}

/** BEGIN with the given options. */
export function beginStatement(options: DatabaseTransactionOptions = {}): string {
  refuseUnknownOptions(options, ['isolation', 'readOnly', 'timeoutMs'], 'transaction');
  const { isolation, readOnly } = options;
  if (isolation !== undefined && !ISOLATION_LEVELS.includes(isolation)) {
    throw new HoldfastError('HF_CONFIG', `Unknown isolation level ${JSON.stringify(isolation)}.`, {
      advice: `Use one of: ${ISOLATION_LEVELS.join(', ')}.`,
    });
  }
  const level = isolation === undefined ? '' : ` ISOLATION LEVEL ${isolation.toUpperCase()}`;
  return `BEGIN${level}${readOnly === true ? ' READ ONLY' : ''}`;
}

const ISOLATION_LEVELS: readonly string[] = ['read committed', 'repeatable read', 'serializable'];

/** Throws HF_CONFIG. */
export function assertEnvironmentName(name: string | undefined): string | undefined {
  if (name === undefined || (typeof name === 'string' && /^[\w.:-]{1,100}$/.test(name))) return name;
  throw new HoldfastError('HF_CONFIG', `${JSON.stringify(name)} cannot be the name of an environment.`, {
    advice: "Give 1 to 100 letters, digits, '-', '_', '.' or ':', such as 'production'.",
  });
}

/** For connections of our own on a pool that says nothing of it, in milliseconds. */
const CONNECT_TIMEOUT_MS = 10_000;

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

/** Longer than any single statement of ours takes, in milliseconds; those under a lease have less. */
const QUERY_TIMEOUT_MS = 60_000;

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

/** An 'error' that nobody hears ends the process. Queries reject by themselves. */
function listenForErrors(client: pg.PoolClient): void {
  client.on('error', () => {});
}

async function withConnection<T>(pool: pg.Pool, fn: (client: pg.PoolClient) => Promise<T>): Promise<T> {
  const client = await takeConnection(pool);
  let broken = false;
  // While a client is checked out the pool does not listen, and an unheard 'error' would end the process.
  const onError = () => {
    broken = true;
  };
  client.on('error', onError);
  try {
    return await fn(client);
  } catch (error) {
    // Nor may one whose prepared statements are not what they seem.
    if (['connection', 'session'].includes(classifySqlError(error))) broken = true;
    throw error;
  } finally {
    client.off('error', onError);
    // Neither a dead connection nor one with an open transaction may serve the next caller.
    const status = client.getTransactionStatus();
    giveBack(client, broken || (status !== 'I' && status !== null));
  }
}

/** How long a server may take to close a connection that is ended, in milliseconds. */
const END_TIMEOUT_MS = 2_000;

async function dedicatedConnection(
  pool: pg.Pool,
  options: DedicatedConnectionOptions,
  applicationName: string | undefined,
): Promise<pg.Client> {
  const client = new pg.Client({
    ...pool.options,
    connectionTimeoutMillis: pool.options.connectionTimeoutMillis || CONNECT_TIMEOUT_MS,
    types: OWN_TYPES,
    ...(options.queryTimeoutMs === undefined ? {} : { query_timeout: options.queryTimeoutMs }),
    // The pool hides the password from enumeration.
    ...(pool.options.password === undefined ? {} : { password: pool.options.password }),
    application_name: options.applicationName ?? applicationName ?? pool.options.application_name ?? 'holdfast',
  });
  let connected = false;
  let over = false;
  const lost = (error: Error) => {
    if (over || !connected) return;
    over = true;
    options.onLost(error);
  };
  client.on('error', lost);
  client.on('end', () => lost(new Error('Connection terminated unexpectedly')));
  const end = client.end.bind(client);
  client.end = async (): Promise<void> => {
    over = true;
    // A peer that has fallen silent never answers the good-bye.
    const cut = setTimeout(() => destroySocket(client), END_TIMEOUT_MS);
    await end().finally(() => clearTimeout(cut));
  };
  try {
    await client.connect();
  } catch (error) {
    await client.end().catch(() => undefined);
    throw error;
  }
  connected = true;
  return client;
}

function poolConfig(options: DatabaseOptions): pg.PoolConfig {
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

function isPool(pool: pg.Pool | pg.PoolConfig | undefined): pool is pg.Pool {
  return pool !== undefined && 'totalCount' in pool && 'connect' in pool;
}
