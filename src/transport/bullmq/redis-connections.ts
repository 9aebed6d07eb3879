/**
 * The connections of BullMQ on Redis: they neither queue commands without bound nor crash the process. Also warns of settings of Redis that
 * lose messages, and repairs jobs that BullMQ cannot read. Loaded with the first publisher or receiver.
 */
import { createRedisBackend, type IQueueBackend } from 'bullmq';
import { Redis, type RedisOptions } from 'ioredis';
import { HoldfastError } from '../../errors.ts';
import type { BullmqConnections, PublisherConnection, ReceiverConnection } from './broker.ts';
import { type BullmqSettings, DEFAULT_PREFIX } from './options.ts';
import { untilRedisReady, usesTls } from './redis-client.ts';
import { end, makeEndable } from './redis-end.ts';
import { silenceGuard } from './redis-silence.ts';

/** The default before; BullMQ's own. */
const FORMER_PREFIX = 'bull';

/** For what ends by itself. */
const FOREVER = new AbortController().signal;

/** The longest a client waits before it tries to connect again, in milliseconds. */
const RECONNECT_CAP_MS = 1000;

export function redisConnections(connection: string | RedisOptions, prefix: string): BullmqConnections {
  return {
    openPublisherConnection: (settings) => publisherConnection(connection, prefix, settings),
    openReceiverConnection: (settings) => receiverConnection(connection, prefix, settings),
  };
}

/** Up to Redis 6 the answer to a script has READONLY in its midst. */
export function isFromReplica(error: Error): boolean {
  return /\bREADONLY\b/.test(error.message);
}

function connect(
  connection: string | RedisOptions,
  settings: BullmqSettings,
  own: Pick<RedisOptions, 'enableOfflineQueue' | 'maxRetriesPerRequest' | 'autoResendUnfulfilledCommands'>,
): Redis {
  const shared = {
    ...(typeof connection === 'string' ? {} : connection),
    connectTimeout: settings.publishTimeoutMs,
    // A client that gives up for good would leave its publisher or worker dead until a restart.
    retryStrategy: (times: number) => Math.min(times * 50, RECONNECT_CAP_MS),
    // After a failover the old primary is a replica: connecting again finds the new one.
    reconnectOnError: isFromReplica,
    // The shapes BullMQ's scripts read.
    replyMapping: 'legacy' as const,
    ...own,
  };
  const client = typeof connection === 'string' ? new Redis(connection, shared) : new Redis(shared);
  // An 'error' event without a listener would end the process. The failure also reaches whoever waits for the command.
  client.on('error', () => {});
  makeEndable(client);
  return client;
}

function publisherConnection(
  connection: string | RedisOptions,
  prefix: string,
  settings: BullmqSettings,
): PublisherConnection {
  let client: Redis | undefined;
  let root: IQueueBackend | undefined;

  async function ready(signal: AbortSignal): Promise<IQueueBackend> {
    client ??= connect(connection, settings, {
      enableOfflineQueue: false,
      maxRetriesPerRequest: 0,
      autoResendUnfulfilledCommands: false,
    });
    if (client.status !== 'ready') await untilRedisReady(client, signal, settings.publishTimeoutMs);
    if (root === undefined) {
      // Made only on a ready client: BullMQ remembers the first failure of a connection for ever.
      root = createRedisBackend('holdfast', { connection: client, prefix, skipVersionCheck: true } as never);
      root.on('error', (error: Error) => settings.onError(error));
      await root.waitUntilReady();
      void warnOfEviction(client, settings);
    }
    return root;
  }

  return {
    ready,
    ping: async () => void (await client?.ping()),
    drop: () => client?.disconnect(true),
    async close() {
      client?.disconnect();
      await root?.close();
    },
  };
}

function receiverConnection(
  connection: string | RedisOptions,
  prefix: string,
  settings: BullmqSettings,
): ReceiverConnection {
  // A worker's commands wait for Redis to come back, however long that takes; BullMQ asks for exactly this.
  const client = connect(connection, settings, { maxRetriesPerRequest: null });
  const clients = [client];
  const guards = [silenceGuard(client)];
  // BullMQ makes each worker's blocking connection as a duplicate of this one. They are kept in hand so that disconnect() reaches them.
  const duplicate = client.duplicate.bind(client);
  client.duplicate = (override) => {
    const copy = duplicate(override);
    copy.on('error', () => {});
    makeEndable(copy);
    clients.push(copy);
    guards.push(silenceGuard(copy));
    return copy;
  };
  client.once('ready', () => void warnOfEviction(client, settings));
  return {
    ready: () => Promise.resolve(),
    async reach() {
      if (client.status !== 'ready') await untilRedisReady(client, FOREVER, settings.publishTimeoutMs);
    },
    ...(usesTls(connection) ? { hint: 'TLS was asked for (rediss://), and a port without it never answers' } : {}),
    seesWorkers: true,
    pipelines: true,
    workerConnection: client,
    prefix,
    factory: createRedisBackend,
    cutSilent: () => guards.forEach((look) => look()),
    repairTakenJobs: (queue) => mendActive(client, `${prefix}:${queue}`),
    async inspectQueue(queue) {
      if (prefix === DEFAULT_PREFIX) await warnOfFormerPrefix(client, queue, settings);
    },
    disconnect: () => clients.forEach(end),
    async close() {
      clients.forEach(end);
    },
  };
}

/** Says so when Redis may throw queued messages away to make room. Never fails: INFO may be forbidden. */
async function warnOfEviction(client: Redis, settings: BullmqSettings): Promise<void> {
  const info = await client.info('memory').catch(() => '');
  const policy = /maxmemory_policy:(\S+)/.exec(info)?.[1];
  if (policy === undefined || policy === 'noeviction') return;
  settings.onError(
    new HoldfastError(
      'HF_CONFIG',
      `Redis has maxmemory-policy ${policy}: when memory is full it silently deletes queued messages.`,
      {
        advice: 'Set maxmemory-policy noeviction.',
      },
    ),
  );
}

/** Messages of ours that wait where the former default had put them; nobody reads them any more. Never fails. */
async function warnOfFormerPrefix(client: Redis, queue: string, settings: BullmqSettings): Promise<void> {
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
async function mendActive(client: Redis, key: string): Promise<void> {
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
