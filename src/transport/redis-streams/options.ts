/**
 * The options of the transport, checked and with defaults.
 */
import { parseDuration, type Duration } from '../../runtime/duration.ts';
import { safeHook } from '../../runtime/observers.ts';
import { badOption, refuseUnknownOptions } from '../../runtime/options.ts';
import { type RedisConnection, type RedisPlace, resolveRedisPlace } from '../redis/redis-place.ts';
import { partitionsOfQueues } from '../partitions.ts';
import { throttleErrors } from '../throttle-errors.ts';
import { assertStreamName, DEFAULT_STREAMS_PREFIX } from './keys.ts';

/** How one destination is laid out. Publishers and consumers are to be given the same. */
export interface StreamLayout {
  /**
   * Number of streams that carry the destination, 1 to 1024. In a cluster they lie on different nodes. Each is handed out in order by one
   * receiver at a time, so consumers that keep order share the work by them.
   *
   * @defaultValue 1
   */
  readonly partitions?: number | undefined;
}

/** Options of {@link createRedisStreamsTransport}. */
export interface RedisStreamsTransportOptions {
  /**
   * Where Redis is: a URL, options of ioredis, the nodes of a cluster, or a client of ioredis as a description of its server. Reconnecting,
   * offline queue and retries are set by the transport. See {@link RedisConnection}.
   */
  readonly connection: RedisConnection;
  /**
   * Prefix of every key in Redis, the same for publishers and consumers.
   *
   * @defaultValue 'holdfast-streams'
   */
  readonly prefix?: string | undefined;
  /** Layout of destinations that need more than one partition. */
  readonly queues?: Readonly<Record<string, StreamLayout>> | undefined;
  /**
   * How long a delivery belongs to its consumer without a sign of life; renewed at a third of it.
   *
   * @defaultValue '30s'
   */
  readonly lockDuration?: Duration | undefined;
  /**
   * How often to look for deliveries of dead consumers. They come again after at most `lockDuration` + this.
   *
   * @defaultValue '15s'
   */
  readonly stalledInterval?: Duration | undefined;
  /**
   * How long Redis may take to answer one command, or to be connected to.
   *
   * @defaultValue '5s'
   */
  readonly publishTimeout?: Duration | undefined;
  /**
   * How many replicas must have a batch before it counts as published. With fewer, or when they take longer than half of `publishTimeout`,
   * the batch is sent again. Redis replicates after it has answered, so with 0 a failover can lose what was acknowledged just before.
   *
   * @defaultValue 0
   */
  readonly replicas?: number | undefined;
  /**
   * A message whose envelope is larger than this many bytes is refused for good.
   *
   * @defaultValue 256 MiB, below what Redis takes by default
   */
  readonly maxMessageBytes?: number | undefined;
  /**
   * Told about failures in the background, which have no caller: lost connections, rejected handlers, unsafe settings of Redis. One that
   * comes again and again is told at once, then after 2 s, 4 s and so on, up to every 10 minutes.
   */
  readonly onError?: ((error: Error) => void) | undefined;
}

/** The same, checked and with defaults. */
export interface StreamsSettings {
  readonly place: RedisPlace;
  readonly prefix: string;
  readonly partitionsOf: (destination: string) => number;
  readonly lockDurationMs: number;
  readonly stalledIntervalMs: number;
  readonly publishTimeoutMs: number;
  readonly replicas: number;
  readonly maxMessageBytes: number;
  readonly onError: (error: Error) => void;
}

const KNOWN = [
  'connection',
  'prefix',
  'queues',
  'lockDuration',
  'stalledInterval',
  'publishTimeout',
  'replicas',
  'maxMessageBytes',
  'onError',
] as const;
const WHERE = 'createRedisStreamsTransport';

/** @throws HoldfastError HF_CONFIG or HF_OPTION_UNKNOWN */
export function resolveStreamsOptions(options: RedisStreamsTransportOptions): StreamsSettings {
  refuseUnknownOptions(options, KNOWN, WHERE);
  const { prefix = DEFAULT_STREAMS_PREFIX, replicas = 0, maxMessageBytes = 256 * 1024 * 1024 } = options;
  if (prefix === '' || /[{}]/.test(prefix))
    throw badOption(
      WHERE,
      `has the prefix ${JSON.stringify(prefix)}`,
      "Give one that is not empty, without '{' and '}'.",
    );
  if (!Number.isInteger(replicas) || replicas < 0)
    throw badOption(WHERE, `has ${replicas} replicas`, 'Give a whole number from 0.');
  if (!(maxMessageBytes > 0))
    throw badOption(WHERE, `has maxMessageBytes ${maxMessageBytes}`, 'Give what is more than 0.');
  if ((options.connection ?? undefined) === undefined)
    throw badOption(WHERE, 'has no connection', 'Give a URL, options of ioredis, or the nodes of a cluster.');
  const nameOf = (destination: string): string => `${WHERE}: queues.${destination}`;
  const partitionsOf = partitionsOfQueues(options.queues, {
    nameOf,
    refusal: (destination, partitions) => `${nameOf(destination)} has ${partitions} partitions.`,
    assertDestination: assertStreamName,
  });
  const duration = (name: 'lockDuration' | 'stalledInterval' | 'publishTimeout', fallback: Duration): number => {
    const ms = parseDuration(options[name] ?? fallback, `${WHERE}: ${name}`);
    if (ms < 1) throw badOption(WHERE, `has the ${name} ${ms}`, 'Give at least a millisecond.');
    return Math.ceil(ms);
  };
  return {
    place: resolveRedisPlace(options.connection, WHERE),
    prefix,
    partitionsOf,
    lockDurationMs: duration('lockDuration', '30s'),
    stalledIntervalMs: duration('stalledInterval', '15s'),
    publishTimeoutMs: duration('publishTimeout', '5s'),
    replicas,
    maxMessageBytes,
    onError: throttleErrors(safeHook(options.onError, 'onError of a transport')),
  };
}
