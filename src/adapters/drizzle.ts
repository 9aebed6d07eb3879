/** Runner for Drizzle on node-postgres, postgres.js and whatever else speaks to PostgreSQL: `holdfast/drizzle`. */
import type { DrizzleTransactionHandle } from '../postgres/clients/drizzle.ts';
import type { Runner } from '../postgres/runner.ts';
import { unlessLeft } from './left-transaction.ts';

/** What `drizzle(…)` returns, as far as it matters here. */
export interface DrizzleDatabase<Tx> {
  transaction<T>(fn: (tx: Tx) => Promise<T>): Promise<T>;
}

/**
 * Consumers, participants and transaction steps in the transactions of Drizzle.
 *
 * @example
 * const runner = drizzleRunner(db);
 */
export function drizzleRunner<Tx extends DrizzleTransactionHandle>(db: DrizzleDatabase<Tx>): Runner<Tx> {
  return { transaction: (fn) => unlessLeft((run) => db.transaction(run), fn) };
}
