/**
 * Transaction steps: the handler's writes and the record of its outcome in one transaction, in two exchanges with the server. BEGIN goes
 * with the handler's first statement, and the record with COMMIT, one text, of which the server leaves out what follows an error.
 *
 * The fence is taken inside the record, the last statement before COMMIT, so that a handler that hangs holds up nobody who takes over.
 * What became of a COMMIT without answer is found out by step-in-doubt.ts.
 */
import pg from 'pg';
import { HoldfastError, PermanentError } from '../../../errors.ts';
import { pidOf } from '../../../postgres/backend.ts';
import { cutAfter, giveBack, hasJustAnswered, takeConnection } from '../../../postgres/checkout.ts';
import { hintCommit, takeNoted } from '../../../postgres/commit-hints.ts';
import { lend, lendUnopened, type LentClient } from '../../../postgres/lent-client.ts';
import { Pipeline } from '../../../postgres/pipeline.ts';
import { quoteIdentifier } from '../../../postgres/quoting.ts';
import { classifySqlError, sqlStateOf } from '../../../postgres/sql-state.ts';
import { endUnheard } from '../../../postgres/unheard-backend.ts';
import { explainRefusal, StepBrokenError, UnrecordableError, unrecordable } from '../commit-error.ts';
import { commitStatement } from './group-commit.ts';
import { settleStepInDoubt, type JournalledCommit, type StepInDoubtOptions } from './step-in-doubt.ts';
import type { RunCommit, RunUpdate } from '../store.ts';

export interface TransactionStepOptions extends StepInDoubtOptions {
  /** After this long without a statement the server ends the transaction, in milliseconds: its locks must not outlive a frozen worker. */
  readonly idleInTransactionMs: number;
}

/** How long ROLLBACK may wait for a statement that is under way before its backend is ended, in milliseconds. */
const ROLLBACK_MS = 2_000;

export type Body = (tx: pg.PoolClient) => Promise<RunCommit>;

export async function runTransactionStep(options: TransactionStepOptions, workerId: string, body: Body): Promise<void> {
  const { database } = options;
  const client = await takeConnection(database.pool);
  const step = new TransactionStep(options, workerId, client);
  // A checked-out client without a listener would end the process when its connection breaks. Queries reject by themselves.
  const onError = (): void => step.noteBroken();
  client.on('error', onError);
  try {
    await step.run(body);
  } finally {
    client.off('error', onError);
    step.giveBack();
  }
  if (step.wroteMessages) hintCommit(database);
  if (step.doubt !== null) await settleStepInDoubt(options, workerId, { commit: step.doubt, pid: pidOf(client) });
}

class TransactionStep {
  /** What was sent with a COMMIT that stayed without an answer. */
  doubt: JournalledCommit | null = null;
  /** Messages were sent with it, by the handler or by the record. */
  wroteMessages = false;
  readonly #options: TransactionStepOptions;
  readonly #workerId: string;
  readonly #client: pg.PoolClient;
  readonly #pipeline: Pipeline;
  readonly #begin: readonly string[];
  readonly #lent: LentClient<pg.PoolClient>;
  #isReusable = false;
  /** The handler has the connection, or has had it. */
  #isLent = false;
  /** The connection is gone, and not by our doing. */
  #isBroken = false;

  constructor(options: TransactionStepOptions, workerId: string, client: pg.PoolClient) {
    this.#options = options;
    this.#workerId = workerId;
    this.#client = client;
    this.#pipeline = new Pipeline(client);
    const { idleInTransactionMs } = options;
    this.#begin = ['BEGIN', `SET LOCAL idle_in_transaction_session_timeout = ${Math.ceil(idleInTransactionMs)}`];
    // One that lay idle may have fallen silent, which is found out by our own statement, in our own time.
    this.#lent =
      this.#pipeline.isOn && hasJustAnswered(client)
        ? lendUnopened(client, this.#pipeline, this.#begin)
        : lend(client, this.#pipeline);
  }

  /** Rejects when nothing has happened; resolves when all of it has, or nobody knows: then it is in `doubt`. */
  async run(body: Body): Promise<void> {
    const { crashPoint } = this.#options;
    let commit: JournalledCommit;
    try {
      if (this.#lent.opening === null) await this.#inTime(() => this.#client.query(this.#begin.join(';')));
      commit = journalled(await this.#bodyOf(body));
      await this.#lent.restoreRole();
    } catch (error) {
      await this.#rollBack();
      // The handler runs before BEGIN is answered, and need not have told what came of it.
      const met = this.#lent.opening?.failure ?? error;
      if (!this.#isLent || !this.#isBroken || met instanceof StepBrokenError) throw met;
      throw new StepBrokenError({ error: met });
    }
    crashPoint('saga.transaction:before');
    await this.#commit(commit);
    crashPoint('saga.transaction.commit:after');
  }

  noteBroken(): void {
    this.#isBroken = true;
  }

  giveBack(): void {
    // What the step has changed of the session would hold for whatever comes next on this connection.
    const isOver = this.#client.getTransactionStatus() === 'I';
    giveBack(this.#client, !this.#pipeline.end() || !this.#isReusable || !isOver || this.#lent.leftTraces());
  }

  #inTime<T>(act: () => Promise<T>): Promise<T> {
    const { database, queryTimeoutMs } = this.#options;
    return cutAfter({ pool: database.pool, client: this.#client }, queryTimeoutMs, act);
  }

  async #bodyOf(body: Body): Promise<RunCommit> {
    const { opening, tx } = this.#lent;
    let commit: RunCommit;
    this.#isLent = true;
    try {
      commit = await body(tx);
      // What is sent behind a BEGIN that failed would be committed by itself.
      if (opening !== null && !opening.isOpen) await opening.settled();
    } finally {
      this.#lent.takeBack();
    }
    const failure = opening?.failure ?? null;
    if (failure !== null) throw failure;
    // Of a handler that has sent nothing there is no transaction yet, and COMMIT finds out.
    if (this.#isBroken && opening?.isUnsent !== true) throw new StepBrokenError(null);
    const trouble = this.#lent.trouble();
    if (trouble !== null) throw trouble;
    if (opening?.isUnsent !== true) refuseTrouble(this.#client);
    return commit;
  }

  async #commit(commit: JournalledCommit): Promise<void> {
    const { crashPoint, database } = this.#options;
    const begin = this.#lent.opening?.isUnsent === true ? 'BEGIN;' : '';
    crashPoint('saga.transaction.commit:before');
    this.wroteMessages = takeNoted(this.#client) || commit.messages.length > 0;
    try {
      const last = await this.#inTime(() => this.#sendRecord(begin, commit, database.schema));
      this.#isReusable = true;
      if (last !== 'COMMIT') throw abortedStep();
    } catch (error) {
      if (this.#isReusable) throw error;
      if (classifySqlError(error) === 'connection') this.doubt = commit;
      else throw await this.#refusalOf(error);
    }
  }

  /** The record and COMMIT. Resolves with what the server made of COMMIT. */
  async #sendRecord(begin: string, commit: JournalledCommit, schema: string): Promise<string | undefined> {
    const call = recordText(schema, this.#workerId, commit);
    if (call !== null) {
      // Several statements in one text come back as an array of results, which the driver's types do not say.
      const results = (await this.#client.query(`${begin}${call};COMMIT`)) as unknown as readonly pg.QueryResult[];
      return results.at(-1)?.command;
    }
    if (begin !== '') await this.#client.query(begin);
    // Without its name: a connection of the pool may be shared by a pooler that knows no named statements.
    const { text, values } = commitStatement(schema, this.#workerId, [commit]);
    await this.#client.query(text, values);
    return (await this.#client.query('COMMIT')).command;
  }

  /** A verdict of the server is a rollback for certain; of which statement, is told by the transaction, which COMMIT alone ends. */
  async #refusalOf(error: unknown): Promise<Error> {
    await new Promise<void>((resolve) => this.#pipeline.whenReady(resolve));
    const ofCommit = this.#client.getTransactionStatus() === 'I';
    this.#isReusable = ofCommit || (await rollBack(this.#client, this.#options)) === 'rolled back';
    // The driver may not have heard of the failure yet when it was asked before.
    if (sqlStateOf(error) === '25P02') return abortedStep();
    return ofCommit ? explainRefusal(error) : refusedRecord(error);
  }

  /** Before anything of the record was sent. Whether or not the connection can be used again, the transaction will not commit. */
  async #rollBack(): Promise<void> {
    if (this.#lent.opening?.isUnsent === true) {
      this.#isReusable = !this.#isBroken;
      // Without a statement it was not the connection that the handler has failed with.
      this.#isBroken = false;
      return;
    }
    const ended = await rollBack(this.#client, this.#options);
    this.#isReusable = ended === 'rolled back';
    // Not when it was heard of meanwhile that our own word has ended it.
    this.#isBroken = ended === 'broken' || ended === 'silent';
  }
}

/** Why the record of a step was not written. */
export function refusedRecord(error: unknown): Error {
  const refusal = explainRefusal(error);
  const recorded = unrecordable(refusal);
  return recorded === null ? refusal : new UnrecordableError(recorded, error);
}

/** Asserts that a transaction step has a row of the journal: without it nobody could find out what became of it. */
export function journalled(commit: RunCommit): JournalledCommit {
  const { journal } = commit;
  if (journal === null) throw new TypeError('A transaction step without a journal row cannot be found out about.');
  return { ...commit, journal };
}

/** Whether there is no more in the commit than `record_step` writes. */
export function isStepRecord(commit: JournalledCommit): boolean {
  const { update, start, children, messages, runMessages, runMessagesDone } = commit;
  if (start !== null || [children, messages, runMessages, runMessagesDone].some((list) => list.length > 0))
    return false;
  return update === null || passesPivot(update);
}

/** In one text with COMMIT, and so without parameters. Null: there is more in the commit than a step records. */
function recordText(schema: string, workerId: string, commit: JournalledCommit): string | null {
  if (!isStepRecord(commit)) return null;
  const { runId, journal, update } = commit;
  const { n, at, events } = journal;
  const changed = update === null ? '' : `,${literal(update.status)},${literal(update.reason)}`;
  return `SELECT ${quoteIdentifier(schema)}.record_step('${workerId}','${runId}',${n},${at},${literal(events)}${changed})`;
}

/** Whether this is all that the update says. */
function passesPivot({ status, reason, pivoted, release, result, error, ...more }: RunUpdate): boolean {
  if (status === 'completed' || status === 'compensated' || !pivoted) return false;
  return release === null && result === null && error === null && Object.keys({ reason, ...more }).length === 1;
}

function literal(text: string | null): string {
  return text === null ? 'NULL' : pg.escapeLiteral(text);
}

/** A handler may have swallowed an error that aborted the transaction, or have ended the transaction itself. */
function refuseTrouble(client: pg.PoolClient): void {
  const status = client.getTransactionStatus();
  if (status === 'E') throw abortedStep();
  if (status === 'I') throw endedByStep();
}

export function endedByStep(): PermanentError {
  return new PermanentError('The step ended the transaction that Holdfast had opened for it.', {
    advice: 'Leave BEGIN, COMMIT and ROLLBACK to Holdfast.',
  });
}

export function abortedStep(): HoldfastError {
  return new HoldfastError(
    'HF_TRANSACTION_ABORTED',
    'The step resolved, but a statement in its transaction had failed, so nothing could be committed.',
    { advice: 'Let the error out of the step, or put the statement into a savepoint.' },
  );
}

/**
 * broken: the connection was gone by itself. silent: it was there, and nothing came through. ended by us: a statement that the step left
 * behind was still running, with its locks, which is how it looks when a step has hung in it until its time was up.
 */
type RolledBack = 'rolled back' | 'broken' | 'silent' | 'ended by us';

async function rollBack(
  client: pg.PoolClient,
  { database, queryTimeoutMs }: TransactionStepOptions,
): Promise<RolledBack> {
  let timer: NodeJS.Timeout | undefined;
  let isRolledBack = false;
  const late = new Promise<'late'>((resolve) => {
    timer = setTimeout(() => resolve('late'), ROLLBACK_MS);
  });
  const rollback = client.query('ROLLBACK').then(
    () => {
      isRolledBack = true;
      return 'rolled back' as const;
    },
    () => 'broken' as const,
  );
  const answer = await Promise.race([rollback, late]);
  clearTimeout(timer);
  if (answer !== 'late') return answer;
  const why = await endUnheard(database, { pid: pidOf(client), isAnswered: false }, queryTimeoutMs);
  // An event loop that stood still hears of the answer after its time.
  if (isRolledBack) return 'rolled back';
  return why === 'silent' ? 'silent' : 'ended by us';
}
