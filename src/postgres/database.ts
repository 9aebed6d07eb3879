/**
 * Holdfast's own access to PostgreSQL: a pool, transactions, and connections kept outside the pool.
 */
import pg from 'pg';
import { safeHook } from '../runtime/observers.ts';
import { cutAfter, giveBack, takeConnection } from './checkout.ts';
import { hintCommit, takeNoted } from './commit-hints.ts';
import { dedicatedConnection, type DedicatedConnectionOptions } from './dedicated-connection.ts';
import { OWN_TYPES } from './own-results.ts';
import {
  assertEnvironmentName,
  checkDatabaseOptions,
  isPool,
  poolConfig,
  type DatabaseOptions,
} from './pool-settings.ts';
import { assertSchemaName, DEFAULT_SCHEMA } from './quoting.ts';
import { classifySqlError } from './sql-state.ts';
import { beginStatement, runTransaction, type DatabaseTransactionOptions } from './transaction.ts';

export interface TimeLimit {
  /**
   * How long the whole may take by the clock of this process, in milliseconds. Then the connection is cut, and what was under way
   * rejects as when it breaks: the way out when the peer falls silent.
   */
  readonly timeoutMs?: number | undefined;
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
  checkDatabaseOptions(options);
  const schema = assertSchemaName(options.schema ?? DEFAULT_SCHEMA);
  const environment = assertEnvironmentName(options.environment);
  const given = isPool(options.pool) ? options.pool : undefined;
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

/** Longer than any single statement of ours takes, in milliseconds; those under a lease have less. */
const QUERY_TIMEOUT_MS = 60_000;

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
