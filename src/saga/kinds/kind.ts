/**
 * What a kind of calls is to the rest of the house. One object says it all, in one file a kind (step.ts, command.ts, sleep.ts …); beside
 * it stands the builder that users declare such steps with, and what it refuses. Decisions and the engine ask the table of all kinds
 * (table.ts) and never compare a name.
 *
 * The duties of a kind:
 * - it validates: the builder refuses, at the declaration, what nobody can mean; `longestMs` lets a worker remark on what is hardly meant
 * - it records: `prepare` makes ready what leaves with the call, `until` and `childId` say what is recorded with it, `leave` sends it
 * - it promises: what the call can be compensated with, and in which version of its types, follows from the declaration (steps.ts)
 * - it ends: `endsBy` says who ends a call; this decides whether an attempt that was lost is in doubt, who is waited for, and what is
 *   under way again after a crash
 * - it is due: `whenDue` says what happens when the time of an open call has come
 * - it recovers: `recover` and `recoverCompensation` put timers right that are not in the journal, when a run is loaded
 * - it executes: `attempt` and `attemptCompensation` say what of the user's code an attempt runs
 * - it compensates: `prepareCompensation` makes the message ready, `compensate` begins
 * - it is answered: `readAnswer` and `answer` say what a message from outside means for a call, in time or late
 * - it is drawn: `waiting` says what an open call waits for
 *
 * A kind decides nothing about the run, keeps nothing and commits nothing. All it says is data, or goes through the small set of actions
 * that it is handed.
 */
import type { Runner } from '../../postgres/runner.ts';
import type { TracedSpan } from '../../runtime/telemetry.ts';
import type { RecordedError } from '../journal/events.ts';
import type { CallKind } from '../definition/kind-names.ts';
import type { CompensationState } from '../journal/compensation-state.ts';
import type { BufferedSignal } from '../journal/signal-buffer.ts';
import type { CallState, RunState } from '../journal/state.ts';
import type { StepContext, StepDefinition } from '../definition/steps.ts';
import type { NewRun, RunMessageBody } from '../store/store.ts';

/**
 * Who says how a call ends.
 * - attempt: an attempt of the user's code in this process; one that was lost is in doubt
 * - transaction: the same, in a transaction that commits with its record; one that was lost has not happened
 * - commit: nobody; it is done with the commit that records it
 * - answer: somebody else, by a message
 * - signal: a signal, which the code waits for
 * - time: the clock
 */
export type EndsBy = 'attempt' | 'transaction' | 'commit' | 'answer' | 'signal' | 'time';

/** What the code asked for and nobody has recorded yet. */
export interface NewCall {
  readonly id: string;
  readonly kind: CallKind;
  readonly step: string;
  /** JSON. */
  readonly input: string | undefined;
  /** Of a sleep and a wait: how long; null: for ever. */
  readonly waitMs: number | null;
  /** Of a sleep until a time. */
  readonly untilAt: number | null;
}

/** A call whose message, or whose child's input, is to be made ready. */
export interface Preparing {
  readonly id: string;
  /** As participants know it (call-id.ts). */
  readonly name: string;
  readonly input: string | undefined;
  /** Under which the input was recorded; absent: it was given just now. */
  readonly version?: number | null;
}

/** What a kind may do to a run. A Run has all of it. */
export interface RunActions {
  readonly id: string;
  readonly saga: { readonly name: string };
  readonly settings: {
    /** Most UTF-8 bytes of one value as JSON. */
    readonly maxBytes: number;
    /** The topic on which replies are expected. */
    readonly replyTo: string;
  };
  /** What its messages and children are sent by; null: nobody traces. */
  readonly span?: TracedSpan | null;
  /** Puts a message into the next commit. */
  send(message: string): void;
  /** Puts a message for another run into the next commit. */
  post(runId: string, body: RunMessageBody): void;
  /** Puts the start of another run into the next commit. */
  startChild(start: NewRun, journal: string): void;
}

/** Nobody answered in time, which counts as a failed attempt. */
export interface Unanswered {
  readonly error: RecordedError;
  /** Nobody was there to notice it, either. */
  readonly uncounted: boolean;
}

/** What happens to an open call whose time has come. */
export type CallDue =
  | { readonly kind: 'done'; readonly output: string | undefined }
  /** A wait gives up, and the code is told null. */
  | { readonly kind: 'timed out' }
  | { readonly kind: 'failed'; readonly error: RecordedError }
  /** Its whole time is up: no further attempt is made. */
  | { readonly kind: 'overdue'; readonly error: RecordedError }
  | ({ readonly kind: 'unanswered' } & Unanswered)
  | { readonly kind: 'send again' }
  | { readonly kind: 'attempt' }
  | { readonly kind: 'verify' };

export interface DueCall {
  readonly saga: { readonly name: string };
  readonly call: CallState;
  readonly now: number;
  /** A run event that says how an attempt of it ended waits to be taken in. */
  readonly ended: boolean;
  /** The signal that an open wait would be given. */
  readonly signal: BufferedSignal | undefined;
}

/** What a message from outside says of a call. */
export type CallAnswer =
  | { readonly kind: 'done'; readonly output: string | undefined }
  | { readonly kind: 'failed'; readonly error: RecordedError; readonly doubt: boolean }
  /** The call had been given up. */
  | { readonly kind: 'late'; readonly outcome: 'done' | 'rejected'; readonly output: string | undefined }
  | { readonly kind: 'compensated' }
  | { readonly kind: 'not compensated'; readonly error: RecordedError }
  /** A child that a person has spared is done, and may end. */
  | { readonly kind: 'spared' };

export type AnswerBody = Extract<RunMessageBody, { kind: 'reply' | 'child' }>;

/** What an answer holds, read by the types of today; null: it holds nothing, or is no success. */
export type ReadAnswer =
  | { readonly kind: 'read'; readonly output: string | undefined }
  | { readonly kind: 'unreadable'; readonly error: RecordedError };

/** What one attempt runs of what the user wrote. */
export interface Work {
  /** The circuit breaker that it stands behind; null: none. */
  readonly breaker: string | null;
  /** Of a kind that ends by a transaction, the context is a TransactionContext. */
  readonly fn: (context: StepContext) => unknown;
  /** How that transaction is opened; absent: on the worker's own database. */
  readonly runner?: Runner<unknown> | null;
}

/** An open call, as it is drawn. */
export interface Drawn {
  readonly step: string;
  readonly child: string | null;
}

/** What goes on after a compensation was begun: an attempt of it, the wait for an answer, or nothing, for it is done. */
export type CompensationBegun = 'attempt' | 'waits' | 'done';

export interface Kind<Step extends StepDefinition = StepDefinition> {
  readonly endsBy: EndsBy;

  /** What is declared beside the name and what all kinds have: a worker's fingerprint changes with it. */
  declares?(step: Step): unknown;
  /** The longest that it can take before it gives up; 0: not known, or no time at all. */
  longestMs?(step: Step): number;

  /** Makes ready what leaves with the call. Absent: nothing does. Rejects with what is wrong with it. */
  prepare?(run: RunActions, step: Step, call: Preparing): Promise<string>;
  /** When it ends by itself, or is given up; null: never. `at`: the time of the row that records it. */
  until(step: Step | undefined, at: number, asked: NewCall | null): number | null;
  /** The run that it starts. */
  childId?(runId: string, name: string): string;
  /** What was made ready goes into the commit that records the call. */
  leave?(run: RunActions, step: Step, leaving: Leaving): void;

  /** Folds in that it is done. */
  applyDone?(state: RunState, call: CallState): void;

  whenDue(due: DueCall, step: Step | undefined): CallDue;
  /** Its message is sent again, under the same name, while nobody answers it. */
  readonly isSentAgain?: true;
  /** Its compensation was not answered in time. */
  compensationUnanswered?(call: CallState, step: Step, now: number): Unanswered;
  /** A run is loaded: what is not in the journal follows from it. */
  recover?(call: CallState, step: Step, now: number): void;
  recoverCompensation?(compensation: CompensationState, step: Step, now: number): void;

  /** What an attempt of the call, or of its compensation, runs. Absent: none is made in this process. */
  attempt?(runId: string, call: CallState, step: Step): Work;
  attemptCompensation?(runId: string, call: CallState, step: Step): Work;

  /** Makes the compensating message ready; null: there is none. Rejects with what is wrong with it. */
  prepareCompensation?(run: RunActions, step: Step, call: CallState): Promise<string | null>;
  /** `message`: what was made ready. */
  compensate?(run: RunActions, step: Step, compensating: Compensating): CompensationBegun;

  /** Reads what an answer holds. Absent: there is nothing to be read. */
  readAnswer?(run: RunActions, step: Step | undefined, body: AnswerBody): Promise<ReadAnswer | null>;
  /** Null: it changes nothing. */
  answer?(call: CallState, body: AnswerBody, read: ReadAnswer | null): CallAnswer | null;

  /** `until`: when the wait ends or is given up, in words; null: never. */
  waiting?(call: Drawn, until: string | null): string;
}

/** A call that is being recorded, and what was made ready for it. */
export interface Leaving {
  readonly call: string;
  readonly child: string | null;
  readonly ready: string;
  /** The time of the row. */
  readonly at: number;
}

/** A call whose compensation begins, or is asked for once more. */
export interface Compensating {
  readonly call: CallState;
  readonly message: string | null;
  readonly now: number;
}
