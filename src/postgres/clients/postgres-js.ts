/** Transactions of postgres.js, which are functions as its root is. */
import { hasMethods, notInTransaction, type OpenTransaction, type Row } from './client.ts';

/** The `sql` that `sql.begin` of postgres.js passes on. */
export interface PostgresJsTransactionHandle {
  savepoint(scope: never): Promise<unknown>;
  unsafe(query: never, parameters: never): unknown;
}

interface PostgresJs {
  unsafe(query: string, parameters: readonly unknown[]): Promise<readonly Row[]>;
}

export function openPostgresJs(tx: object): OpenTransaction | null {
  if (!hasMethods(tx, 'unsafe')) return null;
  // A reserved connection may be in a transaction that was begun by hand.
  if (!hasMethods(tx, 'savepoint') && !hasMethods(tx, 'release')) {
    throw notInTransaction(
      'This is the sql of postgres.js itself, and not that of a transaction.',
      'Pass the sql that sql.begin(async (sql) => …) gives to its function.',
    );
  }
  const sql = tx as PostgresJs;
  return {
    // Never prepared, so nothing of it stays on the connection. The array that it resolves with has further properties.
    execute: async (text, parameters) => [...(await sql.unsafe(text, parameters))],
    showsTransaction: () => false,
  };
}
