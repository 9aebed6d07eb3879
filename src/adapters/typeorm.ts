/** Runner for TypeORM: `holdfast/typeorm`. */
import type { TypeormTransactionHandle } from '../postgres/clients/typeorm.ts';
import type { Runner } from '../postgres/runner.ts';

/** A DataSource, as far as it matters here. Its root manager tells the type of those in transactions. */
export interface TypeormDataSource<Tx> {
  readonly manager: Tx;
  transaction<T>(fn: (manager: Tx) => Promise<T>): Promise<T>;
}

/**
 * Consumers, participants and transaction steps in the transactions of TypeORM: `tx` is their EntityManager.
 *
 * @example
 * const runner = typeormRunner(dataSource);
 */
export function typeormRunner<Tx extends TypeormTransactionHandle>(dataSource: TypeormDataSource<Tx>): Runner<Tx> {
  return { transaction: (fn) => dataSource.transaction(fn) };
}
