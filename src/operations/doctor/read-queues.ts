/**
 * What lies in the brokers, for status and dashboard: in Redis, where one is known, in those of the transports, and in the database itself.
 */
import type { Database } from '../../postgres/database.ts';
import { missingPackage } from '../../runtime/missing-package.ts';
import { timeLimit } from '../../runtime/time-limit.ts';
import type { FoundQueue, Transport } from '../../transport/port.ts';
import { knownDestinations } from './known-destinations.ts';
import { queuesOnPostgres } from './postgres-queues.ts';

export interface QueuesStatus {
  readonly queues: readonly FoundQueue[];
  /** Why they could not be asked. */
  readonly trouble: string | null;
}

const TIMEOUT_MS = 2_000;

/** Where queues may lie, apart from the database itself. */
export interface QueuePlaces {
  readonly transports: readonly Transport[];
  readonly redisUrls: readonly string[];
  readonly redisPrefix: string | undefined;
}

/** Null where there are no queues to be known of. */
export async function readQueues(database: Database, places: QueuePlaces): Promise<QueuesStatus | null> {
  const { transports, redisUrls, redisPrefix } = places;
  const asked = transports.filter((transport) => transport.queues !== undefined);
  const known = asked.length === 0 ? [] : await knownDestinations(database);
  const [own, ...found] = await Promise.all([
    queuesOnPostgres(database),
    ...redisUrls.map((url) => readRedis(url, redisPrefix)),
    ...asked.map(async (transport) => readTransport(transport, known)),
  ]);
  if (own.length === 0 && found.length === 0) return null;
  return {
    // The server of --redis-url may be that of a transport as well.
    queues: [...withoutTwins(found.flatMap(({ queues }) => queues)), ...own],
    trouble: found.map(({ trouble }) => trouble).find((each) => each !== null) ?? null,
  };
}

function withoutTwins(queues: readonly FoundQueue[]): readonly FoundQueue[] {
  const seen = new Set<string>();
  return queues.filter((queue) => {
    const what = JSON.stringify(queue);
    if (seen.has(what)) return false;
    seen.add(what);
    return true;
  });
}

/** Never rejects: the rest is of use without it. */
async function readTransport(transport: Transport, known: readonly string[]): Promise<QueuesStatus> {
  try {
    const found = await transport.queues?.({ signal: timeLimit(TIMEOUT_MS), known });
    return { queues: found?.queues ?? [], trouble: null };
  } catch (error) {
    return { queues: [], trouble: `${transport.kind}: ${saidBy(error)}` };
  }
}

/** Of both transports that a Redis may carry. Never rejects. */
async function readRedis(url: string, prefix: string | undefined): Promise<QueuesStatus> {
  // Whoever has no Redis need not load what speaks to it.
  const [jobs, streams] = await Promise.allSettled([
    import('../../transport/bullmq/redis-queues.ts').then(({ queuesOnRedis }) =>
      queuesOnRedis(url, { prefix, timeoutMs: TIMEOUT_MS }),
    ),
    import('../../transport/redis-streams/found-queues.ts').then(({ streamsOnRedis }) =>
      streamsOnRedis(url, { timeoutMs: TIMEOUT_MS }),
    ),
  ]);
  const queues = [jobs, streams].flatMap((each) => (each.status === 'fulfilled' ? each.value.queues : []));
  const failed = [jobs, streams].find((each) => each.status === 'rejected');
  if (failed === undefined) return { queues, trouble: null };
  const isMissing = missingPackage(failed.reason, ['bullmq', 'ioredis']) !== undefined;
  return {
    queues,
    trouble: isMissing ? 'its client is not installed: npm install bullmq ioredis' : saidBy(failed.reason),
  };
}

function saidBy(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
