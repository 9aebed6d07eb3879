/**
 * The duties of a file in this folder: it knows the transactions of one client or ORM by their shape, and imports nothing of it. So no
 * client is loaded to serve one, and the declarations of the package can be read where it is not installed.
 *
 * - its handle is an interface that the client's transaction fits, and its root handle (a pool, a data source) does not, as far as the
 *   client's own types tell them apart
 * - it returns null for what is none of its own, and throws HF_NOT_IN_TRANSACTION for a root handle and a transaction that has ended
 * - a statement is sent as it is given, `$1` and all, and comes back as rows by the names of their columns. Our statements give texts and
 *   ask for texts, so it does not matter what the client makes of other types
 */
import { HoldfastError } from '../../errors.ts';

/** A row of a result, by the names of its columns. */
export type Row = Readonly<Record<string, unknown>>;

/** Runs one statement with `$1`-style parameters and resolves with its rows. */
export type SqlExecutor = (sql: string, parameters: readonly unknown[]) => Promise<readonly Row[]>;

export interface OpenTransaction {
  readonly execute: SqlExecutor;
  /**
   * Whether the handle itself shows, at this moment, that the next statement will run in an open transaction. If not, only the
   * database can tell. Throws HF_NOT_IN_TRANSACTION when the handle shows the contrary.
   */
  readonly showsTransaction: () => boolean;
}

/** What every file here has: null for what is none of its own. */
export type Recognise = (tx: object) => OpenTransaction | null;

export function notInTransaction(message: string, advice: string): HoldfastError {
  return new HoldfastError('HF_NOT_IN_TRANSACTION', message, { advice });
}

/** Of a transaction that is over: what is sent through it now would be lost, or be in somebody else's. */
export function ended(what: string, how: 'ended' | 'committed' | 'rolled back' = 'ended'): HoldfastError {
  return notInTransaction(
    `${what} ${how === 'ended' ? 'has ended' : `is already ${how}`}.`,
    'Send before you end the transaction.',
  );
}

/** Whether `value` has functions of these names, of its own or inherited. */
export function hasMethods(value: object, ...names: readonly string[]): boolean {
  return names.every((name) => typeof (value as Readonly<Record<string, unknown>>)[name] === 'function');
}
