/**
 * The options that both BullMQ transports have, checked and with defaults.
 */
import type { JobsOptions } from 'bullmq';
import { HoldfastError } from '../../errors.ts';
import { parseDuration, type Duration } from '../../runtime/duration.ts';
import { safeHook } from '../../runtime/observers.ts';
import type { TransportAbilities } from '../abilities.ts';
import { partitionsOfQueues } from '../partitions.ts';
import { throttleErrors } from '../throttle-errors.ts';
import { PLAIN_NAMES, type QueueNaming } from './jobs.ts';

/** How one destination is laid out. Publisher and consumers must be given the same. */
export interface QueueLayout {
  /**
   * Number of BullMQ queues that carry the destination, 1 to 1024. An ordered receiver runs one delivery a partition,
   * so this is the most it can do at once. Changing it moves keys to other queues: drain the destination first.
   *
   * @defaultValue 1
   */
  readonly partitions?: number | undefined;
}

/** Options that both BullMQ transports have. */
export interface BullmqOptions {
  /** Layout of destinations that need more than one partition. */
  readonly queues?: Readonly<Record<string, QueueLayout>> | undefined;
  /**
   * How long a delivery belongs to its consumer without a sign of life; renewed at half of it.
   *
   * @defaultValue '30s'
   */
  readonly lockDuration?: Duration | undefined;
  /**
   * How often to look for deliveries of dead consumers. They come again after at most `lockDuration` + 2 * this.
   *
   * @defaultValue '15s'
   */
  readonly stalledInterval?: Duration | undefined;
  /**
   * How long the broker may take to answer one chunk of a batch, or to be connected to.
   *
   * @defaultValue '5s'
   */
  readonly publishTimeout?: Duration | undefined;
  /**
   * Forget a message once it is done. `false` keeps all of them, a number that many.
   *
   * @defaultValue true
   */
  readonly removeOnComplete?: boolean | number | undefined;
  /**
   * A message whose envelope is larger than this many bytes is refused for good.
   *
   * @defaultValue 256 MiB, below what either broker can store
   */
  readonly maxMessageBytes?: number | undefined;
  /**
   * Told about failures in the background, which have no caller: lost connections, rejected handlers, unsafe broker settings. One that
   * comes again and again is told at once, then after 2 s, 4 s and so on, up to every 10 minutes.
   */
  readonly onError?: ((error: Error) => void) | undefined;
}

/** The same, checked and with defaults. */
export interface BullmqSettings {
  readonly naming: QueueNaming;
  readonly partitionsOf: (destination: string) => number;
  readonly lockDurationMs: number;
  readonly stalledIntervalMs: number;
  readonly publishTimeoutMs: number;
  readonly jobOptions: JobsOptions;
  readonly maxMessageBytes: number;
  readonly onError: (error: Error) => void;
}

export const BULLMQ_OPTIONS = [
  'queues',
  'lockDuration',
  'stalledInterval',
  'publishTimeout',
  'removeOnComplete',
  'maxMessageBytes',
  'onError',
] as const;

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
export function resolveBullmqOptions(
  options: BullmqOptions,
  where: string,
  naming: QueueNaming = PLAIN_NAMES,
): BullmqSettings {
  const partitionsOf = partitionsOfQueues(options.queues, {
    nameOf: (destination) => `${where} queues.${destination}`,
    refusal: (destination, partitions) => `${where}: queues.${destination}.partitions is ${partitions}.`,
    assertDestination: (destination) => naming.assertDestination(destination),
  });
  const positive = (name: string, value: number): number => {
    if (Number.isFinite(value) && value > 0) return value;
    throw new HoldfastError('HF_CONFIG', `${where}: ${name} is ${value}.`, { advice: 'Give what is more than 0.' });
  };
  const duration = (name: 'lockDuration' | 'stalledInterval' | 'publishTimeout', fallback: Duration): number =>
    positive(name, parseDuration(options[name] ?? fallback, `${where}: ${name}`));
  return {
    naming,
    partitionsOf,
    lockDurationMs: duration('lockDuration', '30s'),
    stalledIntervalMs: duration('stalledInterval', '15s'),
    publishTimeoutMs: duration('publishTimeout', '5s'),
    jobOptions: { ...FOREIGN_RETRIES, removeOnComplete: options.removeOnComplete ?? true },
    maxMessageBytes: positive('maxMessageBytes', options.maxMessageBytes ?? 256 * 1024 * 1024),
    onError: throttleErrors(safeHook(options.onError, 'onError of a transport')),
  };
}

/** What BullMQ can do, on either backend. */
export function bullmqAbilities({ maxMessageBytes }: BullmqSettings): TransportAbilities {
  return {
    receives: true,
    orders: true,
    deduplicates: 'while-queued',
    delays: 'broker',
    maxMessageBytes,
    durability: 'settings',
  };
}
