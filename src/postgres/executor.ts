/**
 * The narrowest view of a database handle: run one statement. Everything that writes inside a caller's transaction
 * goes through it, so that no driver or ORM is imported to serve one.
 */

export type Row = Readonly<Record<string, unknown>>;

/** Runs one statement with `$1`-style parameters and resolves with its rows. */
export type SqlExecutor = (sql: string, parameters: readonly unknown[]) => Promise<readonly Row[]>;

/** A connected client of node-postgres: Client or PoolClient, not a Pool. */
export interface PgClientHandle {
  query(query: { name?: string; text: string; values: unknown[] }): Promise<{ readonly rows: readonly unknown[] }>;
  escapeIdentifier(text: string): string;
}

/** Transaction or ControlledTransaction of Kysely. */
export interface KyselyTransactionHandle {
  readonly isTransaction: true;
  executeQuery(query: never): Promise<{ readonly rows: readonly unknown[] }>;
}

/** The caller's open transaction, in their client. A function is taken as a SqlExecutor. */
export type TransactionHandle = PgClientHandle | KyselyTransactionHandle | SqlExecutor;

/**
 * The executor of a transaction handle. Throws HF_TX_UNSUPPORTED for a handle of no known kind and HF_NOT_IN_TRANSACTION for one
 * that shows that it is not in an open transaction.
 */
export function toExecutor(_tx: TransactionHandle): SqlExecutor {
  throw new Error('not written yet');
}
