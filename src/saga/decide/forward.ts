/**
 * The forward path: what becomes of the calls the code makes and of how they end. Records events and says what is to be begun;
 * nothing here waits for anything but a schema.
 */
import type { RetryPolicy } from '../../runtime/retry.ts';
import { finishAbandoned, requestCompensation, grantCompensation } from './compensate.ts';
import { decideFailed, KILLS_WORKERS, noteOf } from '../journal/budget.ts';
import { wireCall } from '../definition/call-id.ts';
import { childRunId } from '../protocol/child-id.ts';
import { childInput, startChild } from './children.ts';
import { prepareCommand } from '../protocol/commands.ts';
import { isBug } from '../definition/bugs.ts';
import type { RecordedError } from '../journal/events.ts';
import type { NewCall, Outcome } from '../replay/flow.ts';
import { bytesOf, refuseCalls } from '../journal/growth.ts';
import { rebuildError } from '../journal/recorded-error.ts';
import { canCompensate, promiseOf, type Promised } from '../journal/promises.ts';
import { isRevocation, type AttemptResult, type Effect, type DecisionContext } from '../run/run-events.ts';
import type { Run } from '../run/run.ts';
import { valueOf, type CallState } from '../journal/state.ts';
import type { StepDefinition } from '../definition/steps.ts';
import { logGivenUp } from './tell-log.ts';
import { turn } from '../replay/turn.ts';
import { isStep, wasBegun } from '../journal/compensation.ts';

/** Whether the code was told something; a promise where the run goes on, or comes to its end, by messages that are made ready. */
export type Spoken = boolean | Promise<boolean>;

/** Tells the code how a call ended, if it still runs. The engine looks at it after the next turn of the event loop. */
export function tell(run: Run, call: CallState, what: Outcome): boolean {
  if (run.flow === null || run.ending !== null) return false;
  run.flow.tell(call.id, what, run.rowAt);
  return true;
}

/** What the code did since it was told something: its calls, in their order, its end, or what it must not do. */
export function collect(run: Run, context: DecisionContext): Promise<void> | undefined {
  const { flow } = run;
  if (flow === null) return undefined;
  const looked = flow.look();
  if (looked.violation !== null) {
    run.recordStuck('outside await', null, looked.violation, context.now);
    return undefined;
  }
  if (looked.ending !== null) {
    run.ending = looked.ending;
    run.flow = null;
  }
  return collectCalls(run, looked.calls, context);
}

/** Records calls and the end of the code. A promise only when a message has to be prepared. */
export function collectCalls(run: Run, calls: readonly NewCall[], context: DecisionContext): Promise<void> | undefined {
  if (calls.length > 0) {
    // Asked for all of them before the first one is recorded.
    const bytes = calls.reduce((sum, { input }) => sum + bytesOf(input), 0);
    const refusal = refuseCalls(
      { id: run.id, saga: run.saga.name },
      run.size,
      { count: calls.length, bytes },
      run.settings,
    );
    if (refusal !== null) {
      run.recordStuck('journal full', null, refusal, context.now);
      return undefined;
    }
  }
  for (const [index, call] of calls.entries()) {
    const later = recordCall(run, call, context);
    if (later !== undefined)
      return later.then(async (refused) => {
        let spoken = refused;
        for (const each of calls.slice(index + 1)) {
          if (run.state.stuck !== null) return undefined;
          spoken = (await recordCall(run, each, context)) === true || spoken;
        }
        if (!spoken) return tryComplete(run, context);
        // The code was told of a call that cannot be made, and may have answered.
        await turn();
        return collect(run, context);
      });
  }
  return tryComplete(run, context);
}

/** Resolves whether the code was told at once that the call cannot be made. */
function recordCall(run: Run, call: NewCall, context: DecisionContext): Promise<boolean> | undefined {
  const { id, kind, step, input } = call;
  if (kind === 'sleep') {
    const until = call.untilAt ?? run.openRow(context.now) + (call.waitMs ?? 0);
    run.recordCalled({ call: id, kind, step, until }, input, context.now);
    return undefined;
  }
  if (kind === 'wait') {
    const until = call.waitMs === null ? undefined : run.openRow(context.now) + call.waitMs;
    run.recordCalled({ call: id, kind, step, ...(until === undefined ? {} : { until }) }, input, context.now);
    takeBufferedSignal(run, step);
    return undefined;
  }
  const definition = run.step(step);
  if (definition === undefined) return undefined;
  const promise = promiseOf(definition);
  if (definition.kind === 'command' || definition.kind === 'emit') return recordMessage(run, call, promise, context);
  if (definition.kind === 'child') return recordChild(run, call, promise, context);
  const { deadlineMs } = definition;
  const until = deadlineMs === Infinity ? {} : { until: run.openRow(context.now) + deadlineMs };
  const state = run.recordCalled({ call: id, kind, step, ...promise, ...until }, input, context.now);
  begin(run, { kind: 'attempt', call: state });
  return undefined;
}

/** A command or an emitted message leaves in the commit that records the call. */
async function recordMessage(run: Run, call: NewCall, promise: Promised, context: DecisionContext): Promise<boolean> {
  const definition = run.step(call.step);
  if (definition?.kind !== 'command' && definition?.kind !== 'emit') return false;
  const { id, kind, step, input } = call;
  let message: string;
  try {
    message = await prepareCommand(run, { call: nextWireCall(run, id), definition, input });
  } catch (error) {
    return refuseCall(run, call, promise, error, context);
  }
  const until = definition.kind === 'command' ? { until: run.openRow(context.now) + definition.timeoutMs } : {};
  const state = run.recordCalled({ call: id, kind, step, ...promise, ...until }, input, context.now);
  run.send(message);
  // Nobody answers an emitted message: it is done when it is written. Told by the next run event, in its place in the journal.
  if (definition.kind === 'emit')
    run.runEvents.push({ kind: 'attempt', call: state, result: { kind: 'done', output: undefined } });
  return false;
}

/** A call that cannot be made has failed in the row that records it; the calls made beside it are recorded after that. */
function refuseCall(run: Run, asked: NewCall, promise: Promised, cause: unknown, context: DecisionContext): boolean {
  const error = run.errorOf(cause);
  if (isBug(cause, [run.saga.errors, run.settings.errors], 'run')) {
    // Not recorded, nor are those behind it: code that is mended makes the call anew.
    run.recordStuck('code', null, error, context.now);
    return false;
  }
  const { id, kind, step, input } = asked;
  const call = run.recordCalled({ call: id, kind, step, ...promise }, input, context.now);
  run.record({ t: 'failed', call: id, attempts: 1, error, outcome: 'definite' }, context.now);
  return tell(run, call, { kind: 'failed', error: rebuildError(error, step) });
}

/** Of a call that is about to be recorded: once more, where a failure was taken back that it had answered. */
function nextWireCall(run: Run, id: string): string {
  return wireCall({ id, round: (run.state.calls.get(id)?.round ?? 0) + 1 });
}

/** The child is started in the commit that records the call. */
async function recordChild(run: Run, call: NewCall, promise: Promised, context: DecisionContext): Promise<boolean> {
  const definition = run.step(call.step);
  if (definition?.kind !== 'child') return false;
  let input: string;
  try {
    input = await childInput(run, definition, call);
  } catch (error) {
    return refuseCall(run, call, promise, error, context);
  }
  const childId = childRunId(run.id, nextWireCall(run, call.id));
  const at = run.openRow(context.now);
  const until = Number.isFinite(definition.timeoutMs) ? { until: at + definition.timeoutMs } : {};
  run.recordCalled(
    { call: call.id, kind: 'child', step: call.step, child: childId, ...until, ...promise },
    call.input,
    context.now,
  );
  startChild(run, definition, { id: childId, call: call.id, input, at });
  return false;
}

/** A signal of that name, if there is one for it, is promised to the oldest wait without one; told by the next run event. */
export function takeBufferedSignal(run: Run, name: string): void {
  let left = run.state.signals.reduce((count, each) => count + (each.name === name ? 1 : 0), 0);
  if (left === 0) return;
  for (const runEvent of run.runEvents) {
    if (runEvent.kind === 'attempt' && runEvent.call.kind === 'wait' && runEvent.call.step === name) left -= 1;
  }
  if (left <= 0) return;
  for (const call of run.state.open) {
    if (call.kind !== 'wait' || call.step !== name) continue;
    if (run.runEvents.some((runEvent) => runEvent.kind === 'attempt' && runEvent.call === call)) continue;
    // Before timers that were due after it came, and run messages that came after it.
    const behind = run.runEvents.findIndex((runEvent) => runEvent.kind !== 'attempt' || runEvent.call.kind !== 'wait');
    const promised = { kind: 'attempt', call, result: { kind: 'done', output: undefined } } as const;
    run.runEvents.splice(behind < 0 ? run.runEvents.length : behind, 0, promised);
    return;
  }
}

/** The oldest signal is taken now: the time of another wait may have been up since it was promised. */
function waitEnded(run: Run, call: CallState, context: DecisionContext): Spoken {
  const signal = run.state.signals.find(({ name }) => name === call.step);
  if (call.outcome === 'open' && signal !== undefined) return endDone(run, call, signal.payload, context);
  takeBufferedSignal(run, call.step);
  return false;
}

function begin(run: Run, effect: Effect): void {
  run.effects.push(effect);
}

/** How an attempt ended. Returns whether the code was told something. */
export function attemptEnded(run: Run, call: CallState, result: AttemptResult, context: DecisionContext): Spoken {
  if (call.kind === 'wait') return waitEnded(run, call, context);
  if (call.outcome !== 'open') return false;
  if (result.kind === 'done') return endDone(run, call, result.output, context);
  const definition = run.step(call.step);
  if (definition === undefined) return false;
  const { error, permanent, uncounted } = result;
  if (result.unrecordable === true) {
    run.recordStuck('unrecordable', call, error, context.now);
    return false;
  }
  const attempt = call.attempts + 1;
  const decision = decideFailed(
    isForwardOnly(run, definition) ? uncapped(definition.retry) : definition.retry,
    call.spent,
    {
      attempts: call.attempts,
      since: call.calledAt,
      now: context.now,
      permanent,
      uncounted,
      random: context.random,
    },
  );
  if (decision.kind === 'retry' && !isOverdue(call, context.now)) {
    const { retryAt, note } = decision;
    run.record({ t: 'attempt failed', call: call.id, attempt, error, retryAt, ...note }, context.now);
    return false;
  }
  if (decision.kind === 'kills workers') {
    const retryAt = Math.floor(context.now);
    const note = noteOf(call.spent, 0, 'lost');
    run.record({ t: 'attempt failed', call: call.id, attempt, error, retryAt, ...note }, context.now);
    run.recordStuck('kills workers', call, KILLS_WORKERS, context.now);
    return false;
  }
  return giveUp(run, call, definition, result, context);
}

/** Whether the whole time of a step is up. What waits for an answer is decided upon elsewhere. */
function isOverdue(call: CallState, now: number): boolean {
  return (call.kind === 'step' || call.kind === 'transaction') && call.until !== null && call.until <= now;
}

/** No further attempt is made: something stands in, somebody is asked, or the call fails. */
export function giveUp(
  run: Run,
  call: CallState,
  definition: StepDefinition,
  result: Extract<AttemptResult, { kind: 'failed' }>,
  context: DecisionContext,
): Spoken {
  const failure = { ...result, doubt: result.doubt || wasBegun(call) };
  if ('fallback' in definition && definition.fallback !== null) {
    begin(run, { kind: 'fallback', call, failure });
    return false;
  }
  if (result.bug === true && run.pendingCompensation === null) return stopAtBug(run, call, failure.error, context);
  if (call.pivot && failure.doubt && !canCompensate(definition)) {
    if (definition.kind === 'step' && definition.verify !== null && !call.unverifiable) {
      call.error = failure.error;
      begin(run, { kind: 'verify', call });
      return false;
    }
    // It may have happened, and can neither be compensated nor be counted on: only a person can find out.
    run.recordStuck('in doubt', call, failure.error, context.now);
    return false;
  }
  return endFailed(run, call, failure, context);
}

/** A step that threw what nobody throws on purpose: its call stays open, and is attempted anew when the code is mended. */
function stopAtBug(run: Run, call: CallState, error: RecordedError, context: DecisionContext): false {
  // Beside a call that has stopped the run already: what is known of this one waits with it.
  if (run.state.stuck === null) run.recordStuck('code', call, error, context.now);
  else
    run.record(
      { t: 'attempt failed', call: call.id, attempt: call.attempts + 1, error, retryAt: context.now },
      context.now,
    );
  return false;
}

/** Behind a pivot a step is tried until it is done, unless something may stand in for it. */
function isForwardOnly(run: Run, definition: StepDefinition): boolean {
  const canDegrade = 'fallback' in definition && definition.fallback !== null;
  return (run.state.pivoted && !canDegrade) || run.state.stuck !== null;
}

/** Behind a pivot there is only forward: the caps on attempts and time do not count there. */
function uncapped(policy: RetryPolicy): RetryPolicy {
  return { ...policy, attempts: Infinity, withinMs: Infinity };
}

export function fallbackEnded(
  run: Run,
  call: CallState,
  failure: Extract<AttemptResult, { kind: 'failed' }>,
  result: AttemptResult,
  context: DecisionContext,
): Spoken {
  if (call.outcome !== 'open') return false;
  if (result.kind === 'failed' && result.uncounted !== undefined) {
    // It was stopped with its worker: whoever goes on with the run asks it again.
    begin(run, { kind: 'fallback', call, failure });
    return false;
  }
  if (result.kind === 'failed') {
    const bug = failure.bug === true ? failure.error : result.bug === true ? result.error : null;
    if (bug !== null && run.pendingCompensation === null) return stopAtBug(run, call, bug, context);
    return endFailed(run, call, { ...failure, fallback: result.error }, context);
  }
  run.recordDegraded(call, result.output, failure.error, failure.doubt, context.now);
  return told(run, call, { kind: 'done', value: valueOf(result.output) }, context);
}

export function endDone(run: Run, call: CallState, output: string | undefined, context: DecisionContext): Spoken {
  run.recordDone(call, output, context.now);
  return told(run, call, { kind: 'done', value: valueOf(output) }, context);
}

export function endFailed(
  run: Run,
  call: CallState,
  failure: { readonly error: RecordedError; readonly doubt: boolean; readonly fallback?: RecordedError },
  context: DecisionContext,
): Spoken {
  const { error, fallback } = failure;
  const outcome = failure.doubt ? 'unknown' : 'definite';
  const attempts = call.attempts + 1;
  run.record(
    { t: 'failed', call: call.id, attempts, error, ...(fallback === undefined ? {} : { fallback }), outcome },
    context.now,
  );
  logGivenUp(run, call, { error, fallback, attempts, outcome });
  return told(run, call, { kind: 'failed', error: rebuildError(error, call.step) }, context);
}

/** A transaction step is committed; its row stands in the journal already. */
export function transacted(run: Run, call: CallState, output: string | undefined, context: DecisionContext): Spoken {
  return told(run, call, { kind: 'done', value: valueOf(output) }, context);
}

function told(run: Run, call: CallState, what: Outcome, context: DecisionContext): Spoken {
  // A request to compensate may have waited for this call.
  if (call.pivot && run.pendingCompensation !== null) grantCompensation(run, context);
  if (tell(run, call, what)) return true;
  return tryComplete(run, context)?.then(() => false) ?? false;
}

/** Completes the run when its code has ended and nothing that it began is open. */
export function tryComplete(run: Run, context: DecisionContext): Promise<void> | undefined {
  const { ending, state } = run;
  // What is about to be taken in may be that it is not wanted any more.
  if (run.runEvents.some(isRevocation)) return undefined;
  if (
    ending === null ||
    state.phase !== 'forward' ||
    state.stuck !== null ||
    state.held ||
    run.pendingCompensation !== null
  )
    return undefined;
  if (ending.kind === 'threw') {
    const error = run.errorOf(ending.error);
    if (isBug(ending.error, [run.saga.errors, run.settings.errors], 'run'))
      run.recordStuck('code', null, error, context.now);
    else fail(run, error, ending.of, context);
    return undefined;
  }
  for (const call of state.open) if (isStep(call)) return undefined;
  return finishAbandoned(run, context, ending.result);
}

function fail(run: Run, error: RecordedError, of: readonly string[], context: DecisionContext): void {
  if (run.state.pivoted) run.recordStuck('forward', null, error, context.now, of);
  else requestCompensation(run, { reason: 'failed', error, actor: undefined, runMessage: null }, context);
}
