/**
 * The transport for RabbitMQ: quorum queues, of which each message is on the disks of a majority before it counts as published. Here it is put
 * together; the client is loaded with the first publisher or receiver.
 */
import type { TransportAbilities } from '../abilities.ts';
import type { Transport } from '../port.ts';
import { transportOf } from '../shared.ts';
import { findQueues } from './found-queues.ts';
import { addressOf, type RabbitmqSettings, type RabbitmqTransportOptions, resolveRabbitmqOptions } from './options.ts';
import { rabbitmqPublisher } from './publisher.ts';
import { rabbitmqReceiver } from './receiver.ts';

/**
 * Carries messages over quorum queues of RabbitMQ 3.10 or later, one node or a cluster.
 *
 * @throws HoldfastError HF_CONFIG, HF_OPTION_UNKNOWN, HF_DURATION
 * @example
 * const transport = createRabbitmqTransport({
 *   connection: ['amqp://app:secret@mq-1:5672/orders', 'amqp://app:secret@mq-2:5672/orders'],
 *   queues: { shipping: { ordered: true, partitions: 8 } },
 * });
 */
export function createRabbitmqTransport(options: RabbitmqTransportOptions): Transport {
  const settings = resolveRabbitmqOptions(options);
  const destinations = new Set(settings.named);
  return transportOf({
    kind: 'rabbitmq',
    abilities: abilitiesOf(settings),
    address: addressOf(settings),
    publisher: () => rabbitmqPublisher(settings, (destination) => void destinations.add(destination)),
    receiver(destination, handle, receive) {
      const receiver = rabbitmqReceiver({ settings, destination, handle, options: receive });
      destinations.add(destination);
      return receiver;
    },
    queues: ({ signal, known = [] }) => findQueues(settings, new Set([...destinations, ...known]), signal),
  });
}

function abilitiesOf({ maxMessageBytes, hasOrdered }: RabbitmqSettings): TransportAbilities {
  return {
    receives: true,
    orders: hasOrdered,
    deduplicates: 'never',
    // An ordered queue can only be held up by whoever has its first message in hand.
    delays: hasOrdered ? 'consumer' : 'broker',
    maxMessageBytes,
    durability: 'majority',
  };
}
