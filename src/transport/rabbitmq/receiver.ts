/**
 * The Receiver of the RabbitMQ transport. What it does while it runs is in receiving.ts.
 */
import { HoldfastError } from '../../errors.ts';
import type { Receiver } from '../port.ts';
import { runningReceiver } from '../running-receiver.ts';
import { loadAmqplib } from './connection.ts';
import { QueueReceiving, type QueueReceivingOptions } from './receiving.ts';
import { assertQueueName } from './topology.ts';

/** @throws HoldfastError HF_CONFIG */
export function rabbitmqReceiver(receiving: QueueReceivingOptions): Receiver {
  const { destination, settings, options } = receiving;
  assertQueueName(destination, settings.prefix);
  if (options.ordered && !settings.layoutOf(destination).ordered)
    throw new HoldfastError('HF_CONFIG', `The consumer of ${destination} is ordered, and its queue is not.`, {
      advice: `Give queues: { '${destination}': { ordered: true } } to the transports of its publishers and consumers: RabbitMQ must know before the first message.`,
    });
  return runningReceiver(destination, async () => {
    await loadAmqplib();
    return new QueueReceiving(receiving);
  });
}
