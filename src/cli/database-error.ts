/**
 * Errors of the database as the command line tells them. Used by the daemon and the program.
 */
import { HoldfastError, isHoldfastError } from '../errors.ts';
import { classifySqlError, sqlStateOf, translateSqlError } from '../postgres/sql-state.ts';

/** Worth waiting for: the server is down, starting, or behind a network that is not up yet. */
export function isUnreachable(error: unknown): boolean {
  return isHoldfastError(error, 'HF_DATABASE_UNAVAILABLE') || classifySqlError(error) === 'connection';
}

/** Anything else is returned as it is. */
export function explainDatabaseError(error: unknown): unknown {
  if (!(error instanceof Error) || isHoldfastError(error)) return error;
  if (sqlStateOf(error) === '3D000') {
    return new HoldfastError('HF_DATABASE_UNAVAILABLE', `PostgreSQL answers, but ${error.message}.`, {
      advice: 'Check the name at the end of the database URL, or create it (createdb).',
      cause: error,
    });
  }
  return translateSqlError(error);
}
