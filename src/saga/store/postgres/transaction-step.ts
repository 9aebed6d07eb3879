/**
 * Transaction steps: the handler's writes and the record of its outcome in one transaction.
 *
 * The fence is taken inside the last statement before COMMIT, so that a handler that hangs holds up nobody who takes over. When COMMIT
 * stays without an answer, whether it happened is found out by inserting the same journal row in another transaction, which is rolled
 * back: the row of the first was inserted, and that was answered, before COMMIT was sent; so the second insert waits until the first
 * transaction has ended, however late its COMMIT arrives, and is refused if, and only if, it was committed. Should that take long, the
 * first one's backend is ended.
 */
import type pg from 'pg';
import { HoldfastError, PermanentError } from '../../../errors.ts';
import { endBackend, pidOf } from '../../../postgres/backend.ts';
import { cutAfter, giveBack, takeConnection } from '../../../postgres/checkout.ts';
import { hintCommit, takeNoted } from '../../../postgres/commit-hints.ts';
import type { Database } from '../../../postgres/database.ts';
import { lend, type LentClient } from '../../../postgres/lent-client.ts';
import { Pipeline } from '../../../postgres/pipeline.ts';
import { quoteIdentifier } from '../../../postgres/quoting.ts';
import { classifySqlError, sqlStateOf } from '../../../postgres/sql-state.ts';
import type { CrashPoint } from '../../../runtime/crash-point.ts';
import { explainRefusal, UnrecordableError, unrecordable } from '../commit-error.ts';
import { commitStatement } from './group-commit.ts';
import { untilAnswered, type ReconnectOptions } from './reconnect.ts';
import type { RunCommit } from '../store.ts';

export interface TransactionStepOptions extends ReconnectOptions {
  readonly database: Database;
  readonly crashPoint: CrashPoint;
  /** After this long without a statement the server ends the transaction, in milliseconds: its locks must not outlive a frozen worker. */
  readonly idleInTransactionMs: number;
  /** How long each of our own statements waits for its answer, in milliseconds. */
  readonly queryTimeoutMs: number;
}

/** How long ROLLBACK may wait for a statement that is under way before its backend is ended, in milliseconds. */
const ROLLBACK_MS = 2_000;
/** How long the look after a COMMIT without answer waits before it ends the old backend, in milliseconds. */
const PROBE_LOCK_MS = 1_000;
/** The number of a backend may have gone to another one meanwhile; only one that is in a transaction as old as that is meant. */
const IN_OURS = { olderThanMs: 500 };

export type Body = (tx: pg.PoolClient) => Promise<RunCommit>;

export async function runTransactionStep(options: TransactionStepOptions, workerId: string, body: Body): Promise<void> {
  const { database, crashPoint, idleInTransactionMs, queryTimeoutMs } = options;
  const client = await takeConnection(database.pool);
  const onError = (): void => {};
  // A checked-out client without a listener would end the process when its connection breaks. Queries reject by themselves.
  client.on('error', onError);
  const pipeline = new Pipeline(client);
  const lent = lend(client, pipeline);
  const inTime = <T>(act: () => Promise<T>): Promise<T> =>
    cutAfter({ pool: database.pool, client }, queryTimeoutMs, act);
  let reusable = false;
  let doubt: RunCommit | null = null;
  let wrote = false;
  try {
    // Several statements in one text: one round trip.
    await inTime(() =>
      client.query(`BEGIN;SET LOCAL idle_in_transaction_session_timeout = ${Math.ceil(idleInTransactionMs)}`),
    );
    const commit = await attempt(lent, body, async (written) => {
      refuseTrouble(client);
      if (written.journal === null)
        throw new TypeError('A transaction step without a journal row cannot be found out about.');
      crashPoint('saga.transaction:before');
      await lent.restoreRole();
      // Without its name: a connection of the pool may be shared by a pooler that knows no named statements.
      const { text, values } = commitStatement(database.schema, workerId, [written]);
      await inTime(() => client.query(text, values)).catch((error: unknown) => {
        // The driver may not have heard of the failure yet when it was asked above.
        if (sqlStateOf(error) === '25P02') throw aborted();
        const refusal = explainRefusal(error);
        const recorded = unrecordable(refusal);
        throw recorded === null ? refusal : new UnrecordableError(recorded, error);
      });
    }).catch(async (error: unknown) => {
      reusable = await rolledBack(client, database);
      throw error;
    });
    crashPoint('saga.transaction.commit:before');
    try {
      wrote = takeNoted(client) || commit.messages.length > 0;
      const { command } = await inTime(() => client.query('COMMIT'));
      reusable = true;
      if (command !== 'COMMIT') throw aborted();
    } catch (error) {
      // A verdict of the server (a deferred constraint) is a rollback for certain.
      if (classifySqlError(error) !== 'connection') {
        reusable = true;
        throw explainRefusal(error);
      }
      doubt = commit;
    }
    crashPoint('saga.transaction.commit:after');
  } finally {
    client.off('error', onError);
    // What the step has changed of the session would hold for whatever comes next on this connection.
    giveBack(client, !pipeline.end() || !reusable || lent.leftTraces());
  }
  if (wrote) hintCommit(database, 'messages');
  if (doubt === null) return;
  if (!(await wasCommitted(options, doubt, pidOf(client))))
    throw new HoldfastError(
      'HF_DATABASE_UNAVAILABLE',
      'The connection broke during COMMIT, and the transaction was rolled back.',
    );
}

async function attempt(
  lent: LentClient<pg.PoolClient>,
  body: Body,
  then: (commit: RunCommit) => Promise<void>,
): Promise<RunCommit> {
  const commit = await body(lent.tx).finally(() => lent.takeBack());
  const trouble = lent.trouble();
  if (trouble !== null) throw trouble;
  await then(commit);
  return commit;
}

/** A handler may have swallowed an error that aborted the transaction, or have ended the transaction itself. */
function refuseTrouble(client: pg.PoolClient): void {
  const status = client.getTransactionStatus();
  if (status === 'E') throw aborted();
  if (status === 'I') {
    throw new PermanentError('The step ended the transaction that Holdfast had opened for it.', {
      advice: 'Leave BEGIN, COMMIT and ROLLBACK to Holdfast.',
    });
  }
}

function aborted(): HoldfastError {
  return new HoldfastError(
    'HF_TRANSACTION_ABORTED',
    'The step resolved, but a statement in its transaction had failed, so nothing could be committed.',
    { advice: 'Let the error out of the step, or put the statement into a savepoint.' },
  );
}

/** Whether the connection can be used again. Either way the transaction will not commit: COMMIT was never sent. */
async function rolledBack(client: pg.PoolClient, database: Database): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<false>((resolve) => {
    timer = setTimeout(() => resolve(false), ROLLBACK_MS);
  });
  const rollback = client.query('ROLLBACK').then(
    () => true,
    () => null,
  );
  const answer = await Promise.race([rollback, late]);
  clearTimeout(timer);
  // A statement that the step left behind is still running, with its locks.
  if (answer === false) await endBackend(database, pidOf(client), IN_OURS).catch(() => undefined);
  return answer === true;
}

async function wasCommitted(options: TransactionStepOptions, commit: RunCommit, pid: number | null): Promise<boolean> {
  const { database, queryTimeoutMs } = options;
  const { journal, runId } = commit;
  if (journal === null) return false;
  return untilAnswered('the COMMIT of a transaction step', options, async (tries) => {
    if (tries > 0) await endBackend(database, pid, IN_OURS);
    return database.withConnection(
      async (client) => {
        await client.query(`BEGIN;SET LOCAL lock_timeout = ${PROBE_LOCK_MS}`);
        try {
          await client.query(
            `INSERT INTO ${quoteIdentifier(database.schema)}.saga_journal (saga_id, n, events, at) VALUES ($1, $2, '[]', now())`,
            [runId, journal.n],
          );
          return false;
        } catch (error) {
          if (sqlStateOf(error) === '23505') return true;
          throw error;
        } finally {
          await client.query('ROLLBACK').catch(() => undefined);
        }
      },
      { timeoutMs: queryTimeoutMs },
    );
  });
}
