/**
 * How transactions of the user's own client or ORM are opened: the port that consumers, participants and transaction steps of sagas take.
 * The runners of the clients that Holdfast knows stand in src/adapters.
 */
import { badOption } from '../runtime/options.ts';
import { toExecutor, type Row, type SqlExecutor, type TransactionHandle } from './executor.ts';

/**
 * How to open a transaction with a client or ORM of your own. `holdfast/drizzle`, `holdfast/knex` and their like have one for each client
 * that is known.
 *
 * @example
 * const runner: Runner<MyTransaction> = {
 *   transaction: (fn) => myClient.inTransaction(fn),
 *   execute: (tx, sql, parameters) => tx.rows(sql, parameters),
 * };
 */
export interface Runner<Tx> {
  /** Opens a transaction, commits it when `fn` resolves and rolls it back when `fn` rejects. Must not run `fn` twice. */
  transaction<T>(fn: (tx: Tx) => Promise<T>): Promise<T>;
  /** How to run a statement with `$1`-style parameters in `tx`. Not needed for transactions that `outbox.send` takes as they are. */
  execute?(tx: Tx, sql: string, parameters: readonly unknown[]): Promise<readonly Row[]>;
  /** Sends to the database what the ORM still holds back of `tx`. Called before Holdfast writes its own record and COMMIT follows. */
  flush?(tx: Tx): Promise<void>;
}

/** Runs statements in a transaction of the runner. */
export function executorIn<Tx>(runner: Runner<Tx>, tx: Tx): SqlExecutor {
  if (runner.execute === undefined) return toExecutor(tx as TransactionHandle);
  return async (sql, parameters) => runner.execute?.(tx, sql, parameters) ?? [];
}

/** A transaction of the runner as the outbox takes it. */
export function handleBy<Tx>(runner: Runner<Tx>, tx: Tx): TransactionHandle {
  return runner.execute === undefined ? (tx as TransactionHandle) : executorIn(runner, tx);
}

/** @throws HoldfastError HF_CONFIG */
export function checkRunner(where: string, runner: unknown): void {
  const { transaction, execute, flush } = (runner ?? {}) as Partial<Record<keyof Runner<unknown>, unknown>>;
  const optional = [execute, flush].every((each) => each === undefined || typeof each === 'function');
  if (typeof transaction === 'function' && optional) return;
  throw badOption(
    where,
    'has a runner without transaction',
    'Give the runner of your client, such as drizzleRunner(db) of holdfast/drizzle, or { transaction: (fn) => db.transaction().execute(fn) }.',
  );
}
