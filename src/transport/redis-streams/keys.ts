/**
 * What the keys in Redis are called. Processes of different versions must agree on this. Pure.
 *
 * Whatever a partition has lies under one hash tag, so that a script of a cluster may touch all of it; and so does what is said of a
 * destination as a whole.
 */
import { HoldfastError } from '../../errors.ts';

/** Apart from BullMQ's: a destination may be moved from one to the other while both hold messages. */
export const DEFAULT_STREAMS_PREFIX = 'holdfast-streams';
/** The consumer group of each stream. */
export const GROUP = 'holdfast';
/** How the names of our consumers in the group begin. */
export const CONSUMER = 'hf-';

export interface PartitionKeys {
  /** The messages that are not done, as a stream. */
  readonly stream: string;
  /** Ids of those that are to be handed out again, by the time from which on, as a sorted set. */
  readonly delayed: string;
  /** Which receiver alone hands out an ordered partition; expires. */
  readonly owner: string;
  /** By which layout publishers may add to it. */
  readonly layout: string;
}

export interface DestinationKeys {
  /** What is agreed on for all partitions, as a hash. */
  readonly meta: string;
  /** Receivers by when they were last heard of, as a sorted set. */
  readonly readers: string;
}

/** @throws HoldfastError HF_CONFIG for a name that would not fit into a hash tag */
export function assertStreamName(destination: string): void {
  if (destination !== '' && !/[{}#]/.test(destination)) return;
  throw new HoldfastError('HF_CONFIG', `${JSON.stringify(destination)} cannot be the name of a stream.`, {
    advice: "Give a name that is not empty and has no '{', '}' and '#'.",
  });
}

export function partitionKeys(prefix: string, destination: string, partition: number): PartitionKeys {
  const stream = `${prefix}:{${destination}#${partition}}`;
  return { stream, delayed: `${stream}:delayed`, owner: `${stream}:owner`, layout: `${stream}:layout` };
}

export function destinationKeys(prefix: string, destination: string): DestinationKeys {
  const base = `${prefix}:{${destination}}`;
  return { meta: `${base}:meta`, readers: `${base}:readers` };
}

/** A set of the names of all destinations. */
export function indexKey(prefix: string): string {
  return `${prefix}:destinations`;
}
