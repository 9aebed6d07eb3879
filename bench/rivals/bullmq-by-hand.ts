/** BullMQ on Redis by hand: addBulk, and a worker. */
import { Queue, Worker } from 'bullmq';
import { Redis } from 'ioredis';
import { IN_HAND, type Carrier } from '../support/carrier.ts';

const CHUNK = 250;

export function bullmqByHand(url: string, name: string): Carrier {
  const connection = new Redis(url, { maxRetriesPerRequest: null });
  const queue = new Queue(name, { connection });
  return {
    name: 'by-hand',
    async publish(batch) {
      const jobs = batch.map(({ id, topic, wire }) => ({
        name: topic,
        data: JSON.parse(wire) as object,
        opts: { jobId: id, removeOnComplete: true },
      }));
      for (let from = 0; from < jobs.length; from += CHUNK) await queue.addBulk(jobs.slice(from, from + CHUNK));
    },
    async consume(taken) {
      const own = new Redis(url, { maxRetriesPerRequest: null });
      const worker = new Worker(name, async ({ data }) => taken(data), { connection: own, concurrency: IN_HAND });
      await worker.waitUntilReady();
      return async () => {
        await worker.close();
        own.disconnect();
      };
    },
    async left() {
      const counts = await queue.getJobCounts('waiting', 'active', 'delayed');
      return Object.values(counts).reduce((sum, count) => sum + count, 0);
    },
    async close() {
      await queue.close();
      connection.disconnect();
    },
  };
}
