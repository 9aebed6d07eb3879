/**
 * BullMQ on Redis: the transport that most services use. Here are its options. publisher.ts and receiver.ts do the work.
 * redis-connections.ts is loaded with the first publisher or receiver.
 */
import { HoldfastError } from '../../errors.ts';
import { refuseUnknownOptions } from '../../runtime/options.ts';
import { type BullmqBroker, loading } from './broker.ts';
import { hasHashTag } from './cluster-slots.ts';
import { PLAIN_NAMES, TAGGED_NAMES } from './jobs.ts';
import {
  BULLMQ_OPTIONS,
  bullmqAbilities,
  type BullmqOptions,
  DEFAULT_PREFIX,
  resolveBullmqOptions,
} from './options.ts';
import { bullmqPublisher } from './publisher.ts';
import { bullmqReceiver } from './receiver.ts';
import { explainCluster } from '../redis/redis-client.ts';
import { type RedisConnection, resolveRedisPlace } from '../redis/redis-place.ts';
import type { Transport } from '../port.ts';
import { transportOf } from '../shared.ts';

/** Options of {@link createBullmqTransport}. */
export interface BullmqTransportOptions extends BullmqOptions {
  /** Where Redis is: a URL, options of ioredis, a cluster, a client. Reconnecting, offline queue and retries are set by the transport. */
  readonly connection: RedisConnection;
  /**
   * Prefix of every Redis key, the same for publishers and consumers. Default 'holdfast': under BullMQ's own default, 'bull', any plain
   * BullMQ worker on a queue of the same name would take our messages. docs/transports.md says how to move on from 'bull'. In a cluster,
   * one with a hash tag (`{holdfast}`) would put all queues on one node.
   */
  readonly prefix?: string | undefined;
  /**
   * How many replicas of a server must have a message before it counts as published, 0 to 10. Without one, what was published in the last
   * moments before a failover may be lost: replay it from the outbox. With one, publishing waits while fewer replicas answer within half
   * of `publishTimeout`.
   *
   * @defaultValue 0
   */
  readonly replicas?: number | undefined;
}

const MAX_REPLICAS = 10;

/**
 * Carries messages over BullMQ queues on Redis 6.2 or later (or Valkey): one server, a primary behind Sentinel, or a Redis Cluster.
 *
 * @throws HoldfastError HF_CONFIG, HF_OPTION_UNKNOWN
 * @example
 * const transport = createBullmqTransport({
 *   connection: 'redis://localhost:6379',
 *   queues: { billing: { partitions: 8 } },
 *   lockDuration: '30s',
 * });
 * @example
 * const transport = createBullmqTransport({
 *   connection: { cluster: ['10.0.0.1:6379', '10.0.0.2:6379'], options: { password: process.env.REDIS_PASSWORD } },
 *   replicas: 1,
 * });
 */
export function createBullmqTransport(options: BullmqTransportOptions): Transport {
  const where = 'createBullmqTransport';
  refuseUnknownOptions(options, ['connection', 'prefix', 'replicas', ...BULLMQ_OPTIONS], where);
  const { prefix = DEFAULT_PREFIX, replicas = 0 } = options;
  const place = resolveRedisPlace(options.connection, where);
  if (!Number.isInteger(replicas) || replicas < 0 || replicas > MAX_REPLICAS)
    throw new HoldfastError('HF_CONFIG', `${where}: replicas is ${replicas}.`, {
      advice: `Give a whole number from 0 to ${MAX_REPLICAS}.`,
    });
  // A prefix with a hash tag has decided on the slot already.
  const tagged = place.kind === 'cluster' && !hasHashTag(prefix);
  const settings = resolveBullmqOptions(options, where, tagged ? TAGGED_NAMES : PLAIN_NAMES);
  const kind = 'bullmq-redis';
  const broker: BullmqBroker = {
    kind,
    load: () =>
      loading(kind, async () => (await import('./redis-connections.ts')).redisConnections({ place, prefix, replicas })),
    dataOf: (wire) => wire,
    isMessageFault: (error) => MESSAGE_FAULT.test(error.message),
    ...(place.kind === 'single' ? { explain: explainCluster } : {}),
  };
  return transportOf({
    kind,
    abilities: bullmqAbilities(settings),
    address: place.address === undefined ? undefined : `redis ${place.address} prefix ${prefix}`,
    publisher: () => bullmqPublisher(broker, settings),
    receiver: (destination, handle, receive) =>
      bullmqReceiver({ broker, settings, destination, handle, options: receive }),
    queues: async ({ signal }) => (await import('./redis-queues.ts')).queuesOf(place, { prefix, signal }),
  });
}

/** Everything else Redis answers (OOM, READONLY, LOADING, MISCONF, NOAUTH, NOPERM, CLUSTERDOWN, …) is about the broker as a whole. */
const MESSAGE_FAULT = /invalid bulk length|exceeds maximum allowed size|value is bigger|too big/i;
