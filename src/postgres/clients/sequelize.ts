/** Transactions of Sequelize. */
import { ended, hasMethods, notInTransaction, type OpenTransaction, type Row } from './client.ts';

/** A Transaction of Sequelize. */
export interface SequelizeTransactionHandle {
  readonly LOCK: unknown;
  afterCommit(fn: never): unknown;
  commit(): Promise<void>;
}

interface SequelizeTransaction {
  readonly sequelize: { query(sql: string, options: object): Promise<readonly Row[]> };
  /** Once it has ended. */
  readonly finished?: string;
}

export function openSequelize(tx: object): OpenTransaction | null {
  if (hasMethods(tx, 'query', 'authenticate', 'define')) {
    throw notInTransaction(
      'This is Sequelize itself, and not a transaction of it.',
      'Pass the t of sequelize.transaction(async (t) => …).',
    );
  }
  if (!hasMethods(tx, 'afterCommit', 'commit', 'rollback') || !('sequelize' in tx)) return null;
  const transaction = tx as SequelizeTransaction;
  return {
    // As a SELECT, whatever it is: of those it gives the rows.
    execute: (sql, parameters) =>
      transaction.sequelize.query(sql, {
        bind: [...parameters],
        transaction,
        type: 'SELECT',
        raw: true,
        nest: false,
        plain: false,
      }),
    showsTransaction: () => {
      if (transaction.finished !== undefined) throw ended('The Sequelize transaction');
      return false;
    },
  };
}
