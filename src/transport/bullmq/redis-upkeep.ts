/**
 * What is looked at on a server of Redis when it is used for the first time, and what is mended there: settings that lose messages, a
 * cluster that was taken for a single server, messages under a former prefix, jobs that BullMQ cannot read.
 */
import type { Redis } from 'ioredis';
import { HoldfastError } from '../../errors.ts';
import { hasHashTag } from './cluster-slots.ts';
import type { BullmqSettings } from './options.ts';
import { unknownCluster } from '../redis/redis-client.ts';
import { evictionWarning, isClusterNode } from '../redis/redis-info.ts';
import type { RedisPlace } from '../redis/redis-place.ts';

/** The default before; BullMQ's own. */
const FORMER_PREFIX = 'bull';

/**
 * Says so when Redis may throw queued messages away to make room. INFO may be forbidden: then nothing is known.
 *
 * @throws HoldfastError HF_CONFIG when it is a node of a cluster, and was not given as one
 */
export async function inspectServer(
  client: Redis,
  { place, prefix, onError }: { readonly place: RedisPlace; readonly prefix: string } & Pick<BullmqSettings, 'onError'>,
): Promise<void> {
  const info = await client.info().catch((error: unknown) => {
    if (!(error instanceof Error) || error.name !== 'ReplyError') throw error;
    return '';
  });
  const warning = evictionWarning(info, 'queued messages');
  if (warning !== undefined) onError(new HoldfastError('HF_CONFIG', warning.what, { advice: warning.advice }));
  // With a hash tag in the prefix everything is in one slot, which this node may have.
  if (place.kind === 'single' && !hasHashTag(prefix) && isClusterNode(info)) throw unknownCluster();
}

/** Messages of ours that wait where the former default had put them; nobody reads them any more. Never fails. */
export async function warnOfFormerPrefix(
  client: Redis,
  queue: string,
  settings: Pick<BullmqSettings, 'onError'>,
): Promise<void> {
  const key = `${FORMER_PREFIX}:${queue}`;
  const look = async (): Promise<number> => {
    const [waiting, active, delayed] = await Promise.all([
      client.lrange(`${key}:wait`, 0, 0),
      client.lrange(`${key}:active`, 0, 0),
      client.zrange(`${key}:delayed`, '0', '0'),
    ]);
    const datas = await Promise.all(
      [...waiting, ...active, ...delayed].map((id) => client.hget(`${key}:${id}`, 'data')),
    );
    // The queue of that name may be somebody else's.
    if (!datas.some((data) => data?.includes('"specversion"') === true)) return 0;
    const counts = await Promise.all([
      client.llen(`${key}:wait`),
      client.llen(`${key}:active`),
      client.zcard(`${key}:delayed`),
    ]);
    return counts.reduce((sum, count) => sum + count, 0);
  };
  const left = await look().catch(() => 0);
  if (left === 0) return;
  settings.onError(
    new HoldfastError(
      'HF_CONFIG',
      `${left} messages of ${queue} lie under the prefix '${FORMER_PREFIX}', which was the default before, and nobody reads them here.`,
      {
        advice: `Run with prefix: '${FORMER_PREFIX}' until they are handled (docs/transports.md says how), then without.`,
        details: { queue, left },
      },
    ),
  );
}

/** Jobs that are taken at one time, over all consumers of a queue; more are looked at the next time. */
const MOST_ACTIVE = 1000;
/** Further fields that BullMQ parses, and the value to use when one cannot be parsed. */
const PARSED = { opts: '{}', progress: '0', parent: '' } as const;

/** BullMQ reads these before it hands a job out. The job itself comes back once its claim has run out. Never fails. */
export async function mendActive(client: Redis, key: string): Promise<void> {
  const fields = Object.keys(PARSED) as (keyof typeof PARSED)[];
  const mend = async (id: string): Promise<void> => {
    const values = await client.hmget(`${key}:${id}`, ...fields);
    const broken = fields.filter((_, index) => !isJsonOrNothing(values[index] ?? null));
    if (broken.length > 0) await client.hset(`${key}:${id}`, ...broken.flatMap((field) => [field, PARSED[field]]));
  };
  try {
    const ids = await client.lrange(`${key}:active`, 0, MOST_ACTIVE - 1);
    await Promise.all(ids.map(mend));
  } catch {
    // Tried again with the next error.
  }
}

function isJsonOrNothing(text: string | null): boolean {
  if (text === null || text === '') return true;
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** What its clock shows, in milliseconds since the epoch. */
export async function serverTimeMs(client: Redis): Promise<number> {
  const [seconds, microseconds] = await client.time();
  return Number(seconds) * 1_000 + Math.floor(Number(microseconds) / 1_000);
}
