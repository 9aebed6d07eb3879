/** Transactions of MikroORM: an EntityManager in one. From version 7 on there is a transaction of Kysely below, before one of Knex. */
import { hasMethods, notInTransaction, type OpenTransaction } from './client.ts';
import { openKnex } from './knex.ts';
import { openKysely } from './kysely.ts';

/** An EntityManager of MikroORM. Whether it is in a transaction is seen when it is used. */
export interface MikroOrmTransactionHandle {
  isInTransaction(): boolean;
  getTransactionContext(): unknown;
}

export function openMikroOrm(tx: object): OpenTransaction | null {
  if (!hasMethods(tx, 'isInTransaction', 'getTransactionContext')) return null;
  const em = tx as MikroOrmTransactionHandle;
  // Asked anew each time: an EntityManager may begin one transaction after the other.
  const current = (): OpenTransaction => {
    const context: unknown = em.isInTransaction() ? em.getTransactionContext() : undefined;
    if (context !== undefined && context !== null) {
      const found = openKysely(context) ?? openKnex(context);
      if (found !== null) return found;
    }
    throw notInTransaction(
      'This EntityManager of MikroORM is not in a transaction.',
      'Pass the em of em.transactional(async (em) => …), or call em.begin() before.',
    );
  };
  return {
    execute: (sql, parameters) => current().execute(sql, parameters),
    showsTransaction: () => current().showsTransaction(),
  };
}
