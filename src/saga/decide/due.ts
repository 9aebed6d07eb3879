/**
 * The timers of a run: when the next thing is due, and what happens then. Nothing is kept beside the journal, so a run that is loaded
 * anew has the same timers. Times are the store's.
 */
import { hasEnded, requestCompensation, compensationId } from './compensate.ts';
import { endDone, endFailed, giveUp, tell, type Spoken } from './forward.ts';
import type { DecisionContext } from '../run/run-events.ts';
import { HoldfastError } from '../../errors.ts';
import { recordError } from '../journal/recorded-error.ts';
import type { BufferedSignal } from '../journal/kept-signals.ts';
import { refuse } from './too-late.ts';
import { commandDue, compensationDue } from './resend.ts';
import type { Run } from '../run/run.ts';
import type { CallState, RunState } from '../journal/state.ts';
import type { CompensationState } from '../journal/compensation-state.ts';

/** When anything of the run is due next, in milliseconds since the epoch; Infinity: nothing is. */
export function nextDue(run: Run): number {
  const { state } = run;
  if (state.phase === 'completed' || state.phase === 'compensated' || state.stuck !== null || state.held)
    return Infinity;
  let next = Infinity;
  if (state.phase === 'forward') {
    if (state.deadlineAt !== null && !state.deadlineRefused && run.pendingCompensation === null)
      next = state.deadlineAt;
    next = Math.min(next, firstDue(run).at);
  }
  // A run that goes forward has no compensations, and may have thousands of calls.
  if (state.phase === 'forward' && run.ending === null) return next;
  for (const call of state.calls.values()) {
    if (run.inFlight.has(compensationId(call))) continue;
    if (call.compensation?.state === 'open') next = Math.min(next, compensationDueAt(call.compensation));
    else if (call.compensation === null) next = Math.min(next, call.asked.againAt ?? Infinity);
  }
  return next;
}

function compensationDueAt(compensation: CompensationState): number {
  return compensation.retryAt ?? compensation.replyBy ?? Infinity;
}

function callDue(run: Run, call: CallState): number {
  if (call.kind === 'step' || call.kind === 'transaction') {
    if (run.inFlight.has(call.id) || run.inFlight.has(compensationId(call))) return Infinity;
    const due = Math.min(call.retryAt ?? Infinity, call.asked.againAt ?? Infinity);
    return call.until === null || hasEnded(run, call) ? due : Math.min(due, call.until);
  }
  // A command that is to be sent again, or whose reply is waited for.
  return call.retryAt ?? call.until ?? Infinity;
}

/** Takes in the first thing that is due. Returns whether the code was told something; `more`: look again. */
export async function takeDue(
  run: Run,
  context: DecisionContext,
): Promise<{ readonly told: boolean; readonly more: boolean }> {
  const { state } = run;
  const nothing = { told: false, more: false };
  // The row that is being filled may have been opened before: what is told in it is told at its time, and now() must not be earlier
  // than the end of a sleep. And what had come before the timer was due is told before it.
  const now = Math.min(context.now, run.openRow(context.now), run.messagesKnownAt);
  if (nextDue(run) > now) return nothing;
  if (state.phase === 'forward') {
    const first = firstDue(run);
    const { deadlineAt } = state;
    if (
      deadlineAt !== null &&
      deadlineAt <= now &&
      !state.deadlineRefused &&
      run.pendingCompensation === null &&
      deadlineAt <= first.at
    ) {
      deadline(run, context);
      return { told: false, more: true };
    }
    if (first.call !== null && first.at <= now) return { told: await callIsDue(run, first.call, context), more: true };
  }
  for (const call of state.calls.values()) {
    if (call.compensation === null && call.asked.againAt !== null && call.asked.againAt <= now) {
      call.asked.againAt = null;
      run.effects.push({ kind: 'verify', call });
      return { told: false, more: true };
    }
    if (
      call.compensation?.state !== 'open' ||
      compensationDueAt(call.compensation) > now ||
      run.inFlight.has(compensationId(call))
    )
      continue;
    const step = run.step(call.step);
    if (step?.kind === 'command') await compensationDue(run, call, context);
    else {
      call.compensation.retryAt = null;
      run.effects.push({ kind: 'compensate', call });
    }
    return { told: false, more: true };
  }
  return nothing;
}

/** The open call that is due first; of several the one that was called first. */
function firstDue(run: Run): { readonly call: CallState | null; readonly at: number } {
  let first: { call: CallState | null; at: number } = { call: null, at: Infinity };
  for (const call of run.state.open) {
    const at = callDue(run, call);
    if (at < first.at) first = { call, at };
  }
  return first;
}

function deadline(run: Run, context: DecisionContext): void {
  if (run.state.pivoted) {
    refuse(run, { what: 'deadline' }, context);
    return;
  }
  const error = { name: 'HoldfastError', code: 'HF_SAGA_UNDONE', message: 'The deadline of the run has passed.' };
  requestCompensation(run, { reason: 'timed out', error, actor: undefined, runMessage: null }, context);
}

async function callIsDue(run: Run, call: CallState, context: DecisionContext): Promise<boolean> {
  switch (call.kind) {
    case 'sleep':
      return endDone(run, call, undefined, context);
    case 'wait': {
      const signal = signalFor(run.state, call);
      // It was there before the time was up.
      if (signal !== undefined) return endDone(run, call, signal.payload, context);
      run.record({ t: 'timed out', call: call.id }, context.now);
      return tell(run, call, { kind: 'done', value: null });
    }
    case 'child': {
      const error = {
        name: 'HoldfastError',
        code: 'HF_STEP_TIMEOUT',
        message: `The child of ${call.id} was not done in time.`,
      };
      return endFailed(run, call, { error, doubt: true }, context);
    }
    case 'command':
      return commandDue(run, call, context);
    default:
      if (call.until !== null && call.until <= context.now && !hasEnded(run, call))
        return stepOverdue(run, call, context);
      if (call.asked.againAt !== null) {
        call.asked.againAt = null;
        run.effects.push({ kind: 'verify', call });
        return false;
      }
      call.retryAt = null;
      run.effects.push({ kind: 'attempt', call });
      return false;
  }
}

/** The whole time of a step is up while no attempt of it is under way. */
function stepOverdue(run: Run, call: CallState, context: DecisionContext): Spoken {
  const definition = run.step(call.step);
  if (call.outcome !== 'open' || definition === undefined) return false;
  const error = recordError(
    new HoldfastError(
      'HF_STEP_TIMEOUT',
      `${run.saga.name}, ${call.id} was not done within ${definition.deadlineMs} ms.`,
      {
        details: { deadlineMs: definition.deadlineMs },
        ...(call.error === null ? {} : { cause: new Error(call.error.message) }),
      },
    ),
  );
  return giveUp(run, call, definition, { kind: 'failed', error, permanent: true, doubt: false }, context);
}

/** The signal that an open wait will be given, if there is one: each is for one wait, in the order of both. */
function signalFor(state: RunState, wait: CallState): BufferedSignal | undefined {
  const ahead = state.open.filter(({ kind, step }) => kind === 'wait' && step === wait.step).indexOf(wait);
  return state.signals.filter(({ name }) => name === wait.step)[ahead];
}
