/**
 * Redis Streams: the cheapest of the transports on Redis for each message, and at home in a cluster. Here is the factory. publisher.ts and
 * receiver.ts do the work; connection.ts is loaded with the first publisher or receiver.
 */
import type { Transport } from '../port.ts';
import { transportOf } from '../shared.ts';
import { openStreams } from './load.ts';
import { resolveStreamsOptions, type RedisStreamsTransportOptions } from './options.ts';
import { streamsPublisher } from './publisher.ts';
import { streamsReceiver } from './receiver.ts';

/**
 * Carries messages over streams of Redis 6.2 or later, or Valkey: one server, a primary that Sentinel watches, or a cluster.
 *
 * @throws HoldfastError HF_CONFIG, HF_OPTION_UNKNOWN
 * @example
 * const transport = createRedisStreamsTransport({
 *   connection: 'redis://localhost:6379',
 *   queues: { billing: { partitions: 8 } },
 * });
 */
export function createRedisStreamsTransport(options: RedisStreamsTransportOptions): Transport {
  const settings = resolveStreamsOptions(options);
  const open = openStreams(settings);
  return transportOf({
    kind: 'redis-streams',
    abilities: {
      receives: true,
      orders: true,
      // An id for each message, kept for a window, would double what a message costs; inboxes recognise it anyway.
      deduplicates: 'never',
      delays: 'broker',
      maxMessageBytes: settings.maxMessageBytes,
      durability: 'settings',
    },
    address:
      settings.place.address === undefined ? undefined : `redis ${settings.place.address} prefix ${settings.prefix}`,
    publisher: () => streamsPublisher(open, settings),
    receiver: (destination, handle, receive) =>
      streamsReceiver({ open, settings, destination, handle, options: receive }),
    queues: async ({ signal }) => (await import('./found-queues.ts')).findStreams(open, settings, signal),
  });
}
