/**
 * A run as a story: what its journal tells, as data. Made by saga-timeline.ts.
 */
import type { CallKind } from '../../saga/definition/kind-names.ts';
import type { SentByRun } from './sent-by-run.ts';
import type {
  CompensationReason,
  JournalEvent,
  RecordedError,
  StuckWhy,
  Uncounted,
} from '../../saga/journal/events.ts';

/**
 * - running, retrying (until `retryAt`), waiting (for a signal, a time, a reply or a child): under way
 * - done; degraded: its fallback stood in
 * - failed: has not happened; in doubt: it may have
 * - timed out: a wait for a signal that gave up
 * - dropped: the run went on, or ended, without it
 * - halted: without an outcome, and not under way, because the run is stuck
 */
export type TimelineCallState =
  | 'running'
  | 'retrying'
  | 'waiting'
  | 'done'
  | 'degraded'
  | 'failed'
  | 'in doubt'
  | 'timed out'
  | 'dropped'
  | 'halted';

/** What a person did to it. */
export interface ByHand {
  readonly actor: string;
  readonly reason: string;
}

/** An attempt that failed or was cut short. Of a call with very many, those between the tenth and the last are not in the journal. */
export interface TimelineAttempt {
  readonly attempt: number;
  /** When it was recorded that it had failed. */
  readonly at: number;
  /** What it failed with, without stack and causes. */
  readonly error: Pick<RecordedError, 'name' | 'message' | 'code'>;
  /** When the next one was to begin, by itself or because a person had it tried again; null: there was to be none. */
  readonly retryAt: number | null;
  /** Why it used up none of the attempts that there are; null: it did. */
  readonly uncounted: Uncounted | null;
}

/** What the journal of a newer version holds and this one does not know. */
export interface UnknownEvent {
  readonly t: 'unknown';
  /** What it is called there. */
  readonly name: string;
  /** The call that it names, if it names one. */
  readonly call: string | null;
}

export interface TimelineCall {
  /** Identity of the call in its run. */
  readonly call: string;
  /** As the journal has it: one of a newer version is none of these. */
  readonly kind: CallKind;
  /** Declared name of the step, or of the signal; 'sleep'. */
  readonly step: string;
  /** Once it is done, the run only goes forward. */
  readonly pivot: boolean;
  /** Milliseconds since the epoch, as all times here. */
  readonly startedAt: number;
  readonly endedAt: number | null;
  /** As far as it is known: begun attempts of what failed and what is under way. */
  readonly attempts: number;
  /** Those that failed and were to be made again, in order; the outcome is that of the last one. */
  readonly failedAttempts: readonly TimelineAttempt[];
  readonly state: TimelineCallState;
  readonly input: unknown;
  readonly output: unknown;
  readonly error: RecordedError | null;
  /** What its fallback failed with. */
  readonly fallbackError: RecordedError | null;
  /** When a sleep ends, or a wait, a command or a child is given up. */
  readonly until: number | null;
  /** When the next attempt begins. */
  readonly retryAt: number | null;
  /** The run that a child call started. */
  readonly child: string | null;
  /** What it sent, where that is known: `holdfast outbox path ID` tells what came of each. */
  readonly messages: readonly SentByRun[];
  /** Calls of one group were under way at the same time; null: it was alone. */
  readonly group: number | null;
  /** Of a degraded one: it may have happened all the same. */
  readonly doubt: boolean;
  readonly verified: 'done' | 'not done' | null;
  readonly lateReply: 'done' | 'rejected' | null;
  readonly resolved: (ByHand & { readonly as: 'done' | 'not done' }) | null;
}

export type TimelineCompensationState = 'running' | 'retrying' | 'compensated' | 'gave up' | 'skipped' | 'resolved';

export interface TimelineCompensation {
  readonly call: string;
  readonly kind: CallKind | null;
  /** Over 1 when a late reply made it necessary again. */
  readonly round: number;
  readonly startedAt: number;
  readonly endedAt: number | null;
  readonly attempts: number;
  /** As of a call; the last one is among them when it gave up. */
  readonly failedAttempts: readonly TimelineAttempt[];
  readonly state: TimelineCompensationState;
  readonly error: RecordedError | null;
  readonly retryAt: number | null;
  readonly byHand: ByHand | null;
  /** What it sent, of all its rounds. */
  readonly messages: readonly SentByRun[];
}

/** What happened to the run as a whole, between calls. */
export interface TimelineNote {
  readonly at: number;
  /** Whether it belongs to the way forward or to the way back. */
  readonly compensating: boolean;
  /** How many calls, or compensations, come before it. */
  readonly after: number;
  readonly event:
    | Extract<
        JournalEvent,
        { readonly t: 'signal' | 'recovered' | 'resolved' | 'late reply' | 'refused' | 'stuck' | 'retried' | 'held' }
      >
    | UnknownEvent;
}

export interface Timeline {
  readonly startedAt: number;
  readonly input: unknown;
  readonly calls: readonly TimelineCall[];
  readonly notes: readonly TimelineNote[];
  readonly compensating: {
    readonly at: number;
    readonly reason: CompensationReason;
    readonly error: RecordedError | null;
    readonly actor: string | null;
  } | null;
  /** In the order of their beginnings. */
  readonly compensations: readonly TimelineCompensation[];
  /**
   * Calls that are still to be compensated, the next one first. The journal does not say which steps declare a compensation, so without
   * `undoable` some of them may turn out to need none.
   */
  readonly remaining: readonly string[];
  /** Why it needs a person now. */
  readonly stuck: {
    readonly at: number;
    readonly why: StuckWhy;
    readonly call: string | null;
    readonly error: RecordedError;
  } | null;
  readonly result: unknown;
  readonly endedAt: number | null;
}
