/**
 * Recently seen message ids in Redis, shared by all processes of a consumer. Each id is one key, which Redis expires.
 */
import type { Cluster, Redis } from 'ioredis';
import { HoldfastError } from '../../errors.ts';
import type { Duration } from '../../runtime/duration.ts';
import { missingPackage } from '../../runtime/missing-package.ts';
import { refuseUnknownOptions } from '../../runtime/options.ts';
import { withTimeout } from '../../runtime/timeout.ts';
import { type RedisPlace, resolveRedisPlace } from '../../transport/redis/redis-place.ts';
import { windowTtl, type DedupWindow } from './window.ts';

const ANSWER_WITHIN_MS = 5_000;

/** What is used of an ioredis client. */
export interface RedisWindowConnection {
  exists(key: string): Promise<number>;
  set(key: string, value: string, unit: 'PX', milliseconds: number): Promise<unknown>;
}

/** Options of {@link createRedisWindow}. */
export interface RedisWindowOptions {
  /**
   * A URL as the transport takes it (`redis://…`, `redis+cluster://…`, `redis+sentinel://…`), for which ioredis must be installed, or a
   * Redis or Cluster of ioredis, which `close` leaves open.
   */
  readonly connection: string | RedisWindowConnection;
  /**
   * How long an id is kept.
   *
   * @defaultValue '1h'
   */
  readonly ttl?: Duration | undefined;
  /**
   * Before every key.
   *
   * @defaultValue 'holdfast:window:'
   */
  readonly prefix?: string | undefined;
}

/**
 * The window holds what Redis holds: after a failover, a flush, or an eviction (set maxmemory-policy noeviction), ids are forgotten
 * and their duplicates are handled again. About 150 bytes of Redis memory an id.
 *
 * @throws HoldfastError HF_CONFIG, HF_DURATION, HF_OPTION_UNKNOWN
 * @example
 * const window = createRedisWindow({ connection: 'redis://localhost:6379', ttl: '1h' });
 * const mails = createConsumer('mails', { database, transport, window, handlers: [on(OrderPlaced, () => {}, { kind: 'window' })] });
 */
export function createRedisWindow(options: RedisWindowOptions): DedupWindow {
  refuseUnknownOptions(options, ['connection', 'ttl', 'prefix'], 'createRedisWindow');
  const { connection, prefix = 'holdfast:window:' } = options;
  const ttlMs = Math.max(1, Math.round(windowTtl(options.ttl ?? '1h')));
  const given =
    typeof connection === 'string'
      ? { place: resolveRedisPlace(connection, 'createRedisWindow') }
      : { client: connection };
  let own: Promise<Redis | Cluster> | undefined;
  let closed = false;
  async function client(): Promise<RedisWindowConnection> {
    if (closed) throw new Error('the window is closed');
    if ('client' in given) return given.client;
    if (own === undefined) {
      const attempt = openRedis(given.place);
      own = attempt;
      // What could not be loaded is tried again by the next command.
      attempt.catch(() => void (own = undefined));
    }
    return own;
  }
  const reach = async <T>(command: (client: RedisWindowConnection) => Promise<T>): Promise<T> => {
    try {
      const redis = await client();
      // The client of a cluster keeps what it cannot send until it can.
      return await withTimeout(() => command(redis), { timeoutMs: ANSWER_WITHIN_MS, onTimeout: noAnswer });
    } catch (cause) {
      throw new HoldfastError(
        'HF_TRANSPORT_UNAVAILABLE',
        'The Redis that holds the window of seen messages does not answer.',
        {
          cause,
          advice:
            missingPackage(cause, ['ioredis']) === undefined
              ? 'Messages wait until it does.'
              : 'Its client is not installed with holdfast: npm install ioredis',
        },
      );
    }
  };
  const key = (consumer: string, messageId: string): string => `${prefix}${consumer}:${messageId}`;
  return {
    seen: async (consumer, messageId) => (await reach(async (redis) => redis.exists(key(consumer, messageId)))) === 1,
    mark: async (consumer, messageId) =>
      void (await reach(async (redis) => redis.set(key(consumer, messageId), '1', 'PX', ttlMs))),
    async close() {
      closed = true;
      (await own?.catch(() => undefined))?.disconnect();
    },
  };
}

function noAnswer(): Error {
  return new Error(`no answer within ${ANSWER_WITHIN_MS} ms`);
}

/** ioredis is loaded by the first command: most consumers have no such window. */
async function openRedis(place: RedisPlace): Promise<Redis | Cluster> {
  const { Cluster, Redis } = await import('ioredis');
  // Commands fail at once while Redis is away, rather than queue up: the consumer holds its message and asks again.
  const own = {
    ...place.options,
    maxRetriesPerRequest: 1,
    commandTimeout: ANSWER_WITHIN_MS,
    replyMapping: 'legacy' as const,
    lazyConnect: true,
  };
  const redis = open();
  redis.on('error', () => {});
  return redis;

  function open(): Redis | Cluster {
    if (place.kind === 'single') return place.url === undefined ? new Redis(own) : new Redis(place.url, own);
    const { nodes, natMap } = place;
    const options = { lazyConnect: true, redisOptions: own, ...(natMap === undefined ? {} : { natMap }) };
    return new Cluster([...nodes], options);
  }
}
