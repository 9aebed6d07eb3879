/**
 * What BullMQ itself can take: addBulk with the same jobs in the same chunks, one chunk after the other on one connection.
 */
import { Queue } from 'bullmq';
import { Redis } from 'ioredis';

export interface RawJob {
  readonly name: string;
  readonly data: object;
  readonly opts: { readonly jobId: string; readonly removeOnComplete: true };
}

/** Resolves when all are in the queue. */
export async function addAllInBulk(
  redisUrl: string,
  queueName: string,
  jobs: readonly RawJob[],
  chunk: number,
): Promise<void> {
  const connection = new Redis(redisUrl, { maxRetriesPerRequest: null });
  const queue = new Queue(queueName, { connection });
  for (let from = 0; from < jobs.length; from += chunk) await queue.addBulk(jobs.slice(from, from + chunk));
  await queue.close();
  connection.disconnect();
}
