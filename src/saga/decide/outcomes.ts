/** How calls end: by their attempts, by a fallback, by giving up. Records events, says what is to be begun, and waits for nothing. */
import type { RetryPolicy } from '../../runtime/retry.ts';
import { canCompensate, type StepDefinition } from '../definition/steps.ts';
import { decideFailed } from '../journal/budget.ts';
import type { RecordedError } from '../journal/events.ts';
import { rebuildError } from '../journal/recorded-error.ts';
import { valueOf, type CallState } from '../journal/state.ts';
import { isAttempted, wasBegun } from '../kinds/table.ts';
import type { CallOutcome } from '../replay/flow.ts';
import type { AttemptResult, DecisionContext, FailedResult, RunEvent } from '../run/run-events.ts';
import type { Run } from '../run/run.ts';
import { noteWait } from '../run/run-span.ts';
import { tryComplete } from './completion.ts';
import { lapsesOf } from './lost-attempts.ts';
import { grantCompensation } from './request-compensation.ts';
import { logGivenUp } from './run-log.ts';

/** Tells the code how a call ended, if it still runs. The engine looks at it after the next turn of the event loop. */
export function tell(run: Run, call: CallState, what: CallOutcome): boolean {
  if (run.flow === null || run.ending !== null) return false;
  run.flow.tell(call.id, what, run.rowAt);
  return true;
}

/** How an attempt ended. Returns whether the code was told something. */
export function attemptEnded(run: Run, call: CallState, result: AttemptResult, context: DecisionContext): boolean {
  if (call.outcome !== 'open') return false;
  if (result.kind === 'done') return endDone(run, call, result.output, context);
  const definition = run.step(call.step);
  if (definition === undefined) return false;
  const { error, permanent, uncounted, broken = false } = result;
  if (result.unrecordable === true) {
    run.recordStuck({ why: 'unrecordable', call, error }, context.now);
    return false;
  }
  const attempt = call.attempts + 1;
  const retry = isForwardOnly(run, definition) ? uncapped(definition.retry) : definition.retry;
  const { attempts, calledAt: since } = call;
  const { now, random } = context;
  const lapsed = lapsesOf(run, call.spent);
  const failure = { attempts, since, now, permanent, uncounted, broken, lapsed, random };
  const decision = decideFailed(retry, call.spent, failure);
  if (decision.kind === 'retry' && !isOverdue(call, now)) {
    const { retryAt, note } = decision;
    run.record({ t: 'attempt failed', call: call.id, attempt, error, retryAt, ...note }, now);
    if (uncounted === 'lost' && retryAt <= now) beginAtOnce(run, call);
    return false;
  }
  if (decision.kind === 'kills workers') {
    const { note } = decision;
    run.record({ t: 'attempt failed', call: call.id, attempt, error, retryAt: Math.floor(now), ...note }, now);
    run.recordStuck({ why: 'kills workers', call, error: decision.error }, now);
    return false;
  }
  return giveUp(run, call, result, context);
}

/** As its timer would, for which it would have to wait: of a lost worker's runs there may be thousands. What else is to be told goes first. */
function beginAtOnce(run: Run, call: CallState): void {
  if (run.runEvents.length > 0) return;
  call.retryAt = null;
  run.intents.push({ kind: 'attempt', call });
}

/** Whether the whole time of a step is up. What waits for an answer is decided upon elsewhere. */
function isOverdue(call: CallState, now: number): boolean {
  return call.until !== null && call.until <= now && isAttempted(call);
}

/** No further attempt is made: something stands in, somebody is asked, or the call fails. */
export function giveUp(run: Run, call: CallState, result: FailedResult, context: DecisionContext): boolean {
  const definition = run.step(call.step);
  if (definition === undefined) return false;
  const failure = { ...result, doubt: result.doubt || wasBegun(call) };
  if (definition.fallback !== null) {
    run.intents.push({ kind: 'fallback', call, failure });
    return false;
  }
  if (result.bug === true && run.pendingCompensation === null) return stopAtBug(run, call, failure.error, context);
  if (call.pivot && failure.doubt && !canCompensate(definition)) {
    if (definition.verify !== null && !call.unverifiable) {
      call.error = failure.error;
      run.intents.push({ kind: 'verify', call });
      return false;
    }
    // It may have happened, and can neither be compensated nor be counted on: only a person can find out.
    run.recordStuck({ why: 'in doubt', call, error: failure.error }, context.now);
    return false;
  }
  return endFailed(run, call, failure, context);
}

/** A step that threw what nobody throws on purpose: its call stays open, and is attempted anew when the code is mended. */
function stopAtBug(run: Run, call: CallState, error: RecordedError, { now }: DecisionContext): false {
  // Beside a call that has stopped the run already: what is known of this one waits with it.
  if (run.state.stuck === null) run.recordStuck({ why: 'code', call, error }, now);
  else run.record({ t: 'attempt failed', call: call.id, attempt: call.attempts + 1, error, retryAt: now }, now);
  return false;
}

/** Behind a pivot a step is tried until it is done, unless something may stand in for it. */
function isForwardOnly(run: Run, { fallback }: StepDefinition): boolean {
  return (run.state.pivoted && fallback === null) || run.state.stuck !== null;
}

/** Behind a pivot there is only forward: the caps on attempts and time do not count there. */
function uncapped(policy: RetryPolicy): RetryPolicy {
  return { ...policy, attempts: Infinity, withinMs: Infinity };
}

export function fallbackEnded(
  run: Run,
  { call, failure, result }: Extract<RunEvent, { kind: 'fallback' }>,
  context: DecisionContext,
): boolean {
  if (call.outcome !== 'open') return false;
  if (result.kind === 'failed' && result.uncounted !== undefined) {
    // It was stopped with its worker: whoever goes on with the run asks it again.
    run.intents.push({ kind: 'fallback', call, failure });
    return false;
  }
  if (result.kind === 'failed') {
    const bug = failure.bug === true ? failure.error : result.bug === true ? result.error : null;
    if (bug !== null && run.pendingCompensation === null) return stopAtBug(run, call, bug, context);
    return endFailed(run, call, { ...failure, fallback: result.error }, context);
  }
  const { output } = result;
  run.recordDegraded(call, { output, degraded: failure.error, doubt: failure.doubt }, context.now);
  return ended(run, call, { kind: 'done', value: valueOf(output) }, context);
}

export function endDone(run: Run, call: CallState, output: string | undefined, context: DecisionContext): boolean {
  run.recordDone(call, output, context.now);
  return ended(run, call, { kind: 'done', value: valueOf(output) }, context);
}

export function endFailed(
  run: Run,
  call: CallState,
  failure: { readonly error: RecordedError; readonly doubt: boolean; readonly fallback?: RecordedError },
  context: DecisionContext,
): boolean {
  const { error, fallback } = failure;
  const outcome = failure.doubt ? 'unknown' : 'definite';
  const attempts = call.attempts + 1;
  run.record(
    { t: 'failed', call: call.id, attempts, error, ...(fallback === undefined ? {} : { fallback }), outcome },
    context.now,
  );
  logGivenUp(run, call, { error, fallback, attempts, outcome });
  return ended(run, call, { kind: 'failed', error: rebuildError(error, call.step) }, context);
}

/** A transaction step is committed; its row stands in the journal already. */
export function transacted(run: Run, call: CallState, output: string | undefined, context: DecisionContext): boolean {
  return ended(run, call, { kind: 'done', value: valueOf(output) }, context);
}

/** The outcome is recorded: the code is told it, or the run, whose code has ended, may be complete. */
function ended(run: Run, call: CallState, what: CallOutcome, context: DecisionContext): boolean {
  noteWait(run, call, context.now);
  // A request to compensate may have waited for this call.
  if (call.pivot && run.pendingCompensation !== null) grantCompensation(run, context);
  if (tell(run, call, what)) return true;
  tryComplete(run, context);
  return false;
}
