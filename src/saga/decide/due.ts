/**
 * The timers of a run: when the next thing is due, and what happens then. Nothing is kept beside the journal, so a run that is loaded
 * anew has the same timers. Times are the store's.
 */
import type { CompensationState } from '../journal/compensation-state.ts';
import type { CallState } from '../journal/state.ts';
import { isAttempted, kindOf } from '../kinds/table.ts';
import type { DecisionContext } from '../run/run-events.ts';
import type { Run } from '../run/run.ts';
import { noteWait } from '../run/run-span.ts';
import { isCompensatedByMessage, prepareCompensationOf } from './compensate.ts';
import { compensationId } from './compensation-id.ts';
import type { Prepared } from './prepared.ts';
import { endDone, endFailed, giveUp, tell } from './outcomes.ts';
import { refuse } from './refusal.ts';
import { hasEnded, requestCompensation } from './request-compensation.ts';
import { compensationDue, isSentAgain, prepareResend, sendAgain, unansweredCall } from './resend.ts';
import { signalFor } from './signals.ts';

/** When anything of the run is due next, in milliseconds since the epoch; Infinity: nothing is. */
export function nextDue(run: Run): number {
  const { state } = run;
  if (state.phase === 'completed' || state.phase === 'compensated' || state.stuck !== null || state.held)
    return Infinity;
  let next = Infinity;
  if (state.phase === 'forward') {
    next = Math.min(deadlineOf(run), firstDue(run).at);
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

/** When the run as a whole is to be done; Infinity: it has no deadline, or that counts no longer. */
function deadlineOf({ state, pendingCompensation }: Run): number {
  if (state.deadlineRefused || pendingCompensation !== null) return Infinity;
  return state.deadlineAt ?? Infinity;
}

function compensationDueAt(compensation: CompensationState): number {
  return compensation.retryAt ?? compensation.replyBy ?? Infinity;
}

function callDue(run: Run, call: CallState): number {
  if (isAttempted(call)) {
    if (run.inFlight.has(call.id) || run.inFlight.has(compensationId(call))) return Infinity;
    const due = Math.min(call.retryAt ?? Infinity, call.asked.againAt ?? Infinity);
    return call.until === null || hasEnded(run, call) ? due : Math.min(due, call.until);
  }
  // A command that is to be sent again, or whatever is waited for.
  return call.retryAt ?? call.until ?? Infinity;
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

/** The first thing that is due. */
export type DueItem =
  | { readonly kind: 'deadline' }
  | { readonly kind: 'call'; readonly call: CallState }
  | { readonly kind: 'verify'; readonly call: CallState }
  | { readonly kind: 'compensation'; readonly call: CallState };

/** Null: nothing is due by then. */
export function firstDueItem(run: Run, context: DecisionContext): DueItem | null {
  const { state } = run;
  // The row that is being filled may have been opened before: what is told in it is told at its time, and now() must not be earlier
  // than the end of a sleep. And what had come before the timer was due is told before it.
  const now = Math.min(context.now, run.openRow(context.now), run.messagesKnownAt);
  if (nextDue(run) > now) return null;
  if (state.phase === 'forward') {
    const first = firstDue(run);
    const deadlineAt = deadlineOf(run);
    if (deadlineAt <= now && deadlineAt <= first.at) return { kind: 'deadline' };
    if (first.call !== null && first.at <= now) return { kind: 'call', call: first.call };
  }
  for (const call of state.calls.values()) {
    const { compensation, asked } = call;
    if (compensation === null && asked.againAt !== null && asked.againAt <= now) return { kind: 'verify', call };
    if (compensation?.state !== 'open' || compensationDueAt(compensation) > now) continue;
    if (!run.inFlight.has(compensationId(call))) return { kind: 'compensation', call };
  }
  return null;
}

/** Whether a message may have to be sent for it. */
export function needsPreparing(run: Run, item: DueItem): boolean {
  if (item.kind === 'call') return isSentAgain(run, item.call);
  return item.kind === 'compensation' && isCompensatedByMessage(run, item.call);
}

/** Makes that message ready; undefined: none is needed. */
export function prepareDueItem(run: Run, item: DueItem): Promise<Prepared<string | null>> | undefined {
  if (item.kind === 'call') return prepareResend(run, item.call);
  return item.kind === 'compensation' ? prepareCompensationOf(run, item.call) : undefined;
}

/** Takes in what is due. Returns whether the code was told something. */
export function takeDue(
  run: Run,
  item: DueItem,
  message: Prepared<string | null> | null,
  context: DecisionContext,
): boolean {
  switch (item.kind) {
    case 'deadline':
      deadline(run, context);
      return false;
    case 'call':
      return callIsDue(run, item.call, message, context);
    case 'verify':
      item.call.asked.againAt = null;
      run.intents.push({ kind: 'verify', call: item.call });
      return false;
    case 'compensation':
      if (message !== null) compensationDue(run, item.call, message, context);
      else {
        if (item.call.compensation !== null) item.call.compensation.retryAt = null;
        run.intents.push({ kind: 'compensate', call: item.call });
      }
      return false;
  }
}

function deadline(run: Run, context: DecisionContext): void {
  if (run.state.pivoted) {
    refuse(run, { what: 'deadline' }, context);
    return;
  }
  const error = { name: 'HoldfastError', code: 'HF_SAGA_UNDONE', message: 'The deadline of the run has passed.' };
  requestCompensation(run, { reason: 'timed out', error, actor: undefined, runMessage: null }, context);
}

function callIsDue(
  run: Run,
  call: CallState,
  message: Prepared<string | null> | null,
  context: DecisionContext,
): boolean {
  const { saga, state } = run;
  const { now } = context;
  const ended = isAttempted(call) && hasEnded(run, call);
  const due = kindOf(call).whenDue({ saga, call, now, ended, signal: signalFor(state, call) }, run.step(call.step));
  switch (due.kind) {
    case 'done':
      return endDone(run, call, due.output, context);
    case 'timed out':
      run.record({ t: 'timed out', call: call.id }, now);
      noteWait(run, call, now);
      return tell(run, call, { kind: 'done', value: null });
    case 'failed':
      return endFailed(run, call, { error: due.error, doubt: true }, context);
    case 'overdue':
      return giveUp(run, call, { kind: 'failed', error: due.error, permanent: true, doubt: false }, context);
    case 'unanswered':
      return unansweredCall(run, call, { ...due, message }, context);
    case 'send again':
      return sendAgain(run, call, message, context);
    case 'verify':
      call.asked.againAt = null;
      run.intents.push({ kind: 'verify', call });
      return false;
    case 'attempt':
      call.retryAt = null;
      run.intents.push({ kind: 'attempt', call });
      return false;
  }
}
