/**
 * The journal: what is recorded of a run. Public, because histories are shown, stored and replayed. One row of the journal is one
 * commit; the order of rows, and of the events in one, is the order in which the outcomes were told to the run's code.
 *
 * Values (`input`, `output`, `payload`, `result`) are JSON. A property that is missing stands for `undefined`.
 */
import type { CallKind } from '../definition/kind-names.ts';
import type { RunTrace } from './run-trace.ts';

/** An error as it is recorded, and as it is rebuilt for the run's code at every replay. */
export interface RecordedError {
  readonly name: string;
  /** With those of its causes, and of the errors of an aggregate. */
  readonly message: string;
  readonly code?: string | number;
  /** Of HTTP, where the error says one. */
  readonly status?: number;
  /** The first frames, where it was thrown. */
  readonly stack?: string;
  readonly cause?: RecordedError;
  /** Of an AggregateError, the first few. */
  readonly errors?: readonly RecordedError[];
  readonly details?: Readonly<Record<string, unknown>>;
}

/** Why a run is being compensated. */
export type CompensationReason = 'failed' | 'cancelled' | 'timed out';

/**
 * Why a run needs a person.
 * - compensation: a compensation gave up
 * - forward: the run failed behind its pivot, where it cannot be compensated
 * - code: its code, or a step, threw what nobody throws on purpose: it goes on when that is mended
 * - in doubt: whether the pivot happened is not known
 * - non-determinism, outside await: the code does not fit the journal, or waits for what is not a step
 * - undefined step: the code that would compensate a step is not there any more
 * - kills workers: every worker that ran its code, or made the attempt that is named, was lost; or the connection broke or fell silent in each attempt
 * - unrecordable: the database refuses what is to be recorded, for its data
 * - journal full: its next calls would make its journal larger than it may be; they were not begun
 */
export type StuckWhy =
  | 'compensation'
  | 'forward'
  | 'code'
  | 'in doubt'
  | 'non-determinism'
  | 'outside await'
  | 'undefined step'
  | 'kills workers'
  | 'journal full'
  | 'unrecordable';

/** Stuck at the compensation of a call, which may be answered after all. */
export function isOfCompensating(why: StuckWhy | undefined): boolean {
  return why === 'compensation' || why === 'undefined step';
}

/**
 * Why an attempt counts for nothing: its worker was lost or was stopped, the database rolled it back for reasons of its own, or nobody
 * was there when its answer was due.
 */
export type Uncounted = 'lost' | 'stopped' | 'database' | 'unattended';

/**
 * A call that is made once more. `round`: participants know it by another name from the second one on (`ship!2`), for under the first one
 * they have their refusal on record. `until` and `child` as in `called`.
 */
export interface CallReissue {
  readonly call: string;
  readonly round?: number;
  readonly until?: number;
  readonly child?: string;
}

/** One thing that a journal records. */
export type JournalEvent =
  /** `trace`: of whoever started it, when that was traced. */
  | { readonly t: 'started'; readonly input: unknown; readonly deadlineAt?: number; readonly trace?: RunTrace }
  /** Intent. `until`: when a sleep ends, or a wait for a signal gives up, in ms since the epoch on the database's clock. */
  | {
      readonly t: 'called';
      readonly call: string;
      readonly kind: CallKind;
      /** The declared name of the step; of the signal for a wait; 'sleep'. */
      readonly step: string;
      readonly input?: unknown;
      /** When a sleep ends, a wait gives up, or the whole time of a step or a transaction is up, if that is limited. */
      readonly until?: number;
      /** The run that was started. */
      readonly child?: string;
      /** Once it is done, the run only goes forward. */
      readonly pivot?: true;
      /** It was declared with what compensates it: code that has nothing for that does not fit. Absent also where older code wrote it. */
      readonly undoable?: true;
      /** Of the message type that a command or an emitted message was given for; of a child's saga. */
      readonly version?: number;
    }
  /**
   * An attempt failed, or was cut short; the next one begins at `retryAt`. `uncounted`: why no attempt is used up by it. `free`: how many
   * have used up none until now, `lost` of them in a row with their workers, of which `lapsed` were heard of again, or `broken` with the connection of their transaction. `idle`: how
   * long until now, in ms, nobody ran the step although it was due; `within` does not count that. It says the whole of what the ones before it said: of a call with more than ten, those in
   * between are taken out again (compaction.ts).
   */
  | {
      readonly t: 'attempt failed';
      readonly call: string;
      readonly attempt: number;
      readonly error: RecordedError;
      readonly retryAt: number;
      readonly uncounted?: Uncounted;
      readonly free?: number;
      readonly lost?: number;
      readonly lapsed?: number;
      readonly broken?: number;
      readonly idle?: number;
    }
  /** Workers died with attempts of this call; the next one is announced, so that what only waits beside it is not blamed. */
  | { readonly t: 'trying'; readonly call: string }
  /** `degraded`: the step gave up with this error and its fallback stood in. `doubt`: the step itself may have happened all the same. */
  | {
      readonly t: 'done';
      readonly call: string;
      readonly output?: unknown;
      readonly degraded?: RecordedError;
      readonly doubt?: true;
      /** Of the reply type, for the output of a command. */
      readonly version?: number;
    }
  /** `unknown`: it may have happened all the same, and is compensated. `definite`: it has not. */
  | {
      readonly t: 'failed';
      readonly call: string;
      readonly attempts: number;
      readonly error: RecordedError;
      /** What the fallback failed with that was to stand in. */
      readonly fallback?: RecordedError;
      readonly outcome: 'definite' | 'unknown';
    }
  /** A wait for a signal gave up. */
  | { readonly t: 'timed out'; readonly call: string }
  /** Kept until a wait takes it: `done` of that wait names it. */
  | { readonly t: 'signal'; readonly name: string; readonly payload?: unknown; readonly id?: string }
  /**
   * Workers died with the run, so many until now; what was being attempted is in doubt. `alone`: perhaps its code kills them; it is about
   * to be tried with no other suspect beside it.
   */
  | { readonly t: 'recovered'; readonly lost: number; readonly alone?: true }
  /** A reply that came after its call had been given up. */
  | {
      readonly t: 'late reply';
      readonly call: string;
      readonly outcome: 'done' | 'rejected';
      readonly output?: unknown;
    }
  /** A cancellation or a deadline that came after the pivot, or what else came when it could take no effect any more: `name` of a signal. */
  | {
      readonly t: 'refused';
      readonly what: 'cancel' | 'deadline' | 'signal' | 'retry' | 'skip' | 'resolve';
      readonly name?: string;
      readonly reason?: string;
      readonly actor?: string;
    }
  /** From here on the run's code is not run any more. */
  | {
      readonly t: 'undoing';
      readonly reason: CompensationReason;
      readonly error?: RecordedError;
      readonly actor?: string;
    }
  /** What verify() found out about a step in doubt. */
  | { readonly t: 'verified'; readonly call: string; readonly outcome: 'done' | 'not done'; readonly output?: unknown }
  /** `round` is over 1 when a late reply makes a compensation necessary again. */
  | { readonly t: 'compensating'; readonly call: string; readonly round: number }
  | {
      readonly t: 'compensation failed';
      readonly call: string;
      readonly attempt: number;
      readonly error: RecordedError;
      readonly retryAt?: number;
      readonly uncounted?: Uncounted;
      readonly free?: number;
      readonly lost?: number;
      readonly lapsed?: number;
      readonly broken?: number;
      readonly idle?: number;
    }
  | { readonly t: 'compensated'; readonly call: string }
  /** `of`: the code ended with the failures of these calls, perhaps after further ones. */
  | {
      readonly t: 'stuck';
      readonly why: StuckWhy;
      readonly call?: string;
      readonly error: RecordedError;
      readonly of?: readonly string[];
    }
  /**
   * A person had it tried again. `anew`: the calls behind the pivot of which the last failure is taken back, and the code not told any more.
   * What it had called in answer to such a failure it may call once more: the second `called` of that id then counts.
   */
  | { readonly t: 'retried'; readonly actor: string; readonly reason?: string; readonly anew?: readonly CallReissue[] }
  /** A person had a compensation left out. */
  | { readonly t: 'skipped'; readonly call: string; readonly actor: string; readonly reason: string }
  /** A person settled by hand what a step or a compensation is. */
  | {
      readonly t: 'resolved';
      readonly call: string;
      readonly as: 'done' | 'not done' | 'compensated';
      readonly output?: unknown;
      readonly actor: string;
      readonly reason: string;
    }
  /** A child is done, and waits to be released or compensated by its parent. */
  | { readonly t: 'held'; readonly result?: unknown }
  | { readonly t: 'completed'; readonly result?: unknown }
  | { readonly t: 'undone' };

/** A stored row of the journal. */
export interface JournalRow {
  readonly n: number;
  /** Milliseconds since the epoch, on the database's clock as the worker knew it. */
  readonly at: number;
  readonly events: readonly JournalEvent[];
  /** UTF-8 bytes of its events as JSON, where that is known. */
  readonly bytes?: number;
}

/** Stands for the run as a whole where a call is named. */
export const WHOLE_RUN = '*';

/** Where a run is; docs/sagas.md draws it. */
export type RunStatus = 'pending' | 'running' | 'waiting' | 'compensating' | 'completed' | 'compensated' | 'stuck';

/** The legal moves. The database refuses to leave `completed` and `compensated` (migrations/0003_saga.sql). */
export const MOVES: Readonly<Record<RunStatus, readonly RunStatus[]>> = {
  pending: ['running', 'waiting', 'compensating', 'completed', 'compensated', 'stuck'],
  running: ['waiting', 'compensating', 'completed', 'compensated', 'stuck'],
  waiting: ['running', 'compensating', 'completed', 'compensated', 'stuck'],
  compensating: ['compensated', 'stuck'],
  stuck: ['running', 'waiting', 'compensating', 'completed', 'compensated'],
  completed: [],
  compensated: [],
};
