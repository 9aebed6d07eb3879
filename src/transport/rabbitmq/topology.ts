/**
 * How messages are stored in RabbitMQ: names and arguments of queues. Processes of different versions must agree on this, and a queue that
 * exists keeps the arguments it was made with. Pure.
 */
import { HoldfastError } from '../../errors.ts';

/** RabbitMQ has names of at most so many bytes. */
const LONGEST_NAME = 255;
/** What is appended to the name of a destination at most: `#1023`, or `:later:3600000`. */
const LONGEST_SUFFIX = 20;

/**
 * A quorum queue with a delivery limit puts what comes back to the front, and without one to the end; what is over the limit is dropped. So
 * there is one, which is never reached. It also stands in the place of the limit of 20 that RabbitMQ 4 has by default.
 */
const UNREACHED_DELIVERIES = 2_000_000_000;

/** By how long messages can be delayed in the broker, in milliseconds: one queue each, made with its first message. */
export const DELAY_STEPS_MS = [100, 500, 1_000, 5_000, 30_000, 300_000, 3_600_000] as const;

export type QueueArguments = Readonly<Record<string, string | number | boolean>>;

/** A queue as it is declared. All are durable. */
export interface DeclaredQueue {
  readonly name: string;
  readonly arguments: QueueArguments;
}

/** @throws HoldfastError HF_CONFIG when no queue can have this name */
export function assertQueueName(destination: string, prefix: string): void {
  const bytes = Buffer.byteLength(prefix) + Buffer.byteLength(destination) + LONGEST_SUFFIX;
  const reserved = `${prefix}${destination}`.startsWith('amq.');
  if (destination !== '' && !/[:#]/.test(destination) && bytes <= LONGEST_NAME && !reserved) return;
  throw new HoldfastError('HF_CONFIG', `${JSON.stringify(destination)} cannot be the name of a RabbitMQ queue.`, {
    advice: `Give a name of 1 to ${LONGEST_NAME - LONGEST_SUFFIX} bytes with the prefix, without ':' and '#', that does not begin with 'amq.'.`,
  });
}

/** Partition 0 has the plain name, so that no message is left in an unread queue when a destination gets more partitions. */
export function partitionQueue(prefix: string, destination: string, partition: number): string {
  return partition === 0 ? `${prefix}${destination}` : `${prefix}${destination}#${partition}`;
}

/** One that holds messages until they are consumed. */
export function mainQueue(name: string, ordered: boolean): DeclaredQueue {
  return {
    name,
    arguments: {
      ...COMMON,
      'x-delivery-limit': UNREACHED_DELIVERIES,
      // One consumer at a time, over all processes; the next one takes over only when what the former had is back.
      ...(ordered ? { 'x-single-active-consumer': true } : {}),
    },
  };
}

/**
 * One that holds messages for `delayMs` and hands them on to the queue `to`. At least once: the other way of RabbitMQ to hand on loses what is
 * on its way when a node dies.
 */
export function delayQueue(to: string, delayMs: number): DeclaredQueue {
  return {
    name: `${to}:later:${delayMs}`,
    arguments: {
      ...COMMON,
      'x-message-ttl': delayMs,
      'x-dead-letter-exchange': '',
      'x-dead-letter-routing-key': to,
      'x-dead-letter-strategy': 'at-least-once',
    },
  };
}

/** A queue that is full (by a policy) refuses what is published, where it would otherwise drop its oldest messages. */
const COMMON: QueueArguments = { 'x-queue-type': 'quorum', 'x-overflow': 'reject-publish' };

/** The step for a delay, and what is left to wait after it. Steps are rounded up, since nothing may come too early. */
export function delayStep(delayMs: number): { readonly stepMs: number; readonly restMs: number } {
  const longest = DELAY_STEPS_MS[DELAY_STEPS_MS.length - 1] ?? 0;
  const stepMs = DELAY_STEPS_MS.find((step) => step >= delayMs) ?? longest;
  return { stepMs, restMs: Math.max(0, delayMs - stepMs) };
}
