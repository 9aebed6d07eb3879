/**
 * BullMQ on Redis: the transport that most services use. Here are its options. publisher.ts and receiver.ts do the work.
 * redis-connections.ts is loaded with the first publisher or receiver.
 */
import type { RedisOptions } from 'ioredis';
import { HoldfastError } from '../../errors.ts';
import { refuseUnknownOptions } from '../../runtime/options.ts';
import { type BullmqBroker, loading } from './broker.ts';
import {
  BULLMQ_OPTIONS,
  bullmqAbilities,
  type BullmqOptions,
  DEFAULT_PREFIX,
  resolveBullmqOptions,
} from './options.ts';
import { bullmqPublisher } from './publisher.ts';
import { bullmqReceiver } from './receiver.ts';
import type { Transport } from '../port.ts';
import { transportOf } from '../shared.ts';

/** Options of {@link createBullmqTransport}. */
export interface BullmqTransportOptions extends BullmqOptions {
  /** `redis://…` or `rediss://…`, or options of ioredis. Reconnecting, offline queue and retries are set by the transport. */
  readonly connection: string | RedisOptions;
  /**
   * Prefix of every Redis key, the same for publishers and consumers. Default 'holdfast': under BullMQ's own default, 'bull', any plain
   * BullMQ worker on a queue of the same name would take our messages. docs/transports.md says how to move on from 'bull'.
   */
  readonly prefix?: string | undefined;
}

/**
 * Carries messages over BullMQ queues on Redis 6.2 or later (or Valkey).
 *
 * @throws HoldfastError HF_CONFIG, HF_OPTION_UNKNOWN
 * @example
 * const transport = createBullmqTransport({
 *   connection: 'redis://localhost:6379',
 *   queues: { billing: { partitions: 8 } },
 *   lockDuration: '30s',
 * });
 */
export function createBullmqTransport(options: BullmqTransportOptions): Transport {
  refuseUnknownOptions(options, ['connection', 'prefix', ...BULLMQ_OPTIONS], 'createBullmqTransport');
  const settings = resolveBullmqOptions(options, 'createBullmqTransport');
  const prefix = options.prefix ?? DEFAULT_PREFIX;
  if (typeof options.connection === 'object' && (options.connection.keyPrefix ?? '') !== '')
    throw new HoldfastError('HF_CONFIG', 'createBullmqTransport: connection.keyPrefix does not work with BullMQ.', {
      advice: 'Use the option prefix.',
    });
  const kind = 'bullmq-redis';
  const broker: BullmqBroker = {
    kind,
    load: () =>
      loading(kind, async () => (await import('./redis-connections.ts')).redisConnections(options.connection, prefix)),
    dataOf: (wire) => wire,
    isMessageFault: (error) => MESSAGE_FAULT.test(error.message),
  };
  return transportOf({
    kind,
    abilities: bullmqAbilities(settings),
    address: addressOf(options.connection, prefix),
    publisher: () => bullmqPublisher(broker, settings),
    receiver: (destination, handle, receive) =>
      bullmqReceiver({ broker, settings, destination, handle, options: receive }),
    queues: async ({ signal }) => (await import('./redis-queues.ts')).queuesOf(options.connection, { prefix, signal }),
  });
}

/** As it was given: names of hosts are not looked up. */
function addressOf(connection: string | RedisOptions, prefix: string): string | undefined {
  const place = typeof connection === 'string' ? placeOfUrl(connection) : placeOf(connection);
  return place === undefined ? undefined : `redis ${place} prefix ${prefix}`;
}

function placeOfUrl(url: string): string | undefined {
  if (!URL.canParse(url)) return undefined;
  const { hostname, port, pathname } = new URL(url);
  return hostname === ''
    ? undefined
    : placeOf({ host: hostname, port: Number(port || 6379), db: Number(pathname.slice(1)) });
}

function placeOf({ host = 'localhost', port = 6379, db = 0, path, name }: RedisOptions): string {
  // Behind Sentinel it is known by its name.
  return path ?? (name === undefined ? `${host}:${port}/${Number.isInteger(db) ? db : 0}` : `sentinel ${name}`);
}

/** Everything else Redis answers (OOM, READONLY, LOADING, MISCONF, NOAUTH, NOPERM, CLUSTERDOWN, …) is about the broker as a whole. */
const MESSAGE_FAULT = /invalid bulk length|exceeds maximum allowed size|value is bigger|too big/i;
