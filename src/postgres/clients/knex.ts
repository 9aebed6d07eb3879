/** Transactions of Knex, which are functions as its root is. */
import { ended, hasMethods, notInTransaction, type OpenTransaction, type Row } from './client.ts';

/** The `trx` of Knex. */
export interface KnexTransactionHandle {
  isCompleted(): boolean;
  savepoint(scope: never): Promise<unknown>;
  raw(sql: never, bindings: never): unknown;
}

interface KnexTransaction {
  isCompleted(): boolean;
  raw(sql: string, bindings: readonly unknown[]): Promise<{ readonly rows: readonly Row[] }>;
}

export function openKnex(tx: object): OpenTransaction | null {
  if (!hasMethods(tx, 'raw', 'queryBuilder')) return null;
  if (!hasMethods(tx, 'isCompleted', 'savepoint')) {
    throw notInTransaction(
      'This is Knex itself, and not a transaction of it.',
      'Pass the trx of knex.transaction(async (trx) => …), or of await knex.transaction().',
    );
  }
  const trx = tx as unknown as KnexTransaction;
  return {
    execute: async (sql, parameters) => {
      const { text, bindings } = withQuestionMarks(sql, parameters);
      return (await trx.raw(text, bindings)).rows;
    },
    showsTransaction: () => {
      if (trx.isCompleted()) throw ended('The Knex transaction');
      return false;
    },
  };
}

/** Knex knows `?` alone, each for the binding in its place. */
export function withQuestionMarks(
  sql: string,
  parameters: readonly unknown[],
): { readonly text: string; readonly bindings: readonly unknown[] } {
  const bindings: unknown[] = [];
  const text = sql.replaceAll(/\?|\$(\d+)/g, (found, number: string | undefined) => {
    if (number === undefined) return `\\${found}`;
    bindings.push(parameters[Number(number) - 1]);
    return '?';
  });
  return { text, bindings };
}
