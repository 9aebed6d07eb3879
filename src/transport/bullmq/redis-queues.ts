/**
 * Finds all queues of Holdfast on a Redis, with their state: for `holdfast doctor` and `holdfast status`, which are given no destinations.
 */
import type { Redis } from 'ioredis';
import { HoldfastError } from '../../errors.ts';
import { layoutOf } from './partition-layout.ts';
import { readQueueState } from './queue-state.ts';
import { DEFAULT_PREFIX } from './options.ts';
import { timeLimit } from '../../runtime/time-limit.ts';
import type { FoundQueue, FoundQueues } from '../port.ts';
import { settledOrAborted } from '../shared.ts';
import { hasHashTag } from './cluster-slots.ts';
import { PLAIN_NAMES, type QueueNaming, TAGGED_NAMES } from './jobs.ts';
import type { QueueAccess } from './queue-access.ts';
import { type RedisPlace, resolveRedisPlace } from '../redis/redis-place.ts';
import { clientListsOf, RedisServers } from './redis-servers.ts';

export interface QueuesOptions {
  /** Default 'holdfast'. */
  readonly prefix?: string | undefined;
  readonly timeoutMs: number;
}

/** An answer that takes longer is none. */
const LONGEST_MS = 10_000;

/** The same as a duty of the port: rejects with HF_TRANSPORT_UNAVAILABLE. */
export async function queuesOf(
  place: RedisPlace,
  { prefix, signal }: { readonly prefix: string; readonly signal: AbortSignal },
): Promise<FoundQueues> {
  try {
    return await settledOrAborted(queuesAt(place, { prefix, timeoutMs: LONGEST_MS }), signal);
  } catch (cause) {
    const said = cause instanceof Error ? cause.message : String(cause);
    throw new HoldfastError('HF_TRANSPORT_UNAVAILABLE', `The queues on Redis cannot be looked at: ${said}`, { cause });
  }
}

/** More are not of use to anybody who reads. */
const MOST = 500;

/** Rejects when Redis cannot be reached, or may not be asked, or does not answer in time. */
export async function queuesOnRedis(url: string, options: QueuesOptions): Promise<FoundQueues> {
  return queuesAt(resolveRedisPlace(url, 'the Redis URL'), options);
}

async function queuesAt(
  place: RedisPlace,
  { prefix = DEFAULT_PREFIX, timeoutMs }: QueuesOptions,
): Promise<FoundQueues> {
  const tagged = place.kind === 'cluster' && !hasHashTag(prefix);
  const naming = tagged ? TAGGED_NAMES : PLAIN_NAMES;
  const servers = new RedisServers({ place, prefix, timeoutMs, onError: () => {} });
  const signal = timeLimit(2 * timeoutMs);
  try {
    return await settledOrAborted(
      look(servers, { prefix, naming, untilMs: performance.now() + timeoutMs, signal }),
      signal,
    );
  } finally {
    servers.close();
  }
}

interface Look {
  readonly prefix: string;
  readonly naming: QueueNaming;
  /** Monotonic: the search ends then. */
  readonly untilMs: number;
  readonly signal: AbortSignal;
}

async function look(servers: RedisServers, { prefix, naming, untilMs, signal }: Look): Promise<FoundQueues> {
  const clients = await servers.all(signal);
  const searches = await Promise.all(clients.map((client) => findQueues(client, { prefix, naming, untilMs })));
  const names = [...new Set(searches.flatMap((search) => search.names))].toSorted();
  const access: QueueAccess = {
    async partition(destination, index) {
      const name = naming.queueName(destination, index);
      return (await servers.backend(name, signal)).forQueue(name);
    },
    clientLists: () => clientListsOf(clients),
  };
  const queues: FoundQueue[] = [];
  for (const destination of names.slice(0, MOST)) {
    const base = await access.partition(destination, 0);
    const { partitions } = layoutOf(await base.getQueueMeta());
    // Without it the queue is not Holdfast's.
    if (partitions === null) continue;
    queues.push({ destination, state: await readQueueState(access, destination, { partitions, owner: null }) });
  }
  return { queues, complete: names.length <= MOST && searches.every(({ complete }) => complete) };
}

/** The destinations whose first queue is on one server. */
async function findQueues(
  client: Redis,
  { prefix, naming, untilMs }: Pick<Look, 'prefix' | 'naming' | 'untilMs'>,
): Promise<{ readonly names: readonly string[]; readonly complete: boolean }> {
  const names = new Set<string>();
  const literal = prefix.replaceAll(/[\\*?[\]]/g, '\\$&');
  let cursor = '0';
  do {
    // oxlint-disable-next-line no-await-in-loop
    const [next, keys] = await client.scan(cursor, 'MATCH', `${literal}:*:meta`, 'COUNT', 1000);
    for (const key of keys) {
      const destination = naming.destinationOf(key.slice(prefix.length + 1, -':meta'.length));
      if (destination !== null) names.add(destination);
    }
    cursor = next;
  } while (cursor !== '0' && names.size < MOST && performance.now() < untilMs);
  return { names: [...names], complete: cursor === '0' };
}
