/**
 * NATS JetStream: the transport for services that run NATS, on one server or a cluster. publisher.ts and receiver.ts do the work; the client
 * of NATS is loaded with the first of them that is used.
 */
import type { Transport } from '../port.ts';
import { transportOf } from '../shared.ts';
import type { DiscoveredServers } from './link.ts';
import { type NatsTransportOptions, resolveNatsOptions } from './options.ts';
import { natsPublisher } from './publisher.ts';
import { natsReceiver } from './receiver.ts';

/**
 * Carries messages over streams of NATS JetStream, server 2.10 or later; 2.9 where it is not a cluster.
 *
 * @throws HoldfastError HF_CONFIG, HF_DURATION, HF_OPTION_UNKNOWN
 * @example
 * const transport = createNatsTransport({
 *   connection: ['nats://nats-1:4222', 'nats://nats-2:4222', 'nats://nats-3:4222'],
 *   replicas: 3,
 *   queues: { billing: { partitions: 8 } },
 * });
 */
export function createNatsTransport(options: NatsTransportOptions): Transport {
  const settings = resolveNatsOptions(options, 'createNatsTransport');
  const discovered: DiscoveredServers = new Set();
  return transportOf({
    kind: 'nats',
    abilities: {
      receives: true,
      orders: true,
      deduplicates: { withinMs: settings.duplicateWindowMs },
      delays: 'broker',
      maxMessageBytes: Number.isFinite(settings.maxMessageBytes) ? settings.maxMessageBytes : null,
      durability: settings.replicas > 1 ? 'majority' : 'settings',
    },
    address: `nats ${settings.address.shown} prefix ${settings.prefix}`,
    publisher: () => natsPublisher(settings, discovered),
    receiver: (destination, handle, receive) =>
      natsReceiver({ settings, discovered, destination, handle, options: receive }),
    queues: async ({ signal }) => (await import('./queues.ts')).natsQueues(settings, signal),
  });
}
