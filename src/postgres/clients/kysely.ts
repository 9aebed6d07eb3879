/** Transactions of Kysely. */
import { ended, hasMethods, notInTransaction, type OpenTransaction, type Row } from './client.ts';

/** Transaction or ControlledTransaction of Kysely. */
export interface KyselyTransactionHandle {
  readonly isTransaction: true;
  executeQuery(query: never): Promise<{ readonly rows: readonly unknown[] }>;
}

interface KyselyHandle {
  readonly isTransaction: boolean;
  /** Of a ControlledTransaction. */
  readonly isCommitted?: boolean;
  readonly isRolledBack?: boolean;
  executeQuery(query: object): Promise<{ readonly rows: readonly unknown[] }>;
}

export function openKysely(tx: object): OpenTransaction | null {
  if (!hasMethods(tx, 'executeQuery') || typeof (tx as KyselyHandle).isTransaction !== 'boolean') return null;
  const kysely = tx as KyselyHandle;
  if (!kysely.isTransaction) {
    throw notInTransaction(
      'This Kysely instance is not a transaction.',
      'Pass the trx of db.transaction().execute(async (trx) => …), or the result of db.startTransaction().execute().',
    );
  }
  return {
    execute: async (sql, parameters) => {
      // What CompiledQuery.raw() of Kysely 0.28 and 0.29 makes. Plugins look at the query node, the driver at sql and parameters.
      const { rows } = await kysely.executeQuery({
        sql,
        parameters,
        query: { kind: 'RawNode', sqlFragments: [sql], parameters: [] },
        queryId: { queryId: 'holdfast' },
      });
      return rows as readonly Row[];
    },
    showsTransaction: () => {
      if (kysely.isCommitted === true) throw ended('The Kysely transaction', 'committed');
      if (kysely.isRolledBack === true) throw ended('The Kysely transaction', 'rolled back');
      // A Transaction that outlived its callback looks the same as before in some versions.
      return false;
    },
  };
}
