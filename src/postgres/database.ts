/**
 * Holdfast's own access to PostgreSQL: a pool, transactions, and connections kept outside the pool.
 * Used by the relay, consumers, the migrator and the operations; never by the writer, which works in the caller's transaction.
 */

import type pg from 'pg';
import type { Duration } from '../runtime/duration.ts';

export interface DatabaseOptions {
  /** postgres:// URL. Without it, and without `pool`, the PG* environment variables of the driver apply. */
  readonly url?: string | undefined;
  /** An existing pool, which `close` leaves open, or the driver's own settings for a new one. */
  readonly pool?: pg.Pool | pg.PoolConfig | undefined;
  /** Schema of the Holdfast tables; default 'holdfast'. */
  readonly schema?: string | undefined;
  /** Shown in pg_stat_activity; default 'holdfast'. */
  readonly applicationName?: string | undefined;
  /** Most connections in the pool; default 10. */
  readonly max?: number | undefined;
  /** Longest wait for a connection; default '10s'. */
  readonly connectTimeout?: Duration | undefined;
  /** Longest run of one statement, enforced by the server; default none. */
  readonly statementTimeout?: Duration | undefined;
  /** Told of errors on idle connections, which are dropped and replaced; default: nothing. */
  readonly onIdleError?: ((error: Error) => void) | undefined;
}

export interface TransactionOptions {
  readonly isolation?: 'read committed' | 'repeatable read' | 'serializable' | undefined;
  readonly readOnly?: boolean | undefined;
}

export interface DedicatedConnectionOptions {
  /** Called once when the connection is lost, but not when it is ended on purpose. */
  readonly onLost: (error: Error) => void;
  /** Default: the database's application name. */
  readonly applicationName?: string | undefined;
}

/** All rejections are the driver's errors or their translation by sql-state.ts; classifySqlError tells what either means. */
export interface Database {
  readonly schema: string;
  readonly pool: pg.Pool;
  query<R extends pg.QueryResultRow = pg.QueryResultRow>(text: string, values?: readonly unknown[]): Promise<pg.QueryResult<R>>;
  /** One connection for several statements. It is destroyed, not reused, if `fn` failed with an error of the connection. */
  withConnection<T>(fn: (client: pg.PoolClient) => Promise<T>): Promise<T>;
  /**
   * BEGIN, `fn`, COMMIT; ROLLBACK when `fn` rejects. Never retries. Rejects with HF_COMMIT_IN_DOUBT when the connection broke
   * after COMMIT was sent: the transaction may have been committed.
   */
  transaction<T>(fn: (client: pg.PoolClient) => Promise<T>, options?: TransactionOptions): Promise<T>;
  /** A connected client outside the pool, with the same settings; the caller ends it. */
  dedicatedConnection(options: DedicatedConnectionOptions): Promise<pg.Client>;
  /** Ends the pool, unless it was given. Idempotent. */
  close(): Promise<void>;
}

/** Opens nothing before the first use. Throws HF_CONFIG on bad options. */
export function openDatabase(_options: DatabaseOptions): Database {
  throw new Error('not written yet');
}
