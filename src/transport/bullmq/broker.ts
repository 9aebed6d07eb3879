/**
 * What Redis and PostgreSQL each implement: how to connect, and what BullMQ does differently there. The publisher and the receiver, which
 * both brokers share, are written against these interfaces.
 */
import type { BackendFactory, IQueueBackend } from 'bullmq';
import { loadClient } from '../load-client.ts';
import type { BullmqSettings } from './options.ts';
import type { QueueAccess } from './queue-access.ts';

/** A publisher's connection, or connections, where queues lie on several servers. */
export interface PublisherConnection {
  /** A backend that reaches the queue of this name, to add jobs with. Rejects with any error while it is away; a later call may succeed. */
  ready(queue: string, signal: AbortSignal): Promise<IQueueBackend>;
  /** Resolves once there are connections to all servers; rejects with any error while there are not. */
  reach(signal: AbortSignal): Promise<void>;
  /** One cheap round trip, to each of them. */
  ping(): Promise<void>;
  /** Something has failed: queues may lie elsewhere by now. */
  failed?(): void;
  /** Whether a queue only lies elsewhere by now, and nothing has been done. `ready` then knows where. */
  hasMoved?(error: Error): boolean;
  /**
   * To be called before a batch is sent. What it returns resolves once what was sent since, by these backends, is as safe as was asked
   * for. Absent: what is acknowledged is.
   */
  watch?(): (used: ReadonlySet<IQueueBackend>) => Promise<void>;
  /** Gives up on the connection, so that what waits for an answer on it fails and nothing of it is sent later. */
  drop(): void;
  close(): Promise<void>;
}

/** A receiver's connections. */
export interface ReceiverConnection {
  /** Resolves once workers can be made: the broker has answered, or will be waited for by the workers themselves. */
  ready(): Promise<void>;
  /** Resolves when there is a connection to where the queue is; rejects soon, with the reason, when there is none. */
  reach(queue: string): Promise<void>;
  /** What it may be about when there is no answer at all. */
  readonly hint?: string;
  /** What an error means, where it is that the transport was set up for another kind of server. */
  explain?(error: Error): Error;
  /** Whether commands that are given at once travel together, and not each on a connection of its own or behind the answer before. */
  readonly pipelines: boolean;
  /** For the worker of a queue, as BullMQ takes it. */
  workerConnection(queue: string): object;
  /** What the clock of the broker shows, in milliseconds since the epoch. */
  brokerTimeMs(queue: string, backend: IQueueBackend): Promise<number>;
  /** @param first backend of the destination's first queue */
  access(first: IQueueBackend): QueueAccess;
  readonly prefix: string | undefined;
  readonly factory: BackendFactory;
  /** To be called every ANSWER_WITHIN_MS: gives up connections that do not answer and do not break. Without it the client does so by itself. */
  cutSilent?(): void;
  /** Looks at a queue for what its consumer should know when it starts, and tells it by onError. Never rejects. */
  inspectQueue?(queue: string): Promise<void>;
  /** Makes readable what BullMQ itself cannot read of the jobs that were taken from a queue, so that they can be handed out. Never rejects. */
  repairTakenJobs?(queue: string): Promise<void>;
  /** Cuts every connection at once; workers that are closing stop waiting for the broker. */
  disconnect(): void;
  close(): Promise<void>;
}

/** The connections to one broker. */
export interface BullmqConnections {
  openPublisherConnection(settings: BullmqSettings): PublisherConnection;
  openReceiverConnection(settings: BullmqSettings): ReceiverConnection;
}

/** What the two brokers do differently. */
export interface BullmqBroker {
  readonly kind: string;
  /** Loads what speaks to the broker, which is most of what Holdfast would have to load; nothing before somebody publishes or receives. */
  load(): Promise<BullmqConnections>;
  /** What a job's data is to be for an envelope, so that the broker hands it out unaltered: the envelope itself, or a JSON text of it. */
  dataOf(wire: string): string;
  /** True when this error is about one message (its size, its content) and not about the broker. */
  isMessageFault(error: Error): boolean;
  /** See {@link ReceiverConnection}. */
  explain?(error: Error): Error;
}

/** Settles as `load` does, but says what failed. A later call tries again. */
export function loading<T>(kind: string, load: () => Promise<T>): Promise<T> {
  return loadClient(
    {
      failure: (why) => `The client of the broker (${kind}) cannot be loaded: ${why}`,
      packages: ['bullmq', 'ioredis'],
      adviceWhenMissing: 'They are not installed with holdfast: npm install bullmq ioredis',
      adviceElse: 'Install the dependencies of holdfast anew; a bundle must hold bullmq, ioredis and pg, or find them.',
    },
    load,
  );
}
