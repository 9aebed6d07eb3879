/**
 * The destinations in a RabbitMQ and how they stand, read or not. AMQP has no list of queues, so it is those that this process was told of or
 * has used, and those that whoever asks knows of.
 */
import { HoldfastError } from '../../errors.ts';
import type { FoundQueue, FoundQueues } from '../port.ts';
import { settledOrAborted } from '../shared.ts';
import { brokerUnavailable } from './broker-answers.ts';
import { connectToAny } from './connection.ts';
import type { RabbitmqSettings } from './options.ts';
import { readRabbitmqQueue } from './queue-state.ts';
import { DELAY_STEPS_MS, delayQueue, partitionQueue } from './topology.ts';

/** Rejects with HF_TRANSPORT_UNAVAILABLE. */
export async function findQueues(
  settings: RabbitmqSettings,
  destinations: Iterable<string>,
  signal: AbortSignal,
): Promise<FoundQueues> {
  try {
    signal.throwIfAborted();
    const connection = await connectToAny(settings, 'status', signal);
    try {
      const queues: FoundQueue[] = [];
      for (const destination of destinations) {
        const home = partitionQueue(settings.prefix, destination, 0);
        const { partitions } = settings.layoutOf(destination);
        const delaying = DELAY_STEPS_MS.map((stepMs) => delayQueue(home, stepMs).name);
        const reading = readRabbitmqQueue({ connection, settings, destination, partitions, delaying, active: 0 });
        const state = await settledOrAborted(reading, signal);
        if (state !== null) queues.push({ destination, state });
      }
      return { queues, complete: true };
    } finally {
      await connection.close();
    }
  } catch (error) {
    if (error instanceof HoldfastError && error.code === 'HF_TRANSPORT_UNAVAILABLE') throw error;
    throw brokerUnavailable(error, 'does not tell of its queues');
  }
}
