/**
 * Classifies errors: whether the message is at fault, or the database and the way to it. Pure.
 */
import { HoldfastError, isHoldfastError } from '../../errors.ts';
import { classifySqlError, sqlStateOf } from '../../postgres/sql-state.ts';
import { defectOf } from '../../runtime/defect.ts';

/**
 * Whether an error of a statement or a transaction of ours has nothing to do with the database, so that waiting for the database
 * would be waiting for nothing. Libraries have errors of their own for pools and connections: what is not known to be something else
 * is taken for the database's.
 */
export function isUnrelatedToDatabase(error: unknown): boolean {
  if (classifySqlError(error) !== 'other' || sqlStateOf(error) !== undefined) return false;
  if (error instanceof HoldfastError || isHoldfastError(error)) return !error.code.startsWith('HF_DATABASE');
  return defectOf(error) !== null;
}

/** Whether the server refuses a value: the same message is refused again, however often it comes. */
export function isRefusedValue(error: unknown): boolean {
  return classifySqlError(error) === 'data';
}

/** Read-only, out of disk, memory or connections, input and output: whatever a handler did, the server could not just now. */
const SERVER_CANNOT = /^(53[0-3]|58|25006)/;

/**
 * Whether a handler's error is the server's own trouble, which speaks neither for nor against the message. Only by the server's word:
 * a refused connection may be that of a service the handler calls, and time limits, locks and the end of a connection are often the
 * handler's own doing.
 */
export function isServerFailure(error: unknown): boolean {
  return !isMeant(error) && SERVER_CANNOT.test(sqlStateOf(error) ?? '');
}

/** What a handler throws to say no for certain. */
export function isMeant(error: unknown): boolean {
  return isHoldfastError(error, 'HF_PERMANENT') || isHoldfastError(error, 'HF_REJECTED');
}

/** Whether the server itself refused a statement, so that it is known that it did not run. */
export function saidByServer(error: unknown): boolean {
  return sqlStateOf(error) !== undefined && classifySqlError(error) !== 'connection';
}

/** What to say of an error that holds a message up. */
export function describeHold(error: unknown): string {
  if (isUnrelatedToDatabase(error))
    return 'the message cannot be taken in hand, and not because of the database: it waits';
  switch (classifySqlError(error)) {
    case 'connection':
    case 'other':
      return 'the database cannot be reached: the message waits';
    default:
      return 'the database takes no work just now: the message waits';
  }
}
