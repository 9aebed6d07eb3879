/**
 * How messages are stored in BullMQ: names of queues, and jobs. Both brokers, and processes of different versions, must agree
 * on this.
 */
import type { JobJson, JobsOptions } from 'bullmq';
import { HoldfastError } from '../../errors.ts';
import type { OutboundMessage } from '../port.ts';

/** How the queues of a broker are called. */
export interface QueueNaming {
  /** @throws HoldfastError HF_CONFIG when there cannot be a queue of this name */
  assertDestination(destination: string): void;
  queueName(destination: string, partition: number): string;
  /** Of a destination's first queue; null for other queues, and what is none. */
  destinationOf(queue: string): string | null;
}

/** @throws HoldfastError HF_CONFIG when BullMQ cannot have a queue of this name */
export function assertDestination(destination: string): void {
  if (destination !== '' && !destination.includes(':') && !destination.includes('#')) return;
  throw new HoldfastError('HF_CONFIG', `${JSON.stringify(destination)} cannot be the name of a BullMQ queue.`, {
    advice: "Give a name that is not empty and has no ':' and no '#'.",
  });
}

/** Partition 0 has the plain name, so that no message is left in an unread queue when a destination gets more partitions. */
export function queueName(destination: string, partition: number): string {
  return partition === 0 ? destination : `${destination}#${partition}`;
}

export const PLAIN_NAMES: QueueNaming = {
  assertDestination,
  queueName,
  destinationOf: (queue) => (/[#:]/.test(queue) ? null : queue),
};

/**
 * In a Redis Cluster all keys of a queue must be on one node, and different queues may be on different ones: the name of the queue is the
 * hash tag of its keys, which decides that.
 */
export const TAGGED_NAMES: QueueNaming = {
  assertDestination(destination) {
    assertDestination(destination);
    if (!/[{}]/.test(destination)) return;
    throw new HoldfastError('HF_CONFIG', `${JSON.stringify(destination)} cannot be the name of a queue in a cluster.`, {
      advice: "Give a name without '{' and '}', which decide there on which node a key is.",
    });
  },
  queueName: (destination, partition) => `{${queueName(destination, partition)}}`,
  destinationOf: (queue) => /^\{([^{}#:]+)\}$/.exec(queue)?.[1] ?? null,
};

/** BullMQ refuses ids with ':' and takes ids of digits for its own; message ids are UUIDs, so both are theory. */
export function jobId(message: Pick<OutboundMessage, 'id' | 'replayId'>): string {
  const id = message.replayId === null ? message.id : `${message.id}.${message.replayId}`;
  if (/^\d+$/.test(id)) return `id-${id}`;
  return id.includes(':') ? id.replaceAll(':', '%3A') : id;
}

/** A job as the backend stores it. The envelope goes in as text, in what `dataOf` makes of it. */
export function jobEntry(
  message: OutboundMessage,
  data: string,
  options: JobsOptions,
  nowMs: number,
): { job: JobJson; jobId: string } {
  const id = jobId(message);
  const job: JobJson = {
    id,
    name: message.topic,
    data,
    opts: options,
    timestamp: nowMs,
    progress: 0,
    attemptsMade: 0,
    attemptsStarted: 0,
    stalledCounter: 0,
    failedReason: '',
    returnvalue: 'null',
  };
  return { job, jobId: id };
}

/**
 * When a job that is put off is due, in milliseconds since the epoch. BullMQ keeps that time, and whoever asks for jobs compares it with a clock
 * of its own. By the earlier of two clocks it is never late: what a process whose clock is an hour ahead puts off would else lie there for
 * that hour.
 */
export function dueMs(clocks: { readonly ownMs: number; readonly brokerMs: number }, delayMs: number): number {
  return Math.min(clocks.ownMs, clocks.brokerMs) + delayMs;
}
