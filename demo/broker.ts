/**
 * The message broker: BullMQ on Redis, or on PostgreSQL where there is no Redis. All processes are given the same settings.
 */
import { createPostgresBackend, Queue } from 'bullmq';
import { createBullmqPostgresTransport, createBullmqTransport } from '../src/doors/bullmq.ts';
import type { Transport } from '../src/index.ts';
import { REPLIES } from './messages.ts';
import { SERVICE_NAMES } from './world.ts';

export interface Broker {
  readonly kind: 'redis' | 'postgres';
  readonly url: string;
}

/** An ordered consumer runs one message a partition at a time. */
const PARTITIONS = 8;

/** Much shorter than one would have them in earnest, so that messages of a killed process come again within two seconds. */
const IMPATIENT = { lockDuration: 1_500, stalledInterval: 500 } as const;

export function openTransport({ kind, url }: Broker, onError: (error: Error) => void): Transport {
  const options = { connection: url, queues: { orders: { partitions: PARTITIONS } }, ...IMPATIENT, onError };
  return kind === 'redis' ? createBullmqTransport(options) : createBullmqPostgresTransport(options);
}

export interface Backlog {
  /** Messages that are queued, delayed or being handled. */
  count(): Promise<number>;
  close(): Promise<void>;
}

/** Looks into the queues by BullMQ itself. The queues of an ordered destination are named `orders`, `orders#1`, `orders#2`, … */
export function openBacklog({ kind, url }: Broker): Backlog {
  const partitions = Array.from({ length: PARTITIONS - 1 }, (_, index) => `orders#${index + 1}`);
  const queues = [...SERVICE_NAMES, REPLIES, ...partitions].map((name) =>
    kind === 'redis'
      ? new Queue(name, { connection: { url } })
      : new Queue(name, { connection: { connectionString: url, max: 1 } }, createPostgresBackend as never),
  );
  for (const queue of queues) queue.on('error', () => {});
  return {
    async count() {
      const counts = await Promise.all(queues.map((queue) => queue.getJobCountByTypes('wait', 'active', 'delayed')));
      return counts.reduce((sum, count) => sum + count, 0);
    },
    close: async () => void (await Promise.all(queues.map((queue) => queue.close()))),
  };
}
