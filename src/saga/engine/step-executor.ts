/**
 * Begins what the journal says is intended: attempts of steps and of compensations, checks, fallbacks, transactions. What comes of
 * them goes back to the run as run events.
 */
import { isHoldfastError } from '../../errors.ts';
import { passesByItself, classifySqlError, sqlStateOf } from '../../postgres/sql-state.ts';
import type { Clock } from '../../runtime/clock.ts';
import { createAdmission, type Admitted } from '../decide/admission.ts';
import { startAttempt, type AttemptOptions, type Limits } from './step-attempt.ts';
import { undefinedStep, compensationId } from '../decide/compensate.ts';
import { isBug } from '../definition/bugs.ts';
import { UnrecordableError } from '../store/commit-error.ts';
import { rebuildError } from '../journal/recorded-error.ts';
import type { Uncounted } from '../journal/events.ts';
import type { AttemptResult, Effect, RunEvent } from '../run/run-events.ts';
import type { Run } from '../run/run.ts';
import { transactionCommit } from '../decide/transaction-commit.ts';
import { raisedInput } from '../journal/recorded-values.ts';
import { valueOf, type CallState } from '../journal/state.ts';
import type { LocalStep, StepContext, TransactionContext, TransactionStep } from '../definition/steps.ts';
import type { WorkerStore } from '../store/store.ts';
import { canCompensate } from '../journal/promises.ts';
import { strayOfStep } from '../decide/strays.ts';
import { logLate } from '../decide/tell-log.ts';
import { callKey, compensationOf } from '../journal/compensation.ts';

export interface StepExecutorOptions {
  readonly store: WorkerStore;
  readonly workerId: string;
  readonly clock: Clock;
  readonly limits: Limits;
  readonly random: () => number;
  /** The store's time. */
  readonly now: () => number;
  /** Takes a run event in, and sees to it that it is looked at. */
  readonly tell: (run: Run, runEvent: RunEvent) => void;
  /** Resolves once nothing of the run is in commit or waits for one. */
  readonly quiet: (run: Run) => Promise<void>;
  /** Passes a crash point; false: the worker is dead. */
  readonly pass: (point: string) => boolean;
  /** The lease is gone, or something nobody expected happened. */
  readonly onBroken: (error: unknown) => void;
}

export interface StepExecutor {
  begin(run: Run, effect: Effect): void;
}

export function createStepExecutor(options: StepExecutorOptions): StepExecutor {
  const { store, workerId, clock, limits, random, now, tell, quiet, pass } = options;
  const admission = createAdmission({ clock, random });

  /** Asks whether an attempt may begin; otherwise it is put off, or announced first. Null: it does not begin now. */
  function admit(
    run: Run,
    call: CallState,
    what: 'call' | 'compensation',
    breaker: string | null,
  ): Extract<Admitted, { kind: 'begin' }> | null {
    const timed = what === 'compensation' ? call.compensation : call;
    if (timed === null) return null;
    const admitted = admission.ask(run, what === 'compensation' ? compensationId(call) : call.id, timed.spent, breaker);
    if (admitted.kind === 'begin') {
      timed.spent.beganAt = now();
      return admitted;
    }
    if (admitted.kind === 'announce') tell(run, { kind: 'try', call });
    else {
      timed.retryAt = Math.ceil(now() + admitted.ms);
      tell(run, { kind: 'due' });
    }
    return null;
  }

  function attemptOptions(
    run: Run,
    call: CallState,
    what: 'call' | 'compensation',
    timeoutMs: number,
    doubt: boolean,
  ): AttemptOptions {
    const round = call.compensation?.round ?? 1;
    const compensated = `:undo${round > 1 ? `:${round}` : ''}`;
    return {
      runId: run.id,
      idempotencyKey: `${callKey(run.id, call)}${what === 'compensation' ? compensated : ''}`,
      attempt: (what === 'compensation' ? (call.compensation?.attempts ?? 0) : call.attempts) + 1,
      fencingToken: run.claims,
      timeoutMs,
      limits,
      maxBytes: run.settings.maxBytes,
      where: `${run.saga.name}, ${what === 'compensation' ? 'compensation of ' : ''}${call.id}`,
      doubt,
      record: (error) => run.errorOf(error),
      onHeld: (ms) => run.settings.onHeld?.({ run: run.id, saga: run.saga.name, call: call.id, ms: Math.round(ms) }),
      onStray: strayOfStep(run, call, what),
      onLate: () => logLate(run, call, what),
      isBug: (error) => isBug(error, [run.saga.errors, run.settings.errors], 'step'),
    };
  }

  /** Runs `fn` as one attempt under `key` and hands its end to `onEnd`, unless the worker died meanwhile. */
  function once(
    run: Run,
    key: string,
    point: string,
    attempt: AttemptOptions,
    fn: (context: StepContext) => unknown,
    onEnd: (result: AttemptResult) => void,
  ): void {
    if (!pass(`${point}:before`)) return;
    let over = false;
    const started = startAttempt(attempt, fn, (result) => {
      over = true;
      run.inFlight.delete(key);
      if (pass(`${point}:after`)) onEnd(result);
    });
    if (!over) run.inFlight.set(key, started.abort);
  }

  /** One attempt takes no longer than the step as a whole may. */
  const attemptMs = (call: CallState, { timeoutMs }: LocalStep | TransactionStep): number =>
    call.until === null ? timeoutMs : Math.max(1, Math.min(timeoutMs, call.until - now()));

  function attemptStep(run: Run, call: CallState, step: LocalStep): void {
    const admitted = admit(run, call, 'call', step.breaker);
    if (admitted === null) return;
    const onEnd = (result: AttemptResult): void => {
      admitted.ended(result);
      tell(run, { kind: 'attempt', call, result });
    };
    const attempt = attemptOptions(run, call, 'call', attemptMs(call, step), true);
    once(run, call.id, 'saga.step', attempt, (context) => step.run(valueOf(call.input), context), onEnd);
  }

  /** The effect and its row of the journal commit together, fenced by the lease as the last thing before COMMIT. */
  function transact(run: Run, call: CallState, step: TransactionStep, of: 'done' | 'compensated'): void {
    const key = of === 'done' ? call.id : compensationId(call);
    const compensating = of === 'compensated';
    const what = compensating ? 'compensation' : 'call';
    const admitted = admit(run, call, what, null);
    if (admitted === null) return;
    const timeoutMs = compensating ? step.compensation.timeoutMs : attemptMs(call, step);
    const attempt = { ...attemptOptions(run, call, what, timeoutMs, false), cutShort };
    let aborted: Error | null = null;
    let abortAttempt: (reason: Error) => void = () => {};
    run.inFlight.set(key, (reason) => {
      aborted = reason;
      abortAttempt(reason);
    });
    let output: string | undefined;
    let at = 0;
    let writes = false;
    const body = async (tx: TransactionContext['tx']): Promise<ReturnType<typeof transactionCommit>> => {
      const result = await new Promise<AttemptResult>((resolve) => {
        abortAttempt = startAttempt(
          attempt,
          (context) => {
            if (aborted !== null) throw aborted;
            const own = withTx(context, tx);
            if (of === 'done') return step.run(valueOf(call.input), own);
            return withoutResult(step.compensate?.(compensationOf(run.id, call, step), own));
          },
          resolve,
        ).abort;
      });
      if (result.kind === 'failed') throw new AttemptFailed(result);
      if (!pass('saga.transaction:before')) throw new Error('the worker is dead');
      await quiet(run);
      // Nothing that could not be compensated may commit behind the back of a compensation that has begun.
      if (aborted !== null) throw aborted;
      if (run.isEvicted) throw new Error('the run is no longer here');
      run.enter('transacting');
      writes = true;
      output = of === 'done' ? result.output : undefined;
      at = Math.max(run.rowAt, Math.floor(now()));
      return transactionCommit(run, of, call, output, at);
    };
    store.transaction(workerId, body).then(
      () => {
        if (!pass('saga.transaction:after')) return;
        admitted.ended({ kind: 'done', output });
        run.inFlight.delete(key);
        run.adopt(of, call, output, at);
        if (writes) run.endWrite();
        run.tellWritten();
        tell(run, { kind: 'transacted', call, of, output });
      },
      (error: unknown) => {
        run.inFlight.delete(key);
        if (writes) run.endWrite();
        run.tellWritten();
        if (isHoldfastError(error, 'HF_LEASE_LOST')) return options.onBroken(error);
        const result = error instanceof AttemptFailed ? error.result : rolledBack(run, error);
        admitted.ended(result);
        tell(run, of === 'done' ? { kind: 'attempt', call, result } : { kind: 'compensation', call, result });
      },
    );
  }

  function compensateStep(run: Run, call: CallState, step: LocalStep): void {
    const admitted = admit(run, call, 'compensation', null);
    if (admitted === null) return;
    const attempt = attemptOptions(run, call, 'compensation', step.compensation.timeoutMs, true);
    once(
      run,
      compensationId(call),
      'saga.compensation',
      attempt,
      (context) => withoutResult(step.compensate?.(compensationOf(run.id, call, step), context)),
      (result) => {
        admitted.ended(result);
        tell(run, { kind: 'compensation', call, result });
      },
    );
  }

  function verify(run: Run, call: CallState, step: LocalStep): void {
    const attempt = attemptOptions(run, call, 'compensation', step.compensation.timeoutMs, true);
    once(
      run,
      compensationId(call),
      'saga.verify',
      attempt,
      (context) => step.verify?.(valueOf(call.input), context),
      (result) => {
        if (result.kind === 'failed') {
          const { error, permanent } = result;
          return tell(run, { kind: 'verified', call, result: { error, passing: !permanent } });
        }
        const verdict = (valueOf(result.output) ?? {}) as { readonly happened?: unknown; readonly output?: unknown };
        if (typeof verdict.happened !== 'boolean') {
          const message = 'verify returned neither { happened: true, output } nor { happened: false }.';
          const error = { name: 'HoldfastError', message };
          return tell(run, { kind: 'verified', call, result: { error, passing: false } });
        }
        const output = verdict.output === undefined ? undefined : JSON.stringify(verdict.output);
        tell(run, { kind: 'verified', call, result: { happened: verdict.happened, output } });
      },
    );
  }

  return {
    begin(run, effect) {
      const { call } = effect;
      const step = run.step(call.step);
      // It may have been settled while the commit that made it an intent was under way.
      if (step === undefined || !isWanted(run, effect)) return;
      switch (effect.kind) {
        case 'attempt':
          if (step.kind === 'step') attemptStep(run, call, step);
          else if (step.kind === 'transaction') transact(run, call, step, 'done');
          return;
        case 'compensate':
          // A declaration that has lost it must not be taken for a compensation that is done.
          if (!canCompensate(step)) {
            if (run.mismatch !== null || run.state.stuck !== null) return;
            const result = { kind: 'failed', error: undefinedStep(run, call), permanent: true, doubt: false } as const;
            tell(run, { kind: 'compensation', call, result });
          } else if (step.kind === 'step') compensateStep(run, call, step);
          else if (step.kind === 'transaction') transact(run, call, step, 'compensated');
          return;
        case 'verify':
          if (step.kind === 'step' && !run.inFlight.has(compensationId(call))) verify(run, call, step);
          return;
        case 'fallback': {
          const { failure } = effect;
          const fallback = 'fallback' in step ? step.fallback : null;
          const attempt = attemptOptions(run, call, 'call', step.timeoutMs, true);
          once(
            run,
            call.id,
            'saga.fallback',
            attempt,
            () =>
              fallback?.(raisedInput(step, call.version, valueOf(call.input)), rebuildError(failure.error, call.step)),
            (result) => tell(run, { kind: 'fallback', call, failure, result }),
          );
        }
      }
    },
  };
}

/** Whether the run still means to do it. */
function isWanted(run: Run, { kind, call }: Effect): boolean {
  if (kind === 'compensate') return call.compensation?.state === 'open';
  if (kind === 'verify') return call.compensation === null && (call.outcome === 'open' || call.doubt);
  return run.state.phase === 'forward' && call.outcome === 'open';
}

class AttemptFailed extends Error {
  readonly result: Extract<AttemptResult, { kind: 'failed' }>;
  constructor(result: Extract<AttemptResult, { kind: 'failed' }>) {
    super(result.error.message);
    this.result = result;
  }
}

/** What a compensation returns is nobody's; it need not even be JSON. */
async function withoutResult(result: unknown): Promise<void> {
  await result;
}

/** The context with its transaction; `signal` stays what it is, made when asked for. */
function withTx(context: StepContext, tx: TransactionContext['tx']): TransactionContext {
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

/** The transaction could not be begun or committed, and nothing of it has happened. */
function rolledBack(run: Run, error: unknown): AttemptResult {
  const failure = { kind: 'failed', error: run.errorOf(error), permanent: false, doubt: false } as const;
  if (error instanceof UnrecordableError) return { ...failure, error: error.recorded, unrecordable: true };
  if (isHoldfastError(error, 'HF_STOPPED')) return { ...failure, uncounted: 'stopped' };
  const passing = isHoldfastError(error, 'HF_DATABASE_UNAVAILABLE') || passesByItself(error);
  return passing ? { ...failure, uncounted: 'database' } : failure;
}
