/** Runner for Sequelize: `holdfast/sequelize`. */
import type { SequelizeTransactionHandle } from '../postgres/clients/sequelize.ts';
import type { Runner } from '../postgres/runner.ts';

/** A Sequelize, as far as it matters here. */
export interface SequelizeDatabase<Tx> {
  transaction(): Promise<Tx>;
}

/**
 * Consumers, participants and transaction steps in the transactions of Sequelize. Give `{ transaction: tx }` to each call of a model.
 *
 * @example
 * const runner = sequelizeRunner(sequelize);
 */
export function sequelizeRunner<Tx extends SequelizeTransactionHandle>(sequelize: SequelizeDatabase<Tx>): Runner<Tx> {
  const managed = sequelize as { transaction<T>(fn: (tx: Tx) => Promise<T>): Promise<T> };
  return { transaction: (fn) => managed.transaction(fn) };
}
