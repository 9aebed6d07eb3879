/**
 * What units of work on a Database share: what they are given, and the last look at a transaction before it is committed.
 */
import type { PoolClient } from 'pg';
import { PermanentError } from '../../errors.ts';
import type { Database } from '../../postgres/database.ts';
import type { CrashPoint } from '../../runtime/crash-point.ts';
import type { Deadlines } from '../../runtime/deadlines.ts';
import { abortedTransaction } from './client-transaction.ts';

export interface PostgresUnitOfWorkOptions {
  readonly database: Database;
  readonly deadlines: Deadlines;
  readonly crash: CrashPoint;
}

/** A handler may have swallowed an error that aborted the transaction, or have ended the transaction itself. */
export function transactionTrouble(client: PoolClient): Error | null {
  const { getTransactionStatus } = client as { readonly getTransactionStatus?: () => string | null };
  switch (typeof getTransactionStatus === 'function' ? getTransactionStatus.call(client) : null) {
    case 'E':
      return abortedTransaction();
    case 'I':
      return new PermanentError('The handler ended the transaction that Holdfast had opened for it.', {
        advice: 'Leave BEGIN, COMMIT and ROLLBACK to Holdfast.',
      });
    default:
      return null;
  }
}
