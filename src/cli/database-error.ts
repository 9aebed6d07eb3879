/**
 * Errors of the database as the command line tells them. Used by the daemon and the program.
 */
import { isHoldfastError } from '../errors.ts';
import { classifySqlError, NO_DATABASE, sqlStateOf, translateSqlError } from '../postgres/sql-state.ts';

/**
 * Worth waiting for, as a running daemon waits for it: the server is down, starting, behind a network that is not up yet, a standby that
 * is about to be promoted, or out of connections. What is unknown is told at once: at a start somebody is there to read it.
 */
export function isWorthWaitingFor(error: unknown): boolean {
  if (sqlStateOf(error) === NO_DATABASE) return false;
  if (isHoldfastError(error, 'HF_DATABASE_UNAVAILABLE') || isHoldfastError(error, 'HF_DATABASE_READ_ONLY')) return true;
  return ['connection', 'read-only', 'busy'].includes(classifySqlError(error));
}

/** What ails a database that is worth waiting for, as the end of `the database …`. */
export function whatIsAwaited(error: unknown): string {
  const kind = classifySqlError(error);
  if (kind === 'read-only' || isHoldfastError(error, 'HF_DATABASE_READ_ONLY')) return 'takes no writes';
  return kind === 'busy' ? 'has no room' : 'cannot be reached';
}

/** Anything else is returned as it is. */
export function explainDatabaseError(error: unknown): unknown {
  if (!(error instanceof Error) || isHoldfastError(error)) return error;
  return translateSqlError(error);
}
