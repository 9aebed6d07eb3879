/**
 * What a run is, folded from its journal. Pure: the same events always give the same state, in a worker, in a replay check and on the
 * command line. Values stay JSON texts until somebody needs them, so that nobody can change what another one sees.
 */
import { newSpent, spend, type Spent } from './budget.ts';
import {
  isOfCompensating,
  WHOLE_RUN,
  type CallReissue,
  type CallKind,
  type JournalEvent,
  type RecordedError,
  type StuckWhy,
  type CompensationReason,
} from './events.ts';
import { withRefused, type RefusedAct } from './refused.ts';
import { attemptAgain, reopen } from './retried.ts';
import { keepSignal, takeSignal, type BufferedSignal } from './kept-signals.ts';
import { newCompensation, type CompensationState } from './compensation-state.ts';

export interface CallState {
  readonly id: string;
  readonly kind: CallKind;
  /** Declared name. */
  readonly step: string;
  readonly pivot: boolean;
  /** It was recorded as one that can be compensated. */
  readonly undoable: boolean;
  /** Of its message type, or of the child's saga, when it was recorded; null: not known. */
  readonly version: number | null;
  /** JSON; undefined: none was given. */
  readonly input: string | undefined;
  /** When a sleep ends, or a wait, a command, a child, or a step with a deadline is given up. Milliseconds since the epoch. */
  until: number | null;
  /** The run that a child call started. */
  child: string | null;
  /** Where it was called, and failed, in the order of all events. */
  readonly place: number;
  failedPlace: number;
  /** How often it has been made; under which name participants know it (call-id.ts). */
  round: number;
  outcome: 'open' | 'done' | 'failed' | 'timed out';
  /** Of a failure, or of a success by fallback: whether it may have happened all the same. While it is open: by an earlier attempt. */
  doubt: boolean;
  /** The run was told that it failed, whatever came to light later. */
  givenUp: boolean;
  output: string | undefined;
  /** Of the reply type, when the output was recorded; null: not known. */
  outputVersion: number | null;
  /** A fallback stands in for it; `doubt` says whether the step itself may have happened. */
  degraded: boolean;
  error: RecordedError | null;
  /** Attempts that failed or were lost. */
  attempts: number;
  /** When the first attempt was due to begin; anew when a person has it retried. */
  calledAt: number;
  /** When the next attempt begins; null: none is put off. */
  retryAt: number | null;
  /** Of the budget for attempts. */
  spent: Spent;
  compensation: CompensationState | null;
  /** verify() could not say; the compensation must bear either. Not recorded. */
  unverifiable: boolean;
  /** How often verify() failed, and when it is asked again. Not recorded. */
  asked: { attempts: number; againAt: number | null };
}

interface Stuck {
  readonly why: StuckWhy;
  readonly call: string | null;
  readonly error: RecordedError;
  /** Calls with whose failures the code ended. */
  readonly of: readonly string[];
}

export interface RunState {
  /** In the order in which they were started. */
  readonly calls: Map<string, CallState>;
  /** Those without an outcome, in the same order. */
  readonly open: CallState[];
  /** What failed since the code made its last call. */
  failedSince: string[];
  readonly signals: BufferedSignal[];
  /** Of their payloads. */
  signalBytes: number;
  /** Null until there is one. */
  signalIds: Set<string> | null;
  phase: 'forward' | 'compensating' | 'completed' | 'compensated';
  /** A child that is done and waits for its parent. */
  held: boolean;
  stuck: Stuck | null;
  reason: CompensationReason | null;
  /** Why it is being compensated. */
  error: RecordedError | null;
  pivoted: boolean;
  /** Calls whose compensating a person had left out. */
  readonly skipped: string[];
  /** What came too late, the last of it. Replaced, never changed. */
  refused: readonly RefusedAct[];
  /** JSON. */
  input: string | undefined;
  result: string | undefined;
  deadlineAt: number | null;
  deadlineRefused: boolean;
  /** How many lost workers have been accounted for. */
  lost: number;
  events: number;
}

export function emptyState(): RunState {
  return {
    calls: new Map(),
    open: [],
    failedSince: [],
    signals: [],
    signalBytes: 0,
    signalIds: null,
    phase: 'forward',
    held: false,
    stuck: null,
    reason: null,
    error: null,
    pivoted: false,
    skipped: [],
    refused: [],
    input: undefined,
    result: undefined,
    deadlineAt: null,
    deadlineRefused: false,
    lost: 0,
    events: 0,
  };
}

/** A signal's id counts beside its name. */
export function signalId(name: string, id: string): string {
  return JSON.stringify([name, id]);
}

/** JSON text of a value that may be missing. */
export function textOf(value: unknown): string | undefined {
  return value === undefined ? undefined : JSON.stringify(value);
}

/** The value of such a text. */
export function valueOf(text: string | undefined): unknown {
  return text === undefined ? undefined : JSON.parse(text);
}

/** Folds one event in. `at`: the time of its row, in milliseconds. Unknown calls are ignored: a journal is never refused as such. */
export function apply(state: RunState, event: JournalEvent, at: number): void {
  state.events += 1;
  switch (event.t) {
    case 'started':
      state.input = textOf(event.input);
      state.deadlineAt = event.deadlineAt ?? null;
      return;
    case 'called':
      applyCalled(state, event, textOf(event.input), at);
      return;
    case 'attempt failed':
      withCall(state, event.call, (call) => {
        call.attempts = event.attempt;
        call.retryAt = event.retryAt;
        call.error = event.error;
        spend(call.spent, event);
      });
      return;
    case 'trying':
      withCall(state, event.call, (call) => {
        (call.compensation?.state === 'open' ? call.compensation : call).spent.trying = true;
      });
      return;
    case 'done':
      applyDone(state, event.call, textOf(event.output), event.degraded, event.doubt, event.version);
      return;
    case 'failed':
      withCall(state, event.call, (call) => {
        settle(state, call, 'failed');
        state.failedSince.push(call.id);
        call.failedPlace = state.events;
        call.givenUp = true;
        call.attempts = event.attempts;
        call.error = event.error;
        call.doubt = event.outcome === 'unknown';
      });
      return;
    case 'timed out':
      withCall(state, event.call, (call) => settle(state, call, 'timed out'));
      return;
    case 'signal':
      keepSignal(state, { name: event.name, payload: textOf(event.payload) });
      if (event.id !== undefined) (state.signalIds ??= new Set()).add(signalId(event.name, event.id));
      return;
    case 'recovered':
      // What was under way is still to be accounted for when a trial begins.
      if (event.alone !== true) state.lost = event.lost;
      return;
    case 'late reply':
      withCall(state, event.call, (call) => applyLateReply(call, event));
      return;
    case 'refused':
      if (event.what === 'deadline') state.deadlineRefused = true;
      state.refused = withRefused(state.refused, event);
      return;
    case 'undoing':
      state.phase = 'compensating';
      state.held = false;
      state.reason = event.reason;
      state.error = event.error ?? null;
      state.stuck = null;
      return;
    case 'verified':
      withCall(state, event.call, (call) => {
        if (event.outcome === 'done') return cameToLight(call, event.output);
        call.doubt = false;
        call.outcome = 'failed';
        call.output = undefined;
      });
      return;
    case 'compensating':
      withCall(state, event.call, (call) => {
        call.compensation = newCompensation(event.round, at);
      });
      return;
    case 'compensation failed':
      withCompensation(state, event.call, (compensation) => {
        compensation.attempts = event.attempt;
        compensation.retryAt = event.retryAt ?? null;
        spend(compensation.spent, event);
      });
      return;
    case 'compensated':
      if (isOfCompensating(state.stuck?.why) && state.stuck?.call === event.call) state.stuck = null;
      endCompensation(state, event.call, at);
      return;
    case 'stuck':
      state.stuck = { why: event.why, call: event.call ?? null, error: event.error, of: event.of ?? [] };
      return;
    case 'retried':
      applyRetried(state, event.anew ?? [], at);
      return;
    case 'skipped':
      state.stuck = null;
      state.skipped.push(event.call);
      endCompensation(state, event.call, at);
      return;
    case 'resolved':
      state.stuck = null;
      if (event.call === WHOLE_RUN) return;
      if (event.as === 'compensated') endCompensation(state, event.call, at);
      return;
    case 'held':
      state.held = true;
      state.result = textOf(event.result);
      return;
    case 'completed':
      state.phase = 'completed';
      state.held = false;
      if (event.result !== undefined) state.result = textOf(event.result);
      return;
    case 'undone':
      state.phase = 'compensated';
      return;
  }
}

/** `called` with its input as text; the hot path of a worker, which has the text and not the value. */
export function applyCalled(
  state: RunState,
  event: Pick<
    Extract<JournalEvent, { t: 'called' }>,
    'call' | 'kind' | 'step' | 'until' | 'child' | 'pivot' | 'undoable' | 'version'
  >,
  input: string | undefined,
  at: number,
): CallState {
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
    unverifiable: false,
    asked: { attempts: 0, againAt: null },
  };
  state.calls.set(call.id, call);
  state.open.push(call);
  if (state.failedSince.length > 0) state.failedSince = [];
  return call;
}

/** `done` with its output as text. */
export function applyDone(
  state: RunState,
  id: string,
  output: string | undefined,
  degraded?: RecordedError,
  doubt = false,
  version: number | null = null,
): void {
  withCall(state, id, (call) => {
    settle(state, call, 'done');
    call.output = output;
    call.outputVersion = version;
    call.doubt = doubt;
    if (degraded !== undefined) {
      call.degraded = true;
      call.error = degraded;
    }
    if (call.pivot) state.pivoted = true;
    if (call.kind === 'wait') takeSignal(state, call.step);
  });
}

function settle(state: RunState, call: CallState, outcome: CallState['outcome']): void {
  call.outcome = outcome;
  call.retryAt = null;
  const index = state.open.indexOf(call);
  if (index >= 0) state.open.splice(index, 1);
}

function applyLateReply(call: CallState, event: Extract<JournalEvent, { t: 'late reply' }>): void {
  if (event.outcome === 'rejected') {
    // A definite no, unless a compensation for it is on its way already: then that one ends it.
    if (call.compensation === null && (call.outcome === 'failed' || call.degraded)) call.doubt = false;
    return;
  }
  cameToLight(call, event.output);
  // A compensation that came before what it was to compensate may have found nothing.
  if (call.compensation !== null) call.compensation.again = true;
}

/** It happened after all. Where a fallback stood in, the run counts on that and not on this. */
function cameToLight(call: CallState, output: unknown): void {
  call.givenUp ||= call.degraded;
  call.degraded = false;
  call.outcome = 'done';
  call.doubt = false;
  call.output = textOf(output);
  call.outputVersion = null;
}

function applyRetried(state: RunState, anew: readonly CallReissue[], at: number): void {
  const { stuck } = state;
  state.stuck = null;
  for (const each of anew) withCall(state, each.call, (call) => reopen(call, each, at));
  if (anew.length > 0) {
    state.open.splice(0, Infinity, ...[...state.calls.values()].filter(({ outcome }) => outcome === 'open'));
    state.failedSince = state.failedSince.filter((id) => !anew.some(({ call }) => call === id));
  }
  if (stuck?.call === null || stuck === null) return;
  withCall(state, stuck.call, (call) => {
    if (call.compensation?.state === 'open') {
      Object.assign(call.compensation, { attempts: 0, startedAt: at, retryAt: null, spent: newSpent(at) });
    } else if (call.outcome === 'open') attemptAgain(call, stuck.why, at);
  });
}

function endCompensation(state: RunState, id: string, at: number): void {
  withCall(state, id, (call) => {
    call.compensation ??= newCompensation(1, at);
    call.compensation.state = 'done';
    call.compensation.retryAt = null;
  });
}

function withCall(state: RunState, id: string, change: (call: CallState) => void): void {
  const call = state.calls.get(id);
  if (call !== undefined) change(call);
}

function withCompensation(state: RunState, id: string, change: (compensation: CompensationState) => void): void {
  withCall(state, id, (call) => {
    if (call.compensation !== null) change(call.compensation);
  });
}
