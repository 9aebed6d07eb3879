/**
 * Finds all queues of Holdfast on a Redis, with their state: for `holdfast doctor` and `holdfast status`, which are given no destinations.
 */
import { createRedisBackend } from 'bullmq';
import { Redis, type RedisOptions } from 'ioredis';
import { HoldfastError } from '../../errors.ts';
import { layoutOf } from './partition-layout.ts';
import { readQueueState } from './queue-state.ts';
import { DEFAULT_PREFIX } from './options.ts';
import type { FoundQueue, FoundQueues } from '../port.ts';
import { settledOrAborted } from '../shared.ts';
import { untilRedisReady } from './redis-client.ts';

export interface QueuesOptions {
  /** Default 'holdfast'. */
  readonly prefix?: string | undefined;
  readonly timeoutMs: number;
}

/** An answer that takes longer is none. */
const LONGEST_MS = 10_000;

/** The same as a duty of the port: rejects with HF_TRANSPORT_UNAVAILABLE. */
export async function queuesOf(
  connection: string | RedisOptions,
  { prefix, signal }: { readonly prefix: string; readonly signal: AbortSignal },
): Promise<FoundQueues> {
  try {
    return await settledOrAborted(queuesOnRedis(connection, { prefix, timeoutMs: LONGEST_MS }), signal);
  } catch (cause) {
    const said = cause instanceof Error ? cause.message : String(cause);
    throw new HoldfastError('HF_TRANSPORT_UNAVAILABLE', `The queues on Redis cannot be looked at: ${said}`, { cause });
  }
}

/** More are not of use to anybody who reads. */
const MOST = 500;

/** Rejects when Redis cannot be reached, or may not be asked, or does not answer in time. */
export async function queuesOnRedis(
  connection: string | RedisOptions,
  { prefix = DEFAULT_PREFIX, timeoutMs }: QueuesOptions,
): Promise<FoundQueues> {
  const settings = {
    ...(typeof connection === 'string' ? {} : connection),
    connectTimeout: timeoutMs,
    commandTimeout: timeoutMs,
    retryStrategy: () => null,
    maxRetriesPerRequest: 0,
    enableOfflineQueue: false,
    replyMapping: 'legacy' as const,
  };
  const client = typeof connection === 'string' ? new Redis(connection, settings) : new Redis(settings);
  client.on('error', () => {});
  try {
    await untilRedisReady(client, new AbortController().signal, timeoutMs);
    const { names, complete } = await findQueues(client, prefix, performance.now() + timeoutMs);
    const root = createRedisBackend('holdfast', { connection: client, prefix, skipVersionCheck: true } as never);
    root.on('error', () => {});
    await root.waitUntilReady();
    const queues: FoundQueue[] = [];
    for (const destination of names) {
      const base = root.forQueue(destination);
      const partitions = layoutOf(await base.getQueueMeta()).partitions;
      // Without it the queue is not Holdfast's.
      if (partitions === null) continue;
      const state = await readQueueState(base, destination, { partitions, owner: null, seesWorkers: true });
      queues.push({ destination, state });
    }
    await root.close();
    return { queues, complete };
  } finally {
    client.disconnect();
  }
}

async function findQueues(
  client: Redis,
  prefix: string,
  untilMs: number,
): Promise<{ names: string[]; complete: boolean }> {
  const names = new Set<string>();
  const literal = prefix.replaceAll(/[\\*?[\]]/g, '\\$&');
  let cursor = '0';
  do {
    // oxlint-disable-next-line no-await-in-loop
    const [next, keys] = await client.scan(cursor, 'MATCH', `${literal}:*:meta`, 'COUNT', 1000);
    for (const key of keys) {
      const name = key.slice(prefix.length + 1, -':meta'.length);
      // Partitions but the first are counted with it.
      if (!name.includes('#') && !name.includes(':')) names.add(name);
    }
    cursor = next;
  } while (cursor !== '0' && names.size < MOST && performance.now() < untilMs);
  return { names: [...names].toSorted().slice(0, MOST), complete: cursor === '0' };
}
