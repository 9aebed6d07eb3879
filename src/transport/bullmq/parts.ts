/**
 * What the BullMQ adapters (Redis and PostgreSQL) agree on: queue names, partitions, job ids, job options, and the seam
 * between the shared publisher and receiver (publisher.ts, receiver.ts) and the two brokers.
 */
import type { BackendFactory, IQueueBackend, JobJson, JobsOptions } from 'bullmq';
import { HoldfastError } from '../../errors.ts';
import { safeHook } from '../../runtime/observers.ts';
import { refuseUnknownOptions } from '../../runtime/options.ts';
import type { OutboundMessage } from '../port.ts';
import { throttleErrors } from '../throttle-errors.ts';

/** How one destination is laid out. Publisher and consumers must be given the same. */
export interface QueueLayout {
  /**
   * Number of BullMQ queues that carry the destination, 1 to 1024. Default 1. An ordered receiver runs one delivery a partition,
   * so this is the most it can do at once. Changing it moves keys to other queues: drain the destination first.
   */
  readonly partitions?: number;
}

/** Options that both BullMQ transports have. */
export interface BullmqOptions {
  /** Layout of destinations that need more than one partition. */
  readonly queues?: Readonly<Record<string, QueueLayout>>;
  /** How long a delivery belongs to its consumer without a sign of life, in milliseconds; renewed at half of it. Default 30000. */
  readonly lockDurationMs?: number;
  /** How often to look for deliveries of dead consumers, in milliseconds. They come again after at most lockDurationMs + 2 * this. Default 15000. */
  readonly stalledIntervalMs?: number;
  /** How long the broker may take to answer one chunk of a batch, or to be connected to, in milliseconds. Default 5000. */
  readonly publishTimeoutMs?: number;
  /** Forget a message once it is done. `false` keeps all of them, a number that many. Default true. */
  readonly removeOnComplete?: boolean | number;
  /** A message whose envelope is larger than this many bytes is refused for good. Default 256 MiB, below what either broker can store. */
  readonly maxMessageBytes?: number;
  /**
   * Told about failures in the background, which have no caller: lost connections, rejected handlers, unsafe broker settings. One that
   * comes again and again is told at once, then after 2 s, 4 s and so on, up to every 10 minutes.
   */
  readonly onError?: (error: Error) => void;
}

/** The same, checked and with defaults. */
export interface BullmqSettings {
  readonly partitionsOf: (destination: string) => number;
  readonly lockDurationMs: number;
  readonly stalledIntervalMs: number;
  readonly publishTimeoutMs: number;
  readonly jobOptions: JobsOptions;
  readonly maxMessageBytes: number;
  readonly onError: (error: Error) => void;
}

/** A publisher's connection. */
export interface PublisherConnection {
  /** The backend to add jobs with. Rejects with any error while the broker is away; a later call may succeed. */
  ready(signal: AbortSignal): Promise<IQueueBackend>;
  /** One cheap round trip. */
  ping(): Promise<void>;
  /** Gives up on the connection, so that what waits for an answer on it fails and nothing of it is sent later. */
  drop(): void;
  close(): Promise<void>;
}

/** A receiver's connections. */
export interface ReceiverConnection {
  /** Resolves once workers can be made: the broker has answered, or will be waited for by the workers themselves. */
  ready(): Promise<void>;
  /** Resolves when there is a connection; rejects soon, with the reason, when there is none. */
  reach(): Promise<void>;
  /** What it may be about when there is no answer at all. */
  readonly hint?: string;
  /** Whether the broker knows its clients by the names that BullMQ gives them. */
  readonly seesWorkers: boolean;
  readonly connection: object;
  readonly prefix: string | undefined;
  readonly factory: BackendFactory;
  /** Looks at a queue for what its consumer should know when it starts, and tells it by onError. Never rejects. */
  greet?(queue: string): Promise<void>;
  /** Makes readable what BullMQ itself cannot read of the jobs that were taken from a queue, so that they can be handed out. Never rejects. */
  mend?(queue: string): Promise<void>;
  /** Cuts every connection at once; workers that are closing stop waiting for the broker. */
  cut(): void;
  close(): Promise<void>;
}

/** The connections to one broker. */
export interface BullmqConnections {
  openPublisherConnection(settings: BullmqSettings): PublisherConnection;
  openReceiverConnection(settings: BullmqSettings): ReceiverConnection;
}

/** What the two brokers do differently. */
export interface BullmqBroker {
  readonly kind: string;
  /** Loads what speaks to the broker, which is most of what Holdfast would have to load; nothing before somebody publishes or receives. */
  load(): Promise<BullmqConnections>;
  /** What a job's data is to be for an envelope, so that the broker hands it out unaltered: the envelope itself, or a JSON text of it. */
  dataOf(wire: string): string;
  /** True when this error is about one message (its size, its content) and not about the broker. */
  isMessageFault(error: Error): boolean;
}

export const BULLMQ_OPTIONS = [
  'queues',
  'lockDurationMs',
  'stalledIntervalMs',
  'publishTimeoutMs',
  'removeOnComplete',
  'maxMessageBytes',
  'onError',
] as const;

const MAX_PARTITIONS = 1024;

/** Default prefix of the Redis keys. */
export const DEFAULT_PREFIX = 'holdfast';
/** Schema of BullMQ's tables on PostgreSQL, BullMQ's own default. */
export const DEFAULT_BULLMQ_SCHEMA = 'bullmq';

/**
 * For plain BullMQ workers that read our queues: a job that they fail is tried ten times, over about a quarter of an hour, and is then in
 * BullMQ's failed set. Holdfast's consumers retry and park by themselves and do not go by it (worker.ts).
 */
const FOREIGN_RETRIES = { attempts: 10, backoff: { type: 'exponential', delay: 1000 } } as const;

/** @throws HoldfastError HF_CONFIG or HF_OPTION_UNKNOWN */
export function resolveBullmqOptions(options: BullmqOptions, where: string): BullmqSettings {
  const layouts = new Map<string, number>();
  for (const [destination, layout] of Object.entries(options.queues ?? {})) {
    refuseUnknownOptions(layout, ['partitions'], `${where} queues.${destination}`);
    const partitions = layout.partitions ?? 1;
    if (!Number.isInteger(partitions) || partitions < 1 || partitions > MAX_PARTITIONS) {
      throw new HoldfastError('HF_CONFIG', `${where}: queues.${destination}.partitions is ${partitions}.`, {
        advice: `Give a whole number from 1 to ${MAX_PARTITIONS}.`,
      });
    }
    assertDestination(destination);
    layouts.set(destination, partitions);
  }
  const positive = (
    name: 'lockDurationMs' | 'stalledIntervalMs' | 'publishTimeoutMs' | 'maxMessageBytes',
    fallback: number,
  ): number => {
    const value = options[name] ?? fallback;
    if (Number.isFinite(value) && value > 0) return value;
    throw new HoldfastError('HF_CONFIG', `${where}: ${name} is ${value}.`, { advice: 'Give a positive number.' });
  };
  return {
    partitionsOf: (destination) => layouts.get(destination) ?? 1,
    lockDurationMs: positive('lockDurationMs', 30_000),
    stalledIntervalMs: positive('stalledIntervalMs', 15_000),
    publishTimeoutMs: positive('publishTimeoutMs', 5000),
    jobOptions: { ...FOREIGN_RETRIES, removeOnComplete: options.removeOnComplete ?? true },
    maxMessageBytes: positive('maxMessageBytes', 256 * 1024 * 1024),
    onError: throttleErrors(safeHook(options.onError, 'onError of a transport')),
  };
}

/** Settles as `load` does, but says what failed. A later call tries again. */
export async function loading<T>(kind: string, load: () => Promise<T>): Promise<T> {
  try {
    return await load();
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new HoldfastError('HF_TRANSPORT_UNAVAILABLE', `The client of the broker (${kind}) cannot be loaded: ${why}`, {
      advice: 'Install the dependencies of holdfast anew; a bundle must hold bullmq, ioredis and pg, or find them.',
      cause,
    });
  }
}

/** @throws HoldfastError HF_CONFIG when BullMQ cannot have a queue of this name */
export function assertDestination(destination: string): void {
  if (destination !== '' && !destination.includes(':') && !destination.includes('#')) return;
  throw new HoldfastError('HF_CONFIG', `${JSON.stringify(destination)} cannot be the name of a BullMQ queue.`, {
    advice: "Give a name that is not empty and has no ':' and no '#'.",
  });
}

/** Partition 0 bears the plain name, so a destination that gets more partitions leaves nothing behind in a queue nobody reads. */
export function queueName(destination: string, partition: number): string {
  return partition === 0 ? destination : `${destination}#${partition}`;
}

/**
 * The partition of a message: its key decides, and without a key its id, so that a message published twice meets itself.
 * FNV-1a (32 bits, over UTF-16 code units) with the finish of MurmurHash3, modulo the number of partitions. Fixed for ever:
 * publishers of different versions must agree.
 */
export function partitionOf(message: Pick<OutboundMessage, 'id' | 'key'>, partitions: number): number {
  if (partitions === 1) return 0;
  const text = message.key ?? message.id;
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i += 1) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return ((hash ^ (hash >>> 16)) >>> 0) % partitions;
}

/** BullMQ refuses ids with ':' and takes ids of digits for its own; message ids are UUIDs, so both are theory. */
export function jobId(message: Pick<OutboundMessage, 'id' | 'replayId'>): string {
  const id = message.replayId === null ? message.id : `${message.id}.${message.replayId}`;
  if (/^\d+$/.test(id)) return `id-${id}`;
  return id.includes(':') ? id.replaceAll(':', '%3A') : id;
}

/** A job as the backend stores it. The envelope goes in as text, in what `dataOf` makes of it. */
export function jobEntry(
  message: OutboundMessage,
  data: string,
  options: JobsOptions,
  nowMs: number,
): { job: JobJson; jobId: string } {
  const id = jobId(message);
  const job: JobJson = {
    id,
    name: message.topic,
    data,
    opts: options,
    timestamp: nowMs,
    progress: 0,
    attemptsMade: 0,
    attemptsStarted: 0,
    stalledCounter: 0,
    failedReason: '',
    returnvalue: 'null',
  };
  return { job, jobId: id };
}
