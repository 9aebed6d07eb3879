/**
 * What an error of the PostgreSQL driver means. Pure; used by whatever decides on retrying, reconnecting or explaining.
 */

/**
 * connection: the connection or the server is gone, reconnect; a statement that was under way may or may not have run.
 * retry: the transaction was rolled back and may be run again as it is (serialization, deadlock, lock timeout, resources).
 * schema: the tables are missing or too old. permission: the role may not. read-only: a standby or read-only transaction.
 */
export type SqlErrorKind = 'connection' | 'retry' | 'schema' | 'permission' | 'read-only' | 'other';

/** Never throws; anything that is no error of the driver is 'other'. */
export function classifySqlError(_error: unknown): SqlErrorKind {
  throw new Error('not written yet');
}

/** The five-character SQLSTATE of a server error, or undefined. */
export function sqlStateOf(_error: unknown): string | undefined {
  throw new Error('not written yet');
}

/** A HoldfastError with advice where more is known than the driver's message says; otherwise the error itself. */
export function translateSqlError(_error: unknown): Error {
  throw new Error('not written yet');
}
