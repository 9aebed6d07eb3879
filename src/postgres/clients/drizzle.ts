/** Transactions of Drizzle on PostgreSQL, whatever driver is below it. */
import { hasMethods, notInTransaction, type OpenTransaction, type Row } from './client.ts';

/** The `tx` of Drizzle on PostgreSQL. */
export interface DrizzleTransactionHandle {
  rollback(): never;
  setTransaction(config: never): Promise<void>;
  execute(query: never): PromiseLike<unknown>;
}

interface Drizzle {
  execute(query: object): PromiseLike<readonly Row[] | { readonly rows: readonly Row[] }>;
}

export function openDrizzle(tx: object): OpenTransaction | null {
  if (!hasMethods(tx, 'execute') || !('dialect' in tx && 'session' in tx)) return null;
  if (!hasMethods(tx, 'setTransaction', 'rollback')) {
    throw notInTransaction(
      'This is a Drizzle database, and not a transaction of it.',
      'Pass the tx of db.transaction(async (tx) => …).',
    );
  }
  const drizzle = tx as unknown as Drizzle;
  return {
    execute: async (sql, parameters) => {
      // What Drizzle takes for a piece of SQL that is written already: it asks it for its text and parameters.
      const written = { sql, params: [...parameters] };
      const result = await drizzle.execute({ getSQL: () => ({ toQuery: () => written }) });
      // node-postgres answers with a result, postgres.js with an array that has further properties.
      return 'rows' in result ? result.rows : [...result];
    },
    showsTransaction: () => false,
  };
}
