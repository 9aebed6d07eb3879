/**
 * An attempt of a transaction step, or of its compensation: its effect and its row of the journal commit together, fenced by the lease as
 * the last thing before COMMIT.
 */
import { isHoldfastError } from '../../errors.ts';
import { classifySqlError, passesByItself, sqlStateOf } from '../../postgres/sql-state.ts';
import { transactionCommit } from '../decide/transaction-commit.ts';
import { isBug } from '../definition/bugs.ts';
import type { StepContext, TransactionContext } from '../definition/steps.ts';
import type { Uncounted } from '../journal/events.ts';
import type { Work } from '../kinds/kind.ts';
import type { AttemptResult, FailedResult, RunEvent } from '../run/run-events.ts';
import type { Run } from '../run/run.ts';
import { StepBrokenError, StepPrecludedError, UnrecordableError } from '../store/commit-error.ts';
import type { RunCommit, WorkerStore } from '../store/store.ts';
import { flightId, type AttemptedPart } from './attempted-part.ts';
import { startAttempt, type AttemptOptions } from './step-attempt.ts';

export interface TransactionAttemptOptions {
  readonly store: WorkerStore;
  readonly workerId: string;
  /** The store's time. */
  readonly now: () => number;
  readonly tell: (run: Run, runEvent: RunEvent) => void;
  /** Resolves once nothing of the run is in commit, in another transaction, or waits for one. */
  readonly quiet: (run: Run) => Promise<void>;
  /** Passes a crash point; false: the worker is dead. */
  readonly pass: (point: string) => boolean;
  /** The lease is gone, or something nobody expected happened. */
  readonly onBroken: (error: unknown) => void;
}

export class TransactionAttempt {
  readonly #options: TransactionAttemptOptions;
  readonly #part: AttemptedPart;
  readonly #key: string;
  readonly #ended: (result: AttemptResult) => void;
  #aborted: Error | null = null;
  #abortAttempt: (reason: Error) => void = () => {};
  /** The run is in the stage `transacting` by this attempt. */
  #writes = false;
  #output: string | undefined;
  #at = 0;

  /** `onEnd`: told how it ended, before the run is. */
  constructor(options: TransactionAttemptOptions, part: AttemptedPart, onEnd: (result: AttemptResult) => void) {
    this.#options = options;
    this.#part = part;
    this.#key = flightId(part);
    this.#ended = onEnd;
  }

  begin(attempt: AttemptOptions, { fn, runner }: Pick<Work, 'fn' | 'runner'>): void {
    const { store, workerId } = this.#options;
    this.#part.run.inFlight.set(this.#key, (reason) => {
      this.#aborted = reason;
      this.#abortAttempt(reason);
    });
    const options = { ...attempt, doubt: false, cutShort };
    store
      .transaction<unknown>(workerId, (tx) => this.#body(options, fn, tx), runner ?? null)
      .then(
        () => this.#committed(),
        (error: unknown) => this.#failed(error),
      );
  }

  async #body(attempt: AttemptOptions, fn: Work['fn'], tx: unknown): Promise<RunCommit> {
    const { pass, quiet, now } = this.#options;
    const { run, of } = this.#part;
    const result = await new Promise<AttemptResult>((resolve) => {
      const inTransaction = (context: StepContext): unknown => {
        if (this.#aborted !== null) throw this.#aborted;
        return fn(withTx(context, tx));
      };
      this.#abortAttempt = startAttempt(attempt, inTransaction, resolve).abort;
    });
    if (result.kind === 'failed') throw new AttemptFailed(result);
    if (!pass('saga.transaction:before')) throw new Error('the worker is dead');
    // What came to be recorded meanwhile stands before it, what the code is just being told, and another transaction that came first.
    do await quiet(run);
    while (run.isUnsettled && !run.isEvicted && this.#aborted === null);
    // Nothing that could not be compensated may commit behind the back of a compensation that has begun.
    if (this.#aborted !== null) throw this.#aborted;
    if (run.isEvicted) throw new Error('the run is no longer here');
    run.enter('transacting');
    this.#writes = true;
    this.#output = of === 'call' ? result.output : undefined;
    this.#at = Math.max(run.rowAt, Math.floor(now()));
    return transactionCommit(run, this.#outcome);
  }

  get #outcome() {
    const { call, of } = this.#part;
    return { event: of === 'call' ? 'done' : 'compensated', call, output: this.#output, at: this.#at } as const;
  }

  #committed(): void {
    const { pass, tell } = this.#options;
    const { run, call } = this.#part;
    if (!pass('saga.transaction:after')) return;
    const outcome = this.#outcome;
    const { output } = outcome;
    this.#ended({ kind: 'done', output });
    run.inFlight.delete(this.#key);
    run.adopt(outcome);
    if (this.#writes) run.endWrite();
    run.tellWritten();
    tell(run, { kind: 'transacted', call, of: outcome.event, output });
  }

  #failed(error: unknown): void {
    const { tell, onBroken } = this.#options;
    const { run, call, of } = this.#part;
    run.inFlight.delete(this.#key);
    if (error instanceof StepPrecludedError) run.skipRow(this.#at);
    // That it was called is committed with what comes of this.
    run.leaveRowToTransaction(false);
    if (this.#writes) run.endWrite();
    run.tellWritten();
    if (isHoldfastError(error, 'HF_LEASE_LOST')) return onBroken(error);
    const result = error instanceof StepBrokenError ? brokenUnder(run, error) : resultOf(run, error);
    this.#ended(result);
    tell(run, { kind: of === 'call' ? 'attempt' : 'compensation', call, result });
  }
}

class AttemptFailed extends Error {
  readonly result: FailedResult;
  constructor(result: FailedResult) {
    super(result.error.message);
    this.result = result;
  }
}

/** The context with its transaction; `signal` stays what it is, made when asked for. */
function withTx(context: StepContext, tx: unknown): TransactionContext<unknown> {
  return {
    tx,
    idempotencyKey: context.idempotencyKey,
    attempt: context.attempt,
    runId: context.runId,
    fencingToken: context.fencingToken,
    get signal() {
      return context.signal;
    },
  };
}

/** Of what a handler's own statements met: whether the database rolled the step back for no fault of it. Unknown counts. */
function cutShort(error: unknown): Uncounted | undefined {
  // An error of the network may be that of any service; of the database it has a SQLSTATE, or breaks our own statements as well.
  if (sqlStateOf(error) === undefined || sqlStateOf(error) === '57014') return undefined;
  const kind = classifySqlError(error);
  return kind !== 'unknown' && passesByItself(error) ? 'database' : undefined;
}

function resultOf(run: Run, error: unknown): FailedResult {
  return error instanceof AttemptFailed ? error.result : rolledBack(run, verdictOf(error));
}

/**
 * The connection of the step broke. Whatever its handler made of that, a mistake in its code or an error of the business, is no fault of the
 * step, unless it says no for certain. What ended it besides, that it was stopped or the run turned back, stands.
 */
function brokenUnder(run: Run, error: StepBrokenError): FailedResult {
  const { met } = error;
  const result = resultOf(run, met === null ? error : met.error);
  const isHandlers = met !== null && met.error instanceof AttemptFailed;
  if (result.permanent || result.uncounted === 'stopped' || (!isHandlers && result.uncounted === undefined))
    return result;
  const { kind, error: recorded, permanent, doubt } = result;
  return { kind, error: recorded, permanent, doubt, uncounted: 'database', broken: true };
}

/** What the server refused a COMMIT for says more than that it did not happen. */
function verdictOf(error: unknown): unknown {
  return error instanceof StepPrecludedError && error.verdict !== null ? error.verdict : error;
}

/** The transaction could not be begun or committed, and nothing of it has happened. */
function rolledBack(run: Run, error: unknown): FailedResult {
  const bug = isBug(error, [run.saga.errors, run.settings.errors], 'step');
  const failure = { kind: 'failed', error: run.errorOf(error), permanent: false, doubt: false, bug } as const;
  if (error instanceof UnrecordableError) return { ...failure, error: error.recorded, unrecordable: true };
  if (isHoldfastError(error, 'HF_STOPPED')) return { ...failure, uncounted: 'stopped' };
  // What runs at COMMIT, a deferred trigger, may crash its server process each time, as a statement may.
  if (error instanceof StepPrecludedError) return { ...failure, uncounted: 'database', broken: true };
  const passing = isHoldfastError(error, 'HF_DATABASE_UNAVAILABLE') || passesByItself(error);
  return passing ? { ...failure, uncounted: 'database' } : failure;
}
