/**
 * The options that both BullMQ transports have, checked and with defaults.
 */
import type { JobsOptions } from 'bullmq';
import { HoldfastError } from '../../errors.ts';
import { safeHook } from '../../runtime/observers.ts';
import { refuseUnknownOptions } from '../../runtime/options.ts';
import { throttleErrors } from '../throttle-errors.ts';
import { assertDestination } from './jobs.ts';

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
