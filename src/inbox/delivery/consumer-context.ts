/**
 * What the parts of one consumer share: its settled options, stores and tools.
 */
import type { PayloadCodec } from '../../message/codec.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { CrashPoint } from '../../runtime/crash-point.ts';
import type { Logger } from '../../runtime/log.ts';
import type { RetryPolicy } from '../../runtime/retry.ts';
import type { Deadlines } from '../../runtime/deadlines.ts';
import type { RunBatch } from '../handlers/batch-work.ts';
import type { AttemptOutcome, Policies } from '../handlers/decide.ts';
import type { ResolvedHandler } from '../handlers/handler.ts';
import type { OutboxPort } from '../handlers/handler-run.ts';
import type { BatchSettings } from './batch-choice.ts';
import type { InboxStore } from '../stores/inbox-store.ts';
import type { ParkedDeliveryStore } from '../stores/parked-delivery-store.ts';
import type { SuspectStore } from '../stores/suspect-store.ts';
import type { CutMessages } from './cut-messages.ts';
import type { ConsumerMetrics, MessageOutcome } from './consumer-metrics.ts';
import type { Incoming } from './incoming.ts';
import type { Signatures } from './signatures.ts';
import type { DedupWindow } from '../window/window.ts';
import type { TransactionLanes } from '../handlers/transaction-lanes.ts';
import type { UnitOfWork } from '../handlers/unit-of-work.ts';

/** Where a consumer keeps what it has taken charge of. */
export interface ConsumerStores {
  readonly inbox: InboxStore;
  readonly parked: ParkedDeliveryStore;
  readonly suspects: SuspectStore;
}

export interface WhyParked {
  readonly reason: string;
  readonly error: unknown;
  /** Handler runs so far. */
  readonly attempts: number;
}

/** Told of what becomes of messages, once it is settled: for the tests of services. */
export interface DeliveryWatch {
  /** An attempt that failed, of a delivery or of a redrive. */
  failed(incoming: Incoming, attempt: number, error: unknown): void;
  /** `why` it was parked; null also for one that waits behind another. */
  settled(incoming: Incoming, outcome: MessageOutcome, why: WhyParked | null): void;
  /** A parked message was taken up again, and this came of it. */
  redriven(incoming: Incoming, outcome: AttemptOutcome): void;
}

export interface ConsumerContext<Tx> extends ConsumerStores {
  readonly name: string;
  readonly destination: string;
  readonly ordered: boolean;
  /** Transactions at once. */
  readonly concurrency: number;
  /** null: each message has a transaction of its own. */
  readonly batch: BatchSettings | null;
  /** How several messages share a transaction; null where it cannot be done. */
  readonly runBatch: RunBatch<Tx> | null;
  /** Whether messages of a topic without a handler may be acknowledged unread. */
  readonly ignores: (topic: string) => boolean;
  /** How long a message may wait for a process that has a handler for it. */
  readonly handlerWaitMs: number;
  readonly handlers: ReadonlyMap<string, ResolvedHandler<Tx>>;
  readonly parkedRetry: RetryPolicy;
  /** For messages without a handler of their own. */
  readonly defaultRetry: RetryPolicy;
  readonly predecessorWaitMs: number;
  readonly retentionMs: number;
  /** The longest timeout of a handler. */
  readonly longestTimeoutMs: number;
  readonly work: UnitOfWork<Tx>;
  readonly cuts: CutMessages;
  /** Of deliveries that have transactions of their own; null: nothing bounds them here. */
  readonly lanes: TransactionLanes | null;
  /** When this consumer first ran, in milliseconds since the epoch. Asked by ordered consumers only. */
  readonly firstRunMs: () => Promise<number>;
  readonly window: DedupWindow | null;
  readonly outbox: OutboxPort | null;
  /** null: messages are taken as they come. */
  readonly signatures: Signatures | null;
  /** null: payloads are read, and texts of errors kept, as they are. */
  readonly codec: PayloadCodec | null;
  readonly deadlines: Deadlines;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Logger;
  readonly counts: ConsumerMetrics;
  readonly crash: CrashPoint;
  /** null: nobody looks on. */
  readonly watch: DeliveryWatch | null;
  /** Aborted by a soft stop: waits end, work goes on. */
  readonly stopping: () => AbortSignal;
}

/** As a label of metrics: topics come from outside, and a series for each of them would have no bound. */
export function topicLabel<Tx>(context: ConsumerContext<Tx>, topic: string): string {
  return context.handlers.has(topic) ? topic : 'unhandled';
}

export function policiesFor<Tx>(context: ConsumerContext<Tx>, handler: ResolvedHandler<Tx> | undefined): Policies {
  return {
    retry: handler?.retry ?? context.defaultRetry,
    parkedRetry: context.parkedRetry,
    predecessorWaitMs: context.predecessorWaitMs,
    handlerWaitMs: context.handlerWaitMs,
    random: context.random,
  };
}
