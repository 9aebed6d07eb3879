/**
 * What lies in a destination, as far as AMQP tells: messages that wait, delayed ones, and consumers. Who holds how many messages elsewhere
 * is known to RabbitMQ's management alone.
 */
import type { QueueRemark, QueueState } from '../port.ts';
import type { RabbitmqConnection } from './connection.ts';
import type { RabbitmqSettings } from './options.ts';
import { countQueue } from './queue-maker.ts';
import { partitionQueue } from './topology.ts';

export interface RabbitmqQueueOptions {
  readonly connection: RabbitmqConnection;
  readonly settings: RabbitmqSettings;
  readonly destination: string;
  readonly partitions: number;
  /** Names of queues that hold its messages for a time. */
  readonly delaying: Iterable<string>;
  /** Messages that are in hand here. */
  readonly active: number;
}

/** Null where there is no such destination. */
export async function readRabbitmqQueue(options: RabbitmqQueueOptions): Promise<QueueState | null> {
  const { connection, settings, destination, partitions, delaying, active } = options;
  const count = (name: string) => countQueue(connection, name, settings.publishTimeoutMs);
  const names = Array.from({ length: partitions }, (_, index) => partitionQueue(settings.prefix, destination, index));
  const [mains, delays] = await Promise.all([Promise.all(names.map(count)), Promise.all([...delaying].map(count))]);
  if (mains.every((main) => main === null)) return null;
  return assessRabbitmqQueue(destination, {
    waiting: sum(mains.map((main) => main?.messages ?? 0)),
    delayed: sum(delays.map((delay) => delay?.messages ?? 0)),
    consumers: Math.max(...mains.map((main) => main?.consumers ?? 0)),
    active,
  });
}

export interface RabbitmqQueueFacts {
  readonly waiting: number;
  readonly delayed: number;
  /** Of the partition that has most: a process has one on each. */
  readonly consumers: number;
  readonly active: number;
}

/** Pure. */
export function assessRabbitmqQueue(destination: string, facts: RabbitmqQueueFacts): QueueState {
  const { waiting, delayed, consumers, active } = facts;
  const remarks: QueueRemark[] = [];
  if (consumers === 0 && waiting + delayed > 0)
    remarks.push({
      check: 'queue.unread',
      what: `${waiting + delayed} messages wait in the queue ${destination}, and no consumer is connected to it.`,
      advice: 'Start the consumer; see that it has the same destination, prefix and virtual host as the relay.',
    });
  return { waiting, active, delayed, failed: 0, paused: false, consumers, foreign: null, remarks };
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, each) => total + each, 0);
}
