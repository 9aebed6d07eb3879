/**
 * Begins what the journal says is intended: attempts of steps and of compensations, checks, fallbacks, transactions. What comes of
 * them goes back to the run as run events.
 */
import type { Clock } from '../../runtime/clock.ts';
import type { TracedSpan } from '../../runtime/telemetry.ts';
import { createAdmission, type Admission, type OpenBreaker } from './admission.ts';
import { undefinedStep } from '../decide/compensate.ts';
import { compensationId } from '../decide/compensation-id.ts';
import { canCompensate, type StepContext, type StepDefinition } from '../definition/steps.ts';
import { rebuildError } from '../journal/recorded-error.ts';
import { raisedInput } from '../journal/recorded-values.ts';
import { valueOf, type CallState } from '../journal/state.ts';
import { kindOf } from '../kinds/table.ts';
import type { AttemptResult, Intent, Verification } from '../run/run-events.ts';
import type { Run } from '../run/run.ts';
import { endAttemptSpan, startAttemptSpan, type AttemptSpan } from '../run/run-span.ts';
import { attemptMs, attemptOptions, flightId, type AttemptedPart } from './attempted-part.ts';
import { startAttempt, type Limits } from './step-attempt.ts';
import { TransactionAttempt, type TransactionAttemptOptions } from './transaction-attempt.ts';

export interface StepExecutorOptions extends TransactionAttemptOptions {
  readonly clock: Clock;
  readonly limits: Limits;
  readonly random: () => number;
}

export interface StepExecutor {
  begin(run: Run, intent: Intent): void;
  /** Circuit breakers that hold attempts up. */
  openBreakers(): readonly OpenBreaker[];
}

export function createStepExecutor(options: StepExecutorOptions): StepExecutor {
  return new Executor(options);
}

class Executor implements StepExecutor {
  readonly #options: StepExecutorOptions;
  readonly #admission: Admission;

  constructor(options: StepExecutorOptions) {
    this.#options = options;
    this.#admission = createAdmission(options);
  }

  openBreakers(): readonly OpenBreaker[] {
    return this.#admission.openBreakers();
  }

  begin(run: Run, intent: Intent): void {
    const { call } = intent;
    const step = run.step(call.step);
    // It may have been settled while the commit that made it an intent was under way.
    if (step?.kind !== call.kind || !isWanted(run, intent)) return;
    switch (intent.kind) {
      case 'attempt':
        this.#attempt({ run, call, step, of: 'call' });
        return;
      case 'compensate':
        // A declaration that has lost it must not be taken for a compensation that is done.
        if (canCompensate(step)) this.#attempt({ run, call, step, of: 'compensation' });
        else this.#refuseCompensation(run, call);
        return;
      case 'verify':
        this.#verify(run, call, step);
        return;
      case 'fallback':
        this.#fallback(run, intent, step);
        return;
    }
  }

  #refuseCompensation(run: Run, call: CallState): void {
    if (run.mismatch !== null || run.state.stuck !== null) return;
    const result = { kind: 'failed', error: undefinedStep(run, call), permanent: true, doubt: false } as const;
    this.#options.tell(run, { kind: 'compensation', call, result });
  }

  /** One attempt of the call or of its compensation, if it may begin now. */
  #attempt(part: AttemptedPart): void {
    const { run, call, step, of } = part;
    const kind = kindOf(call);
    const work = of === 'call' ? kind.attempt?.(run.id, call, step) : kind.attemptCompensation?.(run.id, call, step);
    if (work === undefined) return;
    const ended = this.#admit(part, work.breaker);
    if (ended === null) return;
    const timeoutMs = attemptMs(part, this.#options.now());
    const plain = of === 'call' ? work.fn : (context: StepContext) => withoutResult(work.fn(context));
    if (kind.endsBy === 'transaction') {
      const span = startAttemptSpan(of === 'call' ? 'transaction' : 'compensate', run, call);
      const attempt = attemptOptions(part, this.#options.limits, timeoutMs);
      const onEnd = span === null ? ended : (result: AttemptResult) => (endAttemptSpan(span, result), ended(result));
      new TransactionAttempt(this.#options, part, onEnd).begin(attempt, {
        fn: within(span, plain),
        runner: work.runner ?? null,
      });
      return;
    }
    const point = of === 'call' ? 'saga.step' : 'saga.compensation';
    this.#once({ ...part, timeoutMs, point, span: of === 'call' ? 'step' : 'compensate' }, plain, (result) => {
      ended(result);
      this.#options.tell(run, { kind: of === 'call' ? 'attempt' : 'compensation', call, result });
    });
  }

  /** Asks whether an attempt may begin; otherwise it is put off, or announced first, and null: it does not begin now. */
  #admit(part: AttemptedPart, breaker: string | null): ((result: AttemptResult) => void) | null {
    const { now, tell } = this.#options;
    const { run, call, of } = part;
    const timed = of === 'compensation' ? call.compensation : call;
    if (timed === null) return null;
    const admitted = this.#admission.ask(run, flightId(part), timed.spent, breaker);
    if (admitted.kind === 'begin') {
      if (of === 'call') call.unbegun = false;
      timed.spent.beganAt = now();
      return admitted.ended;
    }
    if (admitted.kind === 'announce') tell(run, { kind: 'try', call });
    else {
      timed.retryAt = Math.ceil(now() + admitted.ms);
      tell(run, { kind: 'due' });
    }
    return null;
  }

  /** Runs `fn` as one attempt and hands its end to `onEnd`, unless the worker died meanwhile. `point`: the crash point. */
  #once(
    part: AttemptedPart & { readonly timeoutMs: number; readonly point: string; readonly span: AttemptSpan },
    fn: (context: StepContext) => unknown,
    onEnd: (result: AttemptResult) => void,
  ): void {
    const { pass, limits } = this.#options;
    const { run, timeoutMs, point } = part;
    const key = flightId(part);
    if (!pass(`${point}:before`)) return;
    const span = startAttemptSpan(part.span, run, part.call);
    let over = false;
    const started = startAttempt(attemptOptions(part, limits, timeoutMs), within(span, fn), (result) => {
      over = true;
      run.inFlight.delete(key);
      if (span !== null) endAttemptSpan(span, result);
      if (pass(`${point}:after`)) onEnd(result);
    });
    if (!over) run.inFlight.set(key, started.abort);
  }

  #verify(run: Run, call: CallState, step: StepDefinition): void {
    const { verify } = step;
    if (verify === null || run.inFlight.has(compensationId(call))) return;
    this.#once(
      {
        run,
        call,
        step,
        of: 'compensation',
        timeoutMs: step.compensation.timeoutMs,
        point: 'saga.verify',
        span: 'verify',
      },
      (context) => verify(valueOf(call.input), context),
      (result) => this.#options.tell(run, { kind: 'verified', call, result: verdictOf(result) }),
    );
  }

  #fallback(run: Run, { call, failure }: Extract<Intent, { kind: 'fallback' }>, step: StepDefinition): void {
    this.#once(
      { run, call, step, of: 'call', timeoutMs: step.timeoutMs, point: 'saga.fallback', span: 'fallback' },
      () =>
        step.fallback?.(raisedInput(step, call.version, valueOf(call.input)), rebuildError(failure.error, call.step)),
      (result) => this.#options.tell(run, { kind: 'fallback', call, failure, result }),
    );
  }
}

/** With the span active, so that what it calls is part of it. */
function within(span: TracedSpan | null, fn: (context: StepContext) => unknown): (context: StepContext) => unknown {
  return span === null ? fn : (context) => span.run(() => fn(context));
}

/** Whether the run still means to do it. */
function isWanted(run: Run, { kind, call }: Intent): boolean {
  if (kind === 'compensate') return call.compensation?.state === 'open';
  if (kind === 'verify') return call.compensation === null && (call.outcome === 'open' || call.doubt);
  return run.state.phase === 'forward' && call.outcome === 'open';
}

/** What a compensation returns is nobody's; it need not even be JSON. */
async function withoutResult(result: unknown): Promise<void> {
  await result;
}

/** What verify() says, if that is anything. */
function verdictOf(result: AttemptResult): Verification {
  if (result.kind === 'failed') return { error: result.error, passing: !result.permanent };
  const verdict = (valueOf(result.output) ?? {}) as { readonly happened?: unknown; readonly output?: unknown };
  if (typeof verdict.happened !== 'boolean') {
    const message = 'verify returned neither { happened: true, output } nor { happened: false }.';
    return { error: { name: 'HoldfastError', message }, passing: false };
  }
  const output = verdict.output === undefined ? undefined : JSON.stringify(verdict.output);
  return { happened: verdict.happened, output };
}
