/**
 * One message's way, as data: from the transaction that wrote it to what came of it. Made by message-path.ts.
 */
import type { RunStatus } from '../../saga/journal/events.ts';
import type { CallRole } from '../../saga/protocol/wire.ts';
import type { MessageRef } from '../reads/message-ref.ts';

/** Where something is that was looked for in several databases. */
export interface InDatabase {
  /** The name of the database; left out where only one was asked. */
  readonly database?: string;
}

/** The message itself, while it is in the log. */
export interface PathMessage extends MessageRef {
  readonly lane: number;
  /** The transaction that wrote it. */
  readonly xid: string;
  /** Of payload and attributes as JSON text; null for a message of an older version. */
  readonly bytes: number | null;
  /** Who sent it; null: the relay says it. */
  readonly source: string | null;
  readonly traceparent: string | null;
  readonly headers: Readonly<Record<string, string>>;
}

/** A run, in short. */
export interface PathRun extends InDatabase {
  readonly id: string;
  readonly saga: string;
  readonly version: number;
  readonly key: string | null;
  readonly status: RunStatus;
}

/** The call of a run that a message was sent for. */
export interface PathSender {
  /** Null: it is not in this database, or was pruned. */
  readonly run: PathRun | null;
  readonly runId: string;
  /** Null: its journal does not say. */
  readonly call: string | null;
  readonly role: CallRole | 'emitted';
  /** Which sending of the call this is, from 1 on. */
  readonly attempt: number;
  readonly calledAt: Date | null;
  /** How the call, or its compensation, ended, as the run recorded it; null: it has not. */
  readonly outcome: PathOutcome | null;
}

/** How a call ended, as its run recorded it. */
export interface PathOutcome {
  /** done, failed, timed out, late reply, compensated … as events of the journal are called. */
  readonly event: string;
  readonly at: Date;
}

/** The call that a message answers. */
export interface PathAnswer {
  readonly run: PathRun | null;
  readonly runId: string;
  readonly call: string;
  readonly to: CallRole;
  readonly outcome: 'done' | 'rejected';
  /** taken in: its run has recorded what came of the call. waiting: no worker has taken it in. unknown: it was not recorded, or not yet. */
  readonly state: 'taken in' | 'waiting' | 'unknown';
  readonly taken: PathOutcome | null;
}

/** What one subscription has to do with a message. */
export interface RelayVisit extends InDatabase {
  readonly subscription: string;
  readonly shard: number;
  /** As SubscriptionPassage has it. When it was published is not recorded: its trace tells. */
  readonly state: 'passed' | 'parked' | 'waiting' | 'unrouted';
  readonly parked: ParkedVisit | null;
  /** It is parked, and a person has put another payload in the place of the one that was written: that goes out. */
  readonly revised: boolean;
  readonly replays: readonly ReplayVisit[];
}

/** A message while it is parked in one place. */
export interface ParkedVisit {
  readonly state: 'failed' | 'behind';
  readonly reason: string;
  readonly error: string | null;
  readonly attempts: number;
  readonly parkedAt: Date;
  /** When it is taken up again by itself; null: not by itself. */
  readonly nextAttemptAt: Date | null;
}

/** A replay whose range has the message. */
export interface ReplayVisit {
  readonly id: string;
  readonly requestedAt: Date;
  readonly finishedAt: Date | null;
  /** The replay is past it. */
  readonly published: boolean;
}

/** What one consumer of this database has to do with a message. */
export interface ConsumerVisit extends InDatabase {
  readonly consumer: string;
  /** suspect: it came back from a process that died, and no attempt has ended. */
  readonly state: 'handled' | 'parked' | 'suspect';
  readonly at: Date;
  /** Attempts that were marked before they were made, or counted when it was parked; null: not counted. */
  readonly attempts: number | null;
  readonly parked: ParkedVisit | null;
}

/** What a participant of this database has on record of the call that a command is for. */
export interface ParticipantVisit extends InDatabase {
  readonly participant: string;
  readonly state: 'done' | 'rejected' | 'compensated' | 'tombstone';
  readonly at: Date;
}

/** A message that this one led to. */
export interface LedMessage extends MessageRef, InDatabase {
  /** The message whose handling sent it. */
  readonly from: string;
  /** 1: by the handling of this message; 2: by that of one of those … */
  readonly depth: number;
  /** caused: it says so. together: it was written in the transaction of the handler, and names no cause. */
  readonly relation: 'caused' | 'together';
}

/** What a step of a {@link MessagePath} tells of. */
export type PathStepKind = 'cause' | 'written' | 'relay' | 'replay' | 'consumer' | 'participant' | 'led' | 'run';

/** One line of the story. */
export interface PathStep extends InDatabase {
  readonly kind: PathStepKind;
  /** Null: when it happened is not recorded. */
  readonly at: Date | null;
  /** Since the message was written; negative before. */
  readonly sinceWrittenMs: number | null;
  /** Since the step before it whose time is known. */
  readonly afterMs: number | null;
  /** The subscription, consumer, participant, or the id of the message or run. */
  readonly who: string;
  readonly text: string;
  /** It waits there for a person, or for a time: what the path ends at. */
  readonly trouble: boolean;
}

/** A message that led to another one. */
export interface PathCause extends MessageRef, InDatabase {}

/** Everything known about the way of one message; `database`: where it was written. See {@link messagePath}. */
export interface MessagePath extends InDatabase {
  readonly id: string;
  /** logged; scheduled: its time has not come; pruned: only what consumers and relays keep is left. */
  readonly state: 'logged' | 'scheduled' | 'pruned';
  readonly message: PathMessage | null;
  readonly scheduled: { readonly topic: string; readonly key: string | null; readonly dueAt: Date } | null;
  /** The message whose handling sent it, and so on, as far as they are in the log; the nearest first, at most 20. */
  readonly causes: readonly PathCause[];
  /** What else its transaction wrote: messages, at most 20, and runs that were started. */
  readonly together: { readonly messages: readonly MessageRef[]; readonly runs: readonly PathRun[] };
  readonly sender: PathSender | null;
  readonly answer: PathAnswer | null;
  readonly relays: readonly RelayVisit[];
  /** Consumers whose inbox is in this database. */
  readonly consumers: readonly ConsumerVisit[];
  readonly participants: readonly ParticipantVisit[];
  readonly led: readonly LedMessage[];
  /** False: there are more than are listed, or not all could be looked for. */
  readonly ledComplete: boolean;
  /** All of it as a story, in the order of time. */
  readonly steps: readonly PathStep[];
  /** The database's time. */
  readonly now: Date;
}
