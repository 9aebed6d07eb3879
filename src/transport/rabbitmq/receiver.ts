/**
 * The Receiver of the RabbitMQ transport. What it does while it runs is in receiving.ts.
 */
import { HoldfastError } from '../../errors.ts';
import { createLifecycle } from '../../runtime/lifecycle.ts';
import type { Receiver } from '../port.ts';
import { loadClient } from './connection.ts';
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
  const lifecycle = createLifecycle({
    make: () => ({ running: null as QueueReceiving | null }),
    async start(run) {
      await loadClient();
      run.running = new QueueReceiving(receiving);
    },
    async stop(run, { signal }) {
      await run.running?.stop(signal);
      run.running = null;
    },
  });
  return {
    start: lifecycle.start,
    stop: lifecycle.stop,
    async look({ signal }) {
      const { running } = lifecycle.run;
      if (running === null) throw new HoldfastError('HF_STOPPED', `The receiver of ${destination} is not running.`);
      return running.look(signal);
    },
  };
}
