/** Runner for Kysely: `holdfast/kysely`. */
import type { Kysely, Transaction } from 'kysely';
import type { Runner } from '../postgres/runner.ts';

/**
 * Consumers, participants and transaction steps in the transactions of Kysely.
 *
 * @example
 * const runner = kyselyRunner(kysely);
 */
export function kyselyRunner<DB>(db: Kysely<DB>): Runner<Transaction<DB>> {
  return { transaction: (fn) => db.transaction().execute(fn) };
}
