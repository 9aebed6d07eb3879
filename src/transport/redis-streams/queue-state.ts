/**
 * How a destination stands in Redis, and what people should know about it.
 */
import { setMaxListeners } from 'node:events';
import type { QueueRemark, QueueState } from '../port.ts';
import type { StreamsConnection } from './connection.ts';
import { CONSUMER, destinationKeys, GROUP, type PartitionKeys, partitionKeys } from './keys.ts';

/** Receivers and owners tell every few seconds that they live; one that was silent for this long has moved on. */
const FRESH_MS = 60_000;
const OWNER = 'owner:';

/** Of one partition. */
export interface PartitionFacts {
  readonly length: number;
  readonly pending: number;
  readonly delayed: number;
  /** Consumers of our group that are not Holdfast's and have asked for messages lately. */
  readonly foreign: readonly string[];
  /** Further consumer groups of the stream. */
  readonly groups: readonly string[];
}

export interface StreamFacts {
  readonly destination: string;
  readonly meta: Readonly<Record<string, string>>;
  readonly partitions: readonly PartitionFacts[];
  readonly readers: number;
  /** The database that asks, where replies are taken for one. */
  readonly owner: string | null;
  readonly nowMs: number;
}

/** Pure. */
export function assessRedisStream({ destination, meta, partitions, readers, owner, nowMs }: StreamFacts): QueueState {
  const sum = (of: (facts: PartitionFacts) => number): number =>
    partitions.reduce((total, each) => total + of(each), 0);
  const waiting = sum(({ length, pending, delayed }) => Math.max(0, length - pending - delayed));
  const delayed = sum((facts) => facts.delayed);
  const foreign = new Set(partitions.flatMap((facts) => facts.foreign));
  const groups = new Set(partitions.flatMap((facts) => facts.groups));
  const owners = Object.entries(meta)
    .filter(([field, seenAt]) => field.startsWith(OWNER) && nowMs - Number(seenAt) < FRESH_MS)
    .map(([field]) => field.slice(OWNER.length));
  const remarks: QueueRemark[] = [];
  if (foreign.size > 0)
    remarks.push({
      check: 'queue.foreign',
      what: `${foreign.size} consumers that are not Holdfast's are in the group of ${destination} and take messages from it: ${listed(foreign)}.`,
      advice: 'Stop them, or give them a group and a stream of their own.',
    });
  if (groups.size > 0)
    remarks.push({
      check: 'queue.foreign',
      what: `Other consumer groups read the streams of ${destination}: ${listed(groups)}. What is done is deleted, also when they have not read it.`,
      advice: 'Let the relay publish to a destination for each that is to have all messages.',
    });
  if (owners.some((other) => other !== (owner ?? owners[0])))
    remarks.push({
      check: 'queue.shared',
      what: `Workers of another database take replies from ${destination} as well.`,
      advice: 'Give the sagas of each database a reply queue and a reply topic of their own.',
    });
  if (readers === 0 && waiting + delayed > 0)
    remarks.push({
      check: 'queue.unread',
      what: `${waiting + delayed} messages wait in ${destination}, and no consumer has been heard of.`,
      advice: 'Start the consumer; see that it has the same destination, prefix and Redis as the relay.',
    });
  return {
    waiting,
    active: sum(({ pending }) => pending),
    delayed,
    failed: 0,
    paused: false,
    consumers: readers,
    foreign: foreign.size,
    remarks,
  };
}

function listed(names: ReadonlySet<string>): string {
  const [first = '', second, third, ...more] = [...names].toSorted();
  return [first, second, third, more.length === 0 ? undefined : `${more.length} more`]
    .filter((name) => name !== undefined)
    .join(', ');
}

export interface StateOptions {
  readonly connection: StreamsConnection;
  readonly prefix: string;
  readonly destination: string;
  /** Partitions that are read or published to by whoever asks; there may be more. */
  readonly partitions: number;
  readonly owner: string | null;
  readonly signal: AbortSignal;
}

export async function readStreamState(options: StateOptions): Promise<QueueState> {
  const { connection, prefix, destination, owner } = options;
  // One of our own: each partition is asked several things at once, and each of them listens to it.
  const signal = AbortSignal.any([options.signal]);
  setMaxListeners(0, signal);
  const keys = destinationKeys(prefix, destination);
  const nowMs = Date.now();
  const [meta, readers] = await Promise.all([
    connection.ask((client) => client.hgetall(keys.meta), signal),
    connection.ask((client) => client.zcount(keys.readers, nowMs - FRESH_MS, '+inf'), signal),
  ]);
  const most = Math.max(options.partitions, Number(meta['widest'] ?? 0));
  const partitions = await Promise.all(
    Array.from({ length: most }, (_, index) =>
      readPartition(connection, partitionKeys(prefix, destination, index), signal),
    ),
  );
  return assessRedisStream({ destination, meta, partitions, readers, owner, nowMs });
}

async function readPartition(
  connection: StreamsConnection,
  keys: PartitionKeys,
  signal: AbortSignal,
): Promise<PartitionFacts> {
  const [length, delayed, groups] = await Promise.all([
    connection.ask((client) => client.xlen(keys.stream), signal),
    connection.ask((client) => client.zcard(keys.delayed), signal),
    unlessMissing(connection.ask((client) => client.xinfo('GROUPS', keys.stream), signal)),
  ]);
  const found = groups.map(recordOf);
  const own = found.find(({ name }) => name === GROUP);
  const consumers =
    own === undefined
      ? []
      : await unlessMissing(connection.ask((client) => client.xinfo('CONSUMERS', keys.stream, GROUP), signal));
  const foreign = consumers
    .map(recordOf)
    .filter(({ name, idle }) => !String(name).startsWith(CONSUMER) && Number(idle) < FRESH_MS)
    .map(({ name }) => String(name));
  const others = found.map(({ name }) => String(name)).filter((name) => name !== GROUP);
  return { length, delayed, pending: Number(own?.['pending'] ?? 0), foreign, groups: others };
}

/** Names and values in turns, as a record. */
function recordOf(row: unknown): Readonly<Record<string, unknown>> {
  const list = Array.isArray(row) ? (row as readonly unknown[]) : [];
  return Object.fromEntries(
    Array.from({ length: Math.floor(list.length / 2) }, (_, i) => [String(list[2 * i]), list[2 * i + 1]]),
  );
}

/** Nobody has published or read yet. */
async function unlessMissing(rows: Promise<unknown>): Promise<readonly unknown[]> {
  try {
    return (await rows) as readonly unknown[];
  } catch (error) {
    if (error instanceof Error && /no such key|NOGROUP/i.test(error.message)) return [];
    throw error;
  }
}
