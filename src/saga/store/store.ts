/**
 * The port between workers and whatever keeps runs: PostgreSQL in production, memory in tests. One conformance suite is run by both
 * (test/conformance/saga-store.ts). All times are milliseconds since the epoch on the STORE's clock, and all decisions about leases
 * and due times are made on it: the clock of a worker's machine may be wrong.
 *
 * Duties of an adapter:
 * - everything a call writes is written together, or not at all; what it acknowledged survives
 * - nothing is written for a worker whose lease is over or whose row is gone: the call rejects with HF_LEASE_LOST
 * - a worker is taken over only after its writes under way have ended, and can write nothing afterwards
 * - a run is held by one worker at a time
 * - finished runs stay finished; their journals may grow (late replies), their status may not change
 */
import type { PoolClient } from 'pg';
import type { Runner } from '../../postgres/runner.ts';
import type { CarriedTrace } from '../../runtime/telemetry.ts';
import type { JournalLimits } from '../journal/growth.ts';
import type { JournalEvent, JournalRow, RecordedError, RunStatus, CompensationReason } from '../journal/events.ts';
import type { RefusedAct } from '../journal/refused.ts';

/** A saga in one of its versions. */
export interface SagaVersion {
  readonly saga: string;
  readonly version: number;
}

/** A run as a worker takes it up. */
export interface ClaimedRun extends SagaVersion {
  readonly id: string;
  readonly status: RunStatus;
  readonly reason: CompensationReason | null;
  readonly pivoted: boolean;
  /** The fencing token: grows with each claim of the run. */
  readonly claims: number;
  /** How many workers died, or lost their lease, while they had it. */
  readonly lost: number;
  /** The numbers of those of the last losses whose workers were heard of again, or have given it up in good order. Absent: not looked up. */
  readonly lapsed?: readonly number[];
  readonly deadlineAt: number | null;
  readonly parent: { readonly id: string; readonly call: string } | null;
  readonly journal: readonly JournalRow[];
  /** All run messages that are there for it, oldest first. */
  readonly runMessages: readonly RunMessage[];
}

export type RunMessageBody =
  | { readonly kind: 'signal'; readonly name: string; readonly payload?: unknown; readonly id?: string }
  | {
      readonly kind: 'reply';
      readonly call: string;
      /** Whether it answers the command or its compensation. */
      readonly to: 'command' | 'compensation';
      readonly outcome: 'done' | 'rejected';
      readonly output?: unknown;
      /** Instead of `output`, as JSON text, where JSON.parse would alter its numbers. */
      readonly outputText?: string;
      /** Of the reply type; older ones are raised by its upcasts. */
      readonly outputVersion?: number;
      readonly error?: {
        readonly name: string;
        readonly message: string;
        readonly code?: string;
        readonly details?: Readonly<Record<string, unknown>>;
      };
    }
  | {
      readonly kind: 'child';
      readonly call: string;
      readonly outcome: 'done' | 'compensated' | 'refused';
      readonly output?: unknown;
      readonly error?: RecordedError;
    }
  | { readonly kind: 'cancel'; readonly actor?: string; readonly reason?: string }
  /** From a parent: compensate yourself. */
  | { readonly kind: 'undo' }
  /** From a parent: you may end. */
  | { readonly kind: 'release' }
  | { readonly kind: 'retry'; readonly actor: string; readonly reason?: string }
  | { readonly kind: 'skip'; readonly call: string; readonly actor: string; readonly reason: string }
  | {
      readonly kind: 'resolve';
      readonly call: string;
      readonly as: 'done' | 'not done' | 'compensated';
      readonly output?: unknown;
      readonly actor: string;
      readonly reason: string;
    };

export interface RunMessage {
  readonly id: string;
  readonly runId: string;
  /** When it came, in whole milliseconds: what came before a timer was due, or just then, is told before it. */
  readonly at: number;
  readonly body: RunMessageBody;
  /** UTF-8 bytes of the body as JSON, where that is known. */
  readonly bytes?: number;
}

/** A run that a commit starts. Its first journal row is in the same commit. */
export interface NewRun extends SagaVersion {
  readonly id: string;
  /** Whether the committing worker keeps it, or anyone may claim it from now on. */
  readonly held: boolean;
  readonly status: RunStatus;
  readonly deadlineAt: number | null;
  readonly parent: { readonly id: string; readonly call: string } | null;
}

/** Signals that the run has taken in, and that its code has not waited for. */
export interface KeptSignals {
  readonly count: number;
  readonly bytes: number;
}

export interface RunUpdate {
  /**
   * It ends, or begins its pivot. Refused with a RevokedError while the store has a cancel or undo for the run that this commit does not
   * take in.
   */
  readonly guarded?: boolean;
  readonly status: RunStatus;
  readonly reason: CompensationReason | null;
  readonly pivoted: boolean;
  /** Give it out of the hand; it can be claimed from `wakeAt` on (null: when a message comes). */
  readonly release: { readonly wakeAt: number | null } | null;
  /** JSON text; null leaves what is there. */
  readonly result: string | null;
  /** JSON text; null leaves what is there while the run is being compensated or is stuck, and otherwise says that there is none any more. */
  readonly error: string | null;
  /** Numbers of rows of its journal that go, because the new one says what they said. */
  readonly folded?: readonly number[];
  /** How full its journal is, in percent of its limits. Absent: as before. */
  readonly growth?: number;
  /** Fingerprint of a code that it does not fit: added to those it is known not to fit. */
  readonly mismatch?: string;
  /** About what it keeps; those at the door are counted with it. Absent: as before. */
  readonly signals?: KeptSignals;
  /** What came too late, the last of it. Absent: as before. */
  readonly refused?: readonly RefusedAct[];
}

/** What one run puts into a commit. JSON is passed as text, because it was encoded when it was checked. */
export interface RunCommit {
  readonly runId: string;
  readonly start: NewRun | null;
  /** `events`: JSON text of an array of JournalEvent. */
  readonly journal: { readonly n: number; readonly at: number; readonly events: string } | null;
  readonly update: RunUpdate | null;
  /** Ids of run messages taken in. */
  readonly runMessagesDone: readonly string[];
  readonly runMessages: readonly { readonly runId: string; readonly body: RunMessageBody }[];
  /** Other runs that are started with it. */
  readonly children: readonly (NewRun & { readonly journal: string })[];
  /** Outbox messages, each the JSON text of an object {id, topic, key, lane, payload, headers}. */
  readonly messages: readonly string[];
}

/** How much may be loaded: many runs may be due at once that hold a lot each. One is claimed at least. */
export interface ClaimCapacity {
  /** About how many bytes of journals and run messages in all. Default: 32 MiB. */
  readonly bytes: number;
}

/** What a worker runs with, as it is shown. Times in milliseconds. */
export interface ShownSettings {
  /** Most runs under way at once. */
  readonly concurrency: number;
  /** Most runs kept in memory although they only wait. */
  readonly waiting: number;
  readonly leaseMs: number;
  /** How long its event loop may stand still before its runs go to others. */
  readonly standstillMs: number;
  /** How long runs that have ended are kept. */
  readonly retentionMs: number;
  /** Most runs of a saga at once in it, by 'place-order@1', of those that say so. */
  readonly sagas: Readonly<Record<string, number>>;
}

export interface WorkerStore {
  /** Registers a worker, or rejects. Resolves with the store's time. */
  register(worker: {
    readonly id: string;
    readonly name: string;
    readonly sagas: readonly SagaVersion[];
    readonly leaseMs: number;
    /** Fingerprints of their declarations, by `name@version`. */
    readonly codes?: Readonly<Record<string, string>>;
    /** Most UTF-8 bytes of one value that it takes. */
    readonly maxBytes?: number;
    /** What a journal may hold. */
    readonly limits?: JournalLimits;
    /** Leases that the process had before, and that were over without having been given back: their ends were no deaths. */
    readonly lapsed?: readonly string[];
    /** What it runs with, to be shown. Nothing is decided by it. */
    readonly shown?: ShownSettings;
  }): Promise<number>;
  /**
   * Prolongs the lease from now. Resolves with the store's time; rejects with HF_LEASE_LOST. `draining`: the worker takes no new runs and
   * hands over those that it has, so nobody is to count on it.
   */
  renew(workerId: string, leaseMs: number, draining?: boolean): Promise<number>;
  /** Whether another live worker offers the saga and version of the run with a code that the run is not known not to fit. */
  offeredElsewhere(workerId: string, runId: string): Promise<boolean>;
  /** Whether a live worker offers the saga and version of the run; true of one that has ended, or is not there any more. */
  goesOn(runId: string): Promise<boolean>;
  /** Ends every worker whose lease is over, and frees its runs, due at once. Waits for none that is still writing. */
  takeOver(): Promise<{ readonly workers: number; readonly runs: number }>;
  /**
   * Frees the runs a worker still holds, due at once, and forgets it. Nothing happens when it is gone. `lost`: what became of their
   * attempts is not recorded, so these count as lost, as at a takeover.
   */
  retire(workerId: string, lost: boolean): Promise<void>;
  /** Ids of the runs that it holds. */
  held(workerId: string): Promise<readonly string[]>;
  /** Frees those of the given runs that the worker holds, due after the delay, and changes nothing else of them. */
  letGo(workerId: string, runIds: readonly string[], delayMs: number): Promise<void>;
  /** Claims due runs, oldest first, up to a limit for each saga version. */
  claim(
    workerId: string,
    wanted: readonly (SagaVersion & { readonly limit: number })[],
    room?: ClaimCapacity,
  ): Promise<readonly ClaimedRun[]>;
  /**
   * Run messages for runs that the worker holds, except for `taken`, oldest first; and runs that nobody holds, of the given versions, which
   * have messages, claimed (up to `limit` of them). Finished runs with messages are claimed as well.
   */
  collect(
    workerId: string,
    options: {
      readonly sagas: readonly SagaVersion[];
      readonly limit: number;
      readonly taken: readonly string[];
      readonly room?: ClaimCapacity;
      /** About how many bytes of run messages, and one message at least unless that is 0. Default: 32 MiB. */
      readonly runMessageBytes?: number;
      /** Runs of the worker of which a timer is due: all their messages are wanted, whatever else there is. */
      readonly due?: readonly string[];
    },
  ): Promise<{
    readonly runMessages: readonly RunMessage[];
    readonly claimed: readonly ClaimedRun[];
    /** Those of `due` that have more messages than are given here. */
    readonly unread: readonly string[];
  }>;
  /** One commit for many runs. An unanswered commit is found out about, and made again if it did not happen. */
  commit(workerId: string, runs: readonly RunCommit[]): Promise<void>;
  /**
   * A transaction step: opens a transaction, runs `body` with it, writes what it returns together with it, and takes the fence as
   * the last statement before COMMIT. Rejects with whatever `body` rejects with, after ROLLBACK; with a StepBrokenError when the
   * connection broke while `body` had it. A COMMIT without answer is found out about by the journal row. `runner` opens it instead, with a client of the user's on the same tables, where the store has any.
   */
  transaction<Tx = PoolClient>(
    workerId: string,
    body: (tx: Tx) => Promise<RunCommit>,
    runner?: Runner<Tx> | null,
  ): Promise<void>;
  /** When the next run of these becomes due that nobody holds, and that this worker may take; null: none is known. */
  nextDue(sagas: readonly SagaVersion[], workerId?: string): Promise<number | null>;
  /** The store's time. */
  now(): Promise<number>;
}

/** How a run is doing, as {@link RunHandle.status} tells it. */
export interface RunView extends SagaVersion {
  readonly id: string;
  readonly key: string | null;
  readonly status: RunStatus;
  readonly reason: CompensationReason | null;
  readonly pivoted: boolean;
  readonly result: unknown;
  readonly error: unknown;
  readonly startedAt: number;
  readonly finishedAt: number | null;
  /** How full its journal is, in percent of its limits: 0, 50, 80 or 100. At 100 it makes no more calls. */
  readonly growth: number;
  /** Ids of calls that were not compensated although the run was, because a person had that skipped. */
  readonly skipped: readonly string[];
  /** What came too late and has changed nothing, oldest first; the last twenty. All of it stands in the journal. */
  readonly refused: readonly RefusedAct[];
}

export interface StartRequest extends SagaVersion {
  readonly id: string;
  readonly key: string | null;
  /** JSON text. */
  readonly input: string;
  readonly deadlineMs: number | null;
  /** Of whoever starts it; absent: nobody traces. */
  readonly trace?: CarriedTrace;
}

export type PostAnswer =
  /** `undecided`: a cancellation that may come too late all the same, since the caller's transaction or the pivot is not over. */
  | { readonly accepted: true; readonly status: RunStatus; readonly undecided?: boolean }
  /** `status` null: there is no such run. `full`: it keeps as many signals as a run may. */
  | {
      readonly accepted: false;
      readonly status: RunStatus | null;
      readonly pivoted: boolean;
      readonly full?: boolean;
      readonly limit?: number;
    };

/** Most signals of a run that its code has not waited for: those in its journal and those on their way. The next one is refused. */
export const MOST_SIGNALS = { count: 1_000, bytes: 16 * 1024 * 1024 } as const;

export interface StartedRun {
  readonly id: string;
  readonly created: boolean;
  /** It was there already, and was started with another input. */
  readonly otherInput?: boolean;
  /** It was not started: its input has more bytes than this, which is what workers of it take. */
  readonly limit?: number;
}

/** What clients need. `tx`: the caller's transaction; null: one of its own. Rejects with HF_NOT_IN_TRANSACTION. */
export interface ClientStore<Tx> {
  start(tx: Tx | null, requests: readonly StartRequest[]): Promise<readonly StartedRun[]>;
  /** Writes the message if the run's status is one of `statuses` (and, for a cancel, no pivot has been passed). */
  postRunMessage(
    tx: Tx | null,
    runId: string,
    body: RunMessageBody,
    statuses: readonly RunStatus[],
  ): Promise<PostAnswer>;
  /** Runs by id; those that are not there are left out. */
  read(ids: readonly string[]): Promise<readonly RunView[]>;
  /** The id of the run of a saga, in whatever version, that was started with that key; null: there is none. */
  find(saga: string, key: string): Promise<string | null>;
  journal(id: string): Promise<readonly JournalRow[]>;
}

export type { JournalEvent };
