/**
 * What a run is, as its journal gives it (the fold stands in saga/state). Values stay JSON texts until somebody needs them, so that nobody
 * can change what another one sees.
 */
import type { CarriedTrace } from '../../runtime/telemetry.ts';
import type { CallKind } from '../definition/kind-names.ts';
import type { Spent } from './budget.ts';
import type { CompensationState } from './compensation-state.ts';
import type { CompensationReason, RecordedError, StuckWhy } from './events.ts';
import type { BufferedSignal } from './signal-buffer.ts';
import type { RefusedAct } from './refused.ts';

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
  /** Called or taken up here, and no attempt has begun since: it waits for its commit, or for a circuit breaker. Not recorded. */
  unbegun: boolean;
  /** verify() could not say; the compensation must bear either. Not recorded. */
  unverifiable: boolean;
  /** It came to light after the run had ended, and its compensation is about to begin. Not recorded: both are in one commit. */
  lateSuccess: boolean;
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
  startedAt: number;
  /** Of whoever started it; null: nobody traced. */
  trace: CarriedTrace | null;
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
    startedAt: 0,
    trace: null,
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

/** Whether there is something to compensate: it happened, or it is in doubt. */
export function mayHaveHappened(call: CallState): boolean {
  return call.doubt || knownAsDone(call);
}

/** Whether it is known to have happened, with its outcome. */
export function knownAsDone(call: CallState): boolean {
  return call.outcome === 'done' && !call.degraded;
}
