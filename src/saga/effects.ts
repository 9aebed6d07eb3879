/**
 * Begins what the journal says is intended: attempts of steps and of compensations, checks, fallbacks, transactions. What comes of
 * them goes back to the run as facts. Used by the engine, after the commit that makes the intent durable.
 */
import { isHoldfastError } from '../errors.ts';
import { createBreaker, type Breaker } from '../runtime/breaker.ts';
import type { Clock } from '../runtime/clock.ts';
import { startAttempt, type AttemptOptions, type Limits } from './attempts.ts';
import { undoId } from './backward.ts';
import { isBug } from './bugs.ts';
import { rebuildError, recordError } from './recorded-error.ts';
import type { AttemptResult, Effect, Fact } from './facts.ts';
import { transactionCommit, type Run } from './run.ts';
import { valueOf, type CallState } from './state.ts';
import type { LocalStep, StepContext, StepDefinition, TransactionContext, TransactionStep } from './steps.ts';
import type { WorkerStore } from './store.ts';
import { callKey, undoOf } from './undo.ts';

export interface EffectsOptions {
  readonly store: WorkerStore;
  readonly workerId: string;
  readonly clock: Clock;
  readonly limits: Limits;
  /** The store's time. */
  readonly now: () => number;
  /** Takes a fact in, and sees to it that it is looked at. */
  readonly tell: (run: Run, fact: Fact) => void;
  /** Resolves once nothing of the run is in commit or waits for one. */
  readonly quiet: (run: Run) => Promise<void>;
  /** Passes a crash point; false: the worker is dead. */
  readonly pass: (point: string) => boolean;
  /** The lease is gone, or something nobody expected happened. */
  readonly onBroken: (error: unknown) => void;
}

/** How long an open breaker stays open before it lets one attempt through, in milliseconds. */
const BREAKER_WAIT_MS = 5_000;

export interface Effects {
  begin(run: Run, effect: Effect): void;
}

export function createEffects(options: EffectsOptions): Effects {
  const { store, workerId, clock, limits, now, tell, quiet, pass } = options;
  const breakers = new Map<string, Breaker>();

  function breakerOf(step: StepDefinition): Breaker | null {
    if (step.kind !== 'step' || step.breaker === null) return null;
    let breaker = breakers.get(step.breaker);
    if (breaker === undefined) {
      breaker = createBreaker({ name: step.breaker, halfOpenAfterMs: BREAKER_WAIT_MS, clock });
      breakers.set(step.breaker, breaker);
    }
    return breaker;
  }

  function attemptOptions(
    run: Run,
    call: CallState,
    what: 'call' | 'undo',
    timeoutMs: number,
    doubt: boolean,
  ): AttemptOptions {
    const round = call.undo?.round ?? 1;
    const undone = `:undo${round > 1 ? `:${round}` : ''}`;
    return {
      runId: run.id,
      idempotencyKey: `${callKey(run.id, call)}${what === 'undo' ? undone : ''}`,
      attempt: (what === 'undo' ? (call.undo?.attempts ?? 0) : call.attempts) + 1,
      fencingToken: run.claims,
      timeoutMs,
      limits,
      maxBytes: run.settings.maxBytes,
      where: `${run.saga.name}, ${what === 'undo' ? 'compensation of ' : ''}${call.id}`,
      doubt,
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

  function attemptStep(run: Run, call: CallState, step: LocalStep): void {
    const breaker = breakerOf(step);
    if (breaker !== null && breaker.state === 'open' && breaker.openForMs > 0) {
      // Put off without an attempt being burnt. Not recorded: after a crash it is simply tried.
      call.retryAt = Math.ceil(now() + breaker.openForMs);
      tell(run, { kind: 'due' });
      return;
    }
    const onEnd = (result: AttemptResult): void => {
      if (breaker !== null) noteOutcome(breaker, result);
      tell(run, { kind: 'attempt', call, result });
    };
    const attempt = attemptOptions(run, call, 'call', step.timeoutMs, true);
    once(run, call.id, 'saga.step', attempt, (context) => step.run(valueOf(call.input), context), onEnd);
  }

  /** The effect and its row of the journal commit together, fenced by the lease as the last thing before COMMIT. */
  function transact(run: Run, call: CallState, step: TransactionStep, of: 'done' | 'compensated'): void {
    const key = of === 'done' ? call.id : undoId(call);
    const undoing = of === 'compensated';
    const attempt = attemptOptions(
      run,
      call,
      undoing ? 'undo' : 'call',
      undoing ? step.compensation.timeoutMs : step.timeoutMs,
      false,
    );
    let aborted: Error | null = null;
    let abortAttempt: (reason: Error) => void = () => {};
    run.inFlight.set(key, (reason) => {
      aborted = reason;
      abortAttempt(reason);
    });
    let output: string | undefined;
    let at = 0;
    const body = async (tx: TransactionContext['tx']): Promise<ReturnType<typeof transactionCommit>> => {
      const result = await new Promise<AttemptResult>((resolve) => {
        abortAttempt = startAttempt(
          attempt,
          (context) => {
            if (aborted !== null) throw aborted;
            const own = withTx(context, tx);
            if (of === 'done') return step.run(valueOf(call.input), own);
            return withoutResult(step.compensate?.(undoOf(run.id, call), own));
          },
          resolve,
        ).abort;
      });
      if (result.kind === 'failed') throw new AttemptFailed(result);
      if (!pass('saga.transaction:before')) throw new Error('the worker is dead');
      await quiet(run);
      // Nothing that could not be undone may commit behind the back of an undoing that has begun.
      if (aborted !== null) throw aborted;
      if (run.gone) throw new Error('the run is no longer here');
      run.transacting = true;
      output = of === 'done' ? result.output : undefined;
      at = Math.max(run.rowAt, Math.floor(now()));
      return transactionCommit(run, of, call, output, at);
    };
    store.transaction(workerId, body).then(
      () => {
        if (!pass('saga.transaction:after')) return;
        run.inFlight.delete(key);
        run.adopt(of, call, output, at);
        run.transacting = false;
        run.isBack();
        tell(run, { kind: 'transacted', call, of, output });
      },
      (error: unknown) => {
        run.inFlight.delete(key);
        run.transacting = false;
        run.isBack();
        if (isHoldfastError(error, 'HF_LEASE_LOST')) return options.onBroken(error);
        // Rolled back, all of it.
        const result =
          error instanceof AttemptFailed
            ? error.result
            : ({ kind: 'failed', error: recordError(error), permanent: false, doubt: false } as const);
        tell(run, of === 'done' ? { kind: 'attempt', call, result } : { kind: 'compensation', call, result });
      },
    );
  }

  function compensateStep(run: Run, call: CallState, step: LocalStep): void {
    const attempt = attemptOptions(run, call, 'undo', step.compensation.timeoutMs, true);
    once(
      run,
      undoId(call),
      'saga.compensation',
      attempt,
      (context) => withoutResult(step.compensate?.(undoOf(run.id, call), context)),
      (result) => tell(run, { kind: 'compensation', call, result }),
    );
  }

  function verify(run: Run, call: CallState, step: LocalStep): void {
    const attempt = attemptOptions(run, call, 'undo', step.compensation.timeoutMs, true);
    once(
      run,
      undoId(call),
      'saga.verify',
      attempt,
      (context) => step.verify?.(valueOf(call.input), context),
      (result) => {
        if (result.kind === 'failed') return tell(run, { kind: 'verified', call, result: { error: result.error } });
        const verdict = (valueOf(result.output) ?? {}) as { readonly happened?: unknown; readonly output?: unknown };
        if (typeof verdict.happened !== 'boolean') {
          const message = 'verify returned neither { happened: true, output } nor { happened: false }.';
          return tell(run, { kind: 'verified', call, result: { error: { name: 'HoldfastError', message } } });
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
          if (step.kind === 'step') compensateStep(run, call, step);
          else if (step.kind === 'transaction') transact(run, call, step, 'compensated');
          return;
        case 'verify':
          if (step.kind === 'step' && !run.inFlight.has(undoId(call))) verify(run, call, step);
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
            () => fallback?.(valueOf(call.input), rebuildError(failure.error, call.step)),
            (result) => tell(run, { kind: 'fallback', call, failure, result }),
          );
        }
      }
    },
  };
}

/** Whether the run still means to do it. */
function isWanted(run: Run, { kind, call }: Effect): boolean {
  if (kind === 'compensate') return call.undo?.state === 'open';
  if (kind === 'verify') return call.undo === null && (call.outcome === 'open' || call.doubt);
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

/** A business refusal says nothing against the destination. */
function noteOutcome(breaker: Breaker, result: AttemptResult): void {
  const failed = result.kind === 'failed' && !result.permanent;
  void breaker
    .run(() => (failed ? Promise.reject(new Error(result.error.message)) : Promise.resolve()))
    .catch(() => {});
}
