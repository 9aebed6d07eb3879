/**
 * How the queues of a destination are reached, which may lie on several servers.
 */
import type { IQueueBackend } from 'bullmq';
import type { QueueNaming } from './jobs.ts';

export interface QueueAccess {
  /** The queue of one partition, wherever it is. Rejects while that cannot be told. */
  partition(destination: string, index: number): Promise<IQueueBackend>;
  /** What the servers say of their clients, one text a server. Null where it tells nothing, or they may not be asked. */
  clientLists(): Promise<readonly string[] | null>;
}

/** Where all queues are reached by one backend. */
export function accessFrom(
  backend: IQueueBackend,
  naming: QueueNaming,
  clientLists: () => Promise<readonly string[]>,
): QueueAccess {
  return {
    partition: async (destination, index) => backend.forQueue(naming.queueName(destination, index)),
    // Some services and roles forbid it.
    clientLists: () => clientLists().catch(() => null),
  };
}
