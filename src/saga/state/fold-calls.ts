/** The fold of what is recorded of calls: that they were made, their attempts, and how they ended. */
import { newSpent, spend } from '../journal/budget.ts';
import type { RecordedError } from '../journal/events.ts';
import { textOf, type CallState, type RunState } from '../journal/state.ts';
import { kindOf } from '../kinds/table.ts';
import { cameToLight, withCall, type EventOf, type Folds } from './folds.ts';

type CallEvents = 'called' | 'attempt failed' | 'trying' | 'done' | 'failed' | 'timed out' | 'late reply' | 'verified';

export const CALL_FOLDS: Folds<CallEvents> = {
  called: (state, event, at) => void applyCalled(state, event, textOf(event.input), at),
  'attempt failed': (state, event) =>
    withCall(state, event.call, (call) => {
      call.attempts = event.attempt;
      call.retryAt = event.retryAt;
      call.error = event.error;
      spend(call.spent, event);
    }),
  trying: (state, event) =>
    withCall(state, event.call, (call) => {
      (call.compensation?.state === 'open' ? call.compensation : call).spent.trying = true;
    }),
  done(state, { call, output, degraded, doubt, version = null }) {
    applyDone(state, call, { output: textOf(output), version, degraded, doubt });
  },
  failed: (state, event) =>
    withCall(state, event.call, (call) => {
      settle(state, call, 'failed');
      state.failedSince.push(call.id);
      call.failedPlace = state.events;
      call.givenUp = true;
      call.attempts = event.attempts;
      call.error = event.error;
      call.doubt = event.outcome === 'unknown';
    }),
  'timed out': (state, event) => withCall(state, event.call, (call) => settle(state, call, 'timed out')),
  'late reply': (state, event) => withCall(state, event.call, (call) => applyLateReply(call, event)),
  verified: (state, event) =>
    withCall(state, event.call, (call) => {
      if (event.outcome === 'done') return cameToLight(call, textOf(event.output));
      call.doubt = false;
      call.outcome = 'failed';
      call.output = undefined;
    }),
};

/** What of a recorded call its state is made of. */
export type CalledEvent = Omit<EventOf<'called'>, 't' | 'input'>;

/** `called` with its input as text; the hot path of a worker, which has the text and not the value. */
export function applyCalled(state: RunState, event: CalledEvent, input: string | undefined, at: number): CallState {
  const call: CallState = {
    id: event.call,
    kind: event.kind,
    step: event.step,
    pivot: event.pivot === true,
    undoable: event.undoable === true,
    version: event.version ?? null,
    input,
    until: event.until ?? null,
    child: event.child ?? null,
    place: state.events,
    failedPlace: 0,
    round: (state.calls.get(event.call)?.round ?? 0) + 1,
    outcome: 'open',
    doubt: false,
    givenUp: false,
    output: undefined,
    outputVersion: null,
    degraded: false,
    error: null,
    attempts: 0,
    calledAt: at,
    retryAt: null,
    spent: newSpent(at),
    compensation: null,
    unbegun: false,
    unverifiable: false,
    lateSuccess: false,
    asked: { attempts: 0, againAt: null },
  };
  state.calls.set(call.id, call);
  state.open.push(call);
  if (state.failedSince.length > 0) state.failedSince = [];
  return call;
}

/** What came of a call that is done; `output` as text. */
export interface DoneCall {
  readonly output: string | undefined;
  /** Of the reply type; null or absent: not known. */
  readonly version?: number | null;
  /** Its fallback stands in, for this error. */
  readonly degraded?: RecordedError | undefined;
  /** It may have happened all the same. */
  readonly doubt?: boolean | undefined;
}

export function applyDone(state: RunState, id: string, { output, version, degraded, doubt }: DoneCall): void {
  const call = state.calls.get(id);
  if (call === undefined) return;
  settle(state, call, 'done');
  call.output = output;
  call.outputVersion = version ?? null;
  call.doubt = doubt === true;
  if (degraded !== undefined) {
    call.degraded = true;
    call.error = degraded;
  }
  if (call.pivot) state.pivoted = true;
  kindOf(call).applyDone?.(state, call);
}

function settle(state: RunState, call: CallState, outcome: CallState['outcome']): void {
  call.outcome = outcome;
  call.retryAt = null;
  const index = state.open.indexOf(call);
  if (index >= 0) state.open.splice(index, 1);
}

function applyLateReply(call: CallState, event: EventOf<'late reply'>): void {
  if (event.outcome === 'rejected') {
    // A definite no, unless a compensation for it is on its way already: then that one ends it.
    if (call.compensation === null && (call.outcome === 'failed' || call.degraded)) call.doubt = false;
    return;
  }
  cameToLight(call, textOf(event.output));
  // A compensation that came before what it was to compensate may have found nothing.
  if (call.compensation !== null) call.compensation.again = true;
}
