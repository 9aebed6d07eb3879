/**
 * A transaction on a connection: BEGIN, the work, and COMMIT or ROLLBACK, with what each answer to COMMIT means.
 */
import type pg from 'pg';
import { HoldfastError } from '../errors.ts';
import { refuseUnknownOptions } from '../runtime/options.ts';
import type { SqlExecutor } from './executor.ts';
import { classifySqlError, sqlStateOf } from './sql-state.ts';

/** How Database.transaction begins. */
export interface DatabaseTransactionOptions {
  /** @defaultValue what the server has set: 'read committed', unless it was changed */
  readonly isolation?: 'read committed' | 'repeatable read' | 'serializable' | undefined;
  /** @defaultValue false */
  readonly readOnly?: boolean | undefined;
  /** @internal As in TimeLimit; only of transactions of our own, which then end by themselves when this process stands still. */
  readonly timeoutMs?: number | undefined;
}

/** So long at most a transaction of our own waits for its process, in milliseconds. */
const MOST_FROZEN_MS = 10_000;

/**
 * A process that is stopped or starved between two statements keeps what it has locked, and everybody else waits. So the server ends
 * the transaction, before those who wait with a limit like this one give up.
 */
export function limitFrozen(timeoutMs: number): string {
  return `SET LOCAL idle_in_transaction_session_timeout = ${Math.min(MOST_FROZEN_MS, Math.ceil(timeoutMs / 2))}`;
}

/** The same for a transaction of our own that somebody else's client has opened, before anything is written in it. */
export async function limitFrozenIn(execute: SqlExecutor): Promise<void> {
  await execute(`SELECT set_config('idle_in_transaction_session_timeout', '${MOST_FROZEN_MS}', true) AS idle`, []);
}

/**
 * BEGIN, `fn`, COMMIT on a connection that the caller holds; see Database.transaction. `begin` is a text of whole statements.
 * Also for users of a client that is not from our pool.
 */
export async function runTransaction<C extends pg.ClientBase, T>(
  client: C,
  begin: string,
  fn: (client: C) => Promise<T>,
): Promise<T> {
  await client.query(begin);
  let result: T;
  try {
    result = await fn(client);
  } catch (error) {
    // A failed ROLLBACK leaves the connection with an open transaction, or dead: withConnection destroys it either way.
    await client.query('ROLLBACK').catch(() => undefined);
    throw error;
  }
  let commit: pg.QueryResult;
  try {
    commit = await client.query('COMMIT');
  } catch (error) {
    // A verdict of the server (a deferred constraint, a serialization failure) is a rollback for certain. Anything else
    // leaves it open whether COMMIT arrived and its answer was lost.
    if (sqlStateOf(error) !== undefined && classifySqlError(error) !== 'connection') throw error;
    throw new HoldfastError(
      'HF_COMMIT_IN_DOUBT',
      'The connection broke during COMMIT; the transaction may or may not have been committed.',
      {
        advice: 'Look for one of its rows by id before you repeat it.',
        cause: error,
      },
    );
  }
  // PostgreSQL answers COMMIT of a failed transaction with success and the tag ROLLBACK.
  if (commit.command === 'ROLLBACK') {
    throw new HoldfastError(
      'HF_TRANSACTION_ABORTED',
      'COMMIT rolled back, because a statement of the transaction had failed.',
      {
        advice: 'Do not catch errors of statements inside a transaction without a savepoint.',
      },
    );
  }
  return result;
}

/** BEGIN with the given options, in one exchange. */
export function beginStatement(options: DatabaseTransactionOptions = {}): string {
  refuseUnknownOptions(options, ['isolation', 'readOnly', 'timeoutMs'], 'transaction');
  const { isolation, readOnly, timeoutMs } = options;
  if (isolation !== undefined && !ISOLATION_LEVELS.includes(isolation)) {
    throw new HoldfastError('HF_CONFIG', `Unknown isolation level ${JSON.stringify(isolation)}.`, {
      advice: `Use one of: ${ISOLATION_LEVELS.join(', ')}.`,
    });
  }
  const level = isolation === undefined ? '' : ` ISOLATION LEVEL ${isolation.toUpperCase()}`;
  const begin = `BEGIN${level}${readOnly === true ? ' READ ONLY' : ''}`;
  return timeoutMs === undefined ? begin : `${begin}; ${limitFrozen(timeoutMs)}`;
}

const ISOLATION_LEVELS: readonly string[] = ['read committed', 'repeatable read', 'serializable'];
