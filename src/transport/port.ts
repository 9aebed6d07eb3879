/**
 * The transport port: what carries messages between a relay and consumers.
 * A relay publishes through a Publisher, a consumer reads through a Receiver. The comments below are the duties of an adapter;
 * describeTransport of `holdfast/transport-testing` checks them against every adapter.
 */
import type { TransportAbilities } from './abilities.ts';

/** One message on its way to one destination. `wire` is the whole CloudEvent as JSON text (see docs/wire-format.md). */
export interface OutboundMessage {
  /** Message id (UUID). The same message published again has the same id. */
  readonly id: string;
  readonly topic: string;
  /** Order is kept among messages of one key and destination; null means no order. */
  readonly key: string | null;
  /** Name of the queue, stream or exchange. */
  readonly destination: string;
  /** The envelope as JSON text: one object, taken as it is. The publisher does not check that it parses. */
  readonly wire: string;
  /** Set when the message is republished from the log on request: it must not be swallowed as a duplicate by the broker. */
  readonly replayId: string | null;
}

/** What became of one message of a batch. */
export type PublishOutcome =
  | { readonly kind: 'published' }
  /** This message, not the broker, is at fault. `permanent`: sending it again cannot help (too large, malformed). */
  | {
      readonly kind: 'refused';
      readonly permanent: boolean;
      readonly error: Error;
      readonly later?: Postponement | undefined;
    };

/**
 * Of a refusal that is neither for good nor the message's fault: one of several places that a transport sends to is away or asks for time,
 * and the others are well. The relay parks the message at once, so that it holds up nothing but its key.
 */
export interface Postponement {
  /**
   * It is not to be tried before, in milliseconds. 0 with `attempted` false: there was no time left to send it, or an earlier one of its key
   * was refused; it goes out in the next call, unless it has to wait behind that one.
   */
  readonly delayMs: number;
  /** It was sent, and that counts. What was not sent at all does not. */
  readonly attempted: boolean;
}

/**
 * Duties of a publisher:
 * - `publish` resolves with one outcome per message, in the order given. `published` is said only once the broker has acknowledged it.
 * - When the broker as a whole cannot be reached, times out, or refuses every write (read-only, out of memory), `publish`
 *   rejects with HoldfastError HF_TRANSPORT_UNAVAILABLE: the outcome of every message of the batch is then unknown.
 * - An error of its own code (a TypeError, a stack that overflows), thrown as it is or as the cause of that, is no outage while `check`
 *   resolves: the relay then publishes one by one, and parks what the code fails on.
 * - Messages of one key and destination reach the broker in the order given, within one call; two calls at once are not ordered
 *   against each other. After a refused message of a key, later ones of the
 *   same key in the batch may have been published; the relay decides what that means.
 * - It settles soon after `signal` aborts, by rejecting with HF_TRANSPORT_UNAVAILABLE (the outcome is unknown), and buffers nothing past its return: no unbounded offline queue.
 * - The broker may forget duplicates, so publishing twice is allowed to deliver twice; it must never deliver zero times.
 */
export interface Publisher {
  publish(
    batch: readonly OutboundMessage[],
    options: { readonly signal: AbortSignal },
  ): Promise<readonly PublishOutcome[]>;
  /** Rejects with HF_TRANSPORT_UNAVAILABLE when the broker does not answer. The half-open circuit breaker and /readyz call it. */
  check(options: { readonly signal: AbortSignal }): Promise<void>;
  /** Idempotent. Later calls of publish and check reject with HF_STOPPED. */
  close(): Promise<void>;
}

/** One delivery of a message to a consumer. */
export interface Delivery {
  /**
   * The envelope as the JSON text that was published, unaltered. The value parsed from it will do where an adapter has no text, but
   * numbers that JavaScript cannot hold are lost in it. Not yet validated.
   */
  readonly wire: unknown;
  /**
   * How often this message was handed out before without any verdict coming back (crash or hard stop of a consumer), as far as the
   * broker knows. A `later` and a rejection are verdicts and do not count.
   */
  readonly redeliveries: number;
  /** Aborted when the receiver loses its claim on the message or is stopped hard. */
  readonly signal: AbortSignal;
}

/** What a consumer says of a delivery. See {@link Transport}. */
export type Verdict =
  /** Done with (handled, duplicate, or parked in the consumer's own database): the broker may forget it. */
  | { readonly kind: 'done' }
  /** Hand it out again, not before `delayMs` (milliseconds) have passed. */
  | { readonly kind: 'later'; readonly delayMs: number };

/** How a receiver is to receive. See {@link Transport}. */
export interface ReceiveOptions {
  /** How many deliveries may be in flight at once in this receiver. With `ordered`, at most one per key. */
  readonly concurrency: number;
  /**
   * How many more than that may be in flight just now: they wait in the consumer for one of the others to end. Asked whenever there is
   * something to hand out. A receiver need not heed it.
   *
   * @defaultValue none
   */
  readonly ahead?: (() => number) | undefined;
  /** Deliver messages of one key one at a time, in the order they were published. */
  readonly ordered: boolean;
  /** Who alone is to read the destination: one database, for the replies to its sagas. Another one shows in `look`. */
  readonly owner?: string | undefined;
}

/** Something about a destination in the broker that people should know. */
export interface QueueRemark {
  readonly check:
    | 'queue.paused'
    | 'queue.foreign'
    | 'queue.shared'
    | 'queue.failed'
    | 'queue.unread'
    /** Its settings in the broker differ from what the adapter needs. */
    | 'queue.settings'
    /** What lies in it can be lost with a server of the broker. */
    | 'queue.durability';
  readonly what: string;
  readonly advice: string;
}

/** What lies in a destination, as the broker says. */
export interface QueueState {
  readonly waiting: number;
  /** Handed out, without a verdict yet. */
  readonly active: number;
  /** Handed out again later. */
  readonly delayed: number;
  /** Given up by somebody else: Holdfast's consumers leave nothing there. */
  readonly failed: number;
  /** Nothing is handed out, because somebody said so. */
  readonly paused: boolean;
  /** Connected to it; null: cannot be told. */
  readonly consumers: number | null;
  /** Those that are not Holdfast's. */
  readonly foreign: number | null;
  readonly remarks: readonly QueueRemark[];
}

/** A destination, and what lies in it. */
export interface FoundQueue {
  readonly destination: string;
  readonly state: QueueState;
}

/** What a broker says of the destinations it holds. */
export interface FoundQueues {
  readonly queues: readonly FoundQueue[];
  /** False when the broker holds more than could be listed in the time given. */
  readonly complete: boolean;
}

/**
 * Duties of a receiver:
 * - `start` does not wait for the broker: a receiver started while it is away begins when it is there, and goes on by itself after
 *   it was restarted or emptied. Starting twice is fine, and so is starting again after a stop.
 * - It hands each message to `handle` at least once until a `done` comes back; a rejection of `handle` counts as `later`.
 * - A consumer that dies in the middle loses nothing: the message comes again with `redeliveries` raised.
 * - With `ordered`, a `later` holds back the following messages of that key; an adapter may hold back other keys with it
 *   (BullMQ: the partition), never let one of the same key overtake.
 * - `stop` takes no new messages, waits for the ones in flight until `signal` aborts, then aborts their signals. A verdict that
 *   comes back at once still counts; without one the message is given up and comes again with `redeliveries` raised.
 *   Stopping twice, or before start, is fine.
 */
export interface Receiver {
  start(): Promise<void>;
  stop(options?: { readonly signal?: AbortSignal | undefined }): Promise<void>;
  /**
   * Asks the broker how the destination stands, while the receiver runs. Rejects with HF_TRANSPORT_UNAVAILABLE and the reason when the
   * broker cannot be reached, refuses to hand out, or has not answered when `signal` aborts. Leaves nothing behind that waits for it.
   * Absent where there is no broker to ask.
   */
  look?(options: { readonly signal: AbortSignal }): Promise<QueueState>;
}

/** A transport makes publishers for relays and receivers for consumers. It opens no connection before one of them is used. */
export interface Transport {
  /** Short name for logs and metrics: 'bullmq-redis', 'bullmq-postgres', 'memory'. */
  readonly kind: string;
  /** What it can do. Relays and consumers hold what they are told to do against it when they are made. Absent: all that the port asks for. */
  readonly abilities?: TransportAbilities | undefined;
  /**
   * Where its broker is, and what else two processes must have alike to meet there (a prefix, a schema), as one text without secrets: for
   * comparing what processes were told. Absent: nothing to compare.
   */
  readonly address?: string | undefined;
  publisher(): Publisher;
  receiver(destination: string, handle: (delivery: Delivery) => Promise<Verdict>, options: ReceiveOptions): Receiver;
  /**
   * Asks the broker for all destinations of Holdfast's and how they stand, read or not, without a receiver: for `holdfast status` and
   * `holdfast doctor`. `known`: destinations that whoever asks knows of, for brokers that cannot list theirs. Rejects with
   * HF_TRANSPORT_UNAVAILABLE as `look` does. Absent where there is no broker to ask.
   */
  queues?(options: {
    readonly signal: AbortSignal;
    readonly known?: readonly string[] | undefined;
  }): Promise<FoundQueues>;
  /** Stops its receivers softly (stop them before, with a signal, to bound that) and closes its publishers. Idempotent. */
  close(): Promise<void>;
}
