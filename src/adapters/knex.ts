/** Runner for Knex: `holdfast/knex`. */
import type { KnexTransactionHandle } from '../postgres/clients/knex.ts';
import type { Runner } from '../postgres/runner.ts';

/** What `knex(…)` returns, as far as it matters here. */
export interface KnexDatabase<Tx> {
  transaction<T>(scope: (trx: Tx) => Promise<T>): Promise<T>;
}

/**
 * Consumers, participants and transaction steps in the transactions of Knex.
 *
 * @example
 * const runner = knexRunner(knex);
 */
export function knexRunner<Tx extends KnexTransactionHandle>(knex: KnexDatabase<Tx>): Runner<Tx> {
  return { transaction: (fn) => knex.transaction(fn) };
}
