/**
 * The doctor's look at Redis as a broker: whether it answers, forgets by itself, or forgets everything when it restarts; and what stands
 * out about the queues in it.
 */
import { Redis } from 'ioredis';
import { queuesOnRedis } from '../../transport/bullmq/redis-queues.ts';
import { streamsOnRedis } from '../../transport/redis-streams/found-queues.ts';
import { explainRedisError } from '../../transport/redis/redis-client.ts';
import { type RedisPlace, resolveRedisPlace, type SinglePlace } from '../../transport/redis/redis-place.ts';
import { serversOf } from '../../transport/bullmq/redis-servers.ts';
import { redisUrlWithoutSecrets } from '../../transport/redis/redis-url.ts';
import { findingOf } from './doctor-queues.ts';
import type { Check, CheckFinding } from './finding.ts';

const TIMEOUT_MS = 3_000;
/** Remarks on queues that are on their server, which is looked at by itself. */
const SAID_OF_SERVERS: ReadonlySet<string> = new Set(['queue.settings', 'queue.durability']);

export const checkRedis: Check = async (_database, { redisUrls, redisPrefix }) =>
  (
    await Promise.all(
      redisUrls.map(async (url) => {
        const findings = await checkServers(url);
        return findings.some(({ check }) => check === 'redis.reach')
          ? findings
          : [...findings, ...(await checkQueues(url, redisPrefix))];
      }),
    )
  ).flat();

async function checkQueues(url: string, prefix: string | undefined): Promise<readonly CheckFinding[]> {
  try {
    const [jobs, streams] = await Promise.all([
      queuesOnRedis(url, { prefix, timeoutMs: TIMEOUT_MS }),
      streamsOnRedis(url, { timeoutMs: TIMEOUT_MS }),
    ]);
    const findings = [...jobs.queues, ...streams.queues]
      .flatMap(({ state }) => state.remarks.map(findingOf))
      .filter(({ check }) => !SAID_OF_SERVERS.has(check));
    if (!jobs.complete || !streams.complete)
      findings.push({
        level: 'note',
        check: 'queue.search',
        what: `Redis at ${redisUrlWithoutSecrets(url)} holds so much else that not all queues were looked at.`,
        advice: 'Give Holdfast a Redis of its own.',
      });
    return findings;
  } catch (error) {
    return [
      {
        level: 'warn',
        check: 'queue.look',
        what: `The queues on Redis at ${redisUrlWithoutSecrets(url)} cannot be looked at: ${error instanceof Error ? error.message : String(error)}`,
        advice: 'docs/transports.md lists the rights that the role needs.',
      },
    ];
  }
}

/** Of one server, or of each master of a cluster. */
async function checkServers(url: string): Promise<readonly CheckFinding[]> {
  const where = redisUrlWithoutSecrets(url);
  let place: RedisPlace | undefined;
  try {
    place = resolveRedisPlace(url, 'doctor');
    const { tls } = place;
    const servers = await serversOf(place, TIMEOUT_MS);
    const findings = servers.map((server) => checkOne(server.place, server.name ?? where, tls));
    return (await Promise.all(findings)).flat();
  } catch (error) {
    return [unreachable(where, error as Error, place?.tls ?? false)];
  }
}

async function checkOne(
  { url, options }: Pick<SinglePlace, 'url' | 'options'>,
  where: string,
  tls: boolean,
): Promise<readonly CheckFinding[]> {
  const shared = {
    ...options,
    lazyConnect: true,
    connectTimeout: TIMEOUT_MS,
    commandTimeout: TIMEOUT_MS,
    sentinelCommandTimeout: TIMEOUT_MS,
    sentinelRetryStrategy: () => null,
    retryStrategy: () => null,
    maxRetriesPerRequest: 0,
    replyMapping: 'legacy' as const,
  };
  const client = url === undefined ? new Redis(shared) : new Redis(url, shared);
  let failure: Error | undefined;
  client.on('error', (error: Error) => void (failure = error));
  try {
    await client.connect();
    const info = `${await client.info('memory')}\n${await client.info('persistence')}`;
    // Some services forbid CONFIG; what INFO says is enough to go by then.
    const save = await client.call('CONFIG', 'GET', 'save').then(configValue, () => null);
    return judgeRedis(where, parseInfo(info), save);
  } catch (error) {
    // What connect rejects with says no more than that the connection is closed.
    return [unreachable(where, failure ?? (error instanceof Error ? error : new Error(String(error))), tls)];
  } finally {
    client.disconnect();
  }
}

function unreachable(where: string, cause: Error, tls: boolean): CheckFinding {
  return {
    level: 'error',
    check: 'redis.reach',
    what: `Redis at ${where} does not answer: ${explainRedisError(cause, tls).message}`,
    advice: 'Check that it runs and that host, port and password are right. Until then messages wait in the outbox.',
  };
}

/** `save` is the setting of that name; null when it may not be read. Pure. */
export function judgeRedis(
  where: string,
  info: ReadonlyMap<string, string>,
  save: string | null,
): readonly CheckFinding[] {
  const findings: CheckFinding[] = [];
  const policy = info.get('maxmemory_policy') ?? 'noeviction';
  if (policy !== 'noeviction') {
    findings.push({
      level: 'error',
      check: 'redis.eviction',
      what: `Redis at ${where} evicts keys when it is full (maxmemory-policy ${policy}): messages can vanish from its queues.`,
      advice:
        'CONFIG SET maxmemory-policy noeviction, and in redis.conf. A full Redis then refuses writes, and the relay waits.',
      repair: 'redis-cli CONFIG SET maxmemory-policy noeviction',
    });
  }
  const appendOnly = info.get('aof_enabled') === '1';
  if (!appendOnly) {
    const without = save === '';
    findings.push({
      level: without ? 'warn' : 'note',
      check: 'redis.persistence',
      what: without
        ? `Redis at ${where} keeps nothing on disk: a restart loses what is in its queues.`
        : `Redis at ${where} writes snapshots only: a crash loses what came after the last one.`,
      advice: 'Turn on appendonly, or know the way back: holdfast outbox replay --since TIME.',
      repair: 'redis-cli CONFIG SET appendonly yes',
    });
  }
  const [used, most] = [Number(info.get('used_memory') ?? 0), Number(info.get('maxmemory') ?? 0)];
  if (most > 0 && used > most * 0.9) {
    findings.push({
      level: 'warn',
      check: 'redis.memory',
      what: `Redis at ${where} uses ${Math.round((used / most) * 100)} % of its memory limit.`,
      advice: 'Raise maxmemory or see why consumers are behind; when it is full, it refuses messages.',
    });
  }
  return findings;
}

export function parseInfo(text: string): ReadonlyMap<string, string> {
  const lines = text.split(/\r?\n/).filter((line) => line.includes(':'));
  return new Map(lines.map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1)]));
}

function configValue(answer: unknown): string | null {
  // RESP2 answers a list, RESP3 a map.
  if (Array.isArray(answer)) return typeof answer[1] === 'string' ? answer[1] : null;
  if (answer instanceof Map) return String(answer.get('save') ?? '');
  if (typeof answer === 'object' && answer !== null && 'save' in answer) return String(answer.save);
  return null;
}
