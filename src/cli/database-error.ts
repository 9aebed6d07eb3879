/**
 * Errors of the database, and of a broker at a start, as the command line tells them.
 */
import { isHoldfastError } from '../errors.ts';
import { classifySqlError, NO_DATABASE, sqlStateOf, translateSqlError } from '../postgres/sql-state.ts';

/**
 * Worth waiting for, as a running daemon waits for it: the server is down, starting, behind a network that is not up yet, a standby that
 * is about to be promoted, or out of connections. What is unknown is told at once: at a start somebody is there to read it.
 */
export function isWorthWaitingFor(error: unknown): boolean {
  if (sqlStateOf(error) === NO_DATABASE) return false;
  if (isHoldfastError(error, 'HF_TRANSPORT_UNAVAILABLE')) return true;
  if (isHoldfastError(error, 'HF_DATABASE_UNAVAILABLE') || isHoldfastError(error, 'HF_DATABASE_READ_ONLY')) return true;
  return ['connection', 'read-only', 'busy'].includes(classifySqlError(error));
}

/** Who is worth waiting for, and what ails it. */
export function whatIsAwaited(error: unknown): string {
  if (isHoldfastError(error, 'HF_TRANSPORT_UNAVAILABLE')) return 'the broker cannot be reached';
  const kind = classifySqlError(error);
  if (kind === 'read-only' || isHoldfastError(error, 'HF_DATABASE_READ_ONLY')) return 'the database takes no writes';
  return kind === 'busy' ? 'the database has no room' : 'the database cannot be reached';
}

/** Anything else is returned as it is. */
export function explainDatabaseError(error: unknown): unknown {
  if (!(error instanceof Error) || isHoldfastError(error)) return error;
  return translateSqlError(error);
}
