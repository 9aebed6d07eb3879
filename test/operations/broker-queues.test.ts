/**
 * What doctor and status tell of the queues in Redis, without being told which there are.
 */
import { Queue, Worker } from 'bullmq';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { doctor } from '../../src/operations/doctor/doctor.ts';
import { readQueues } from '../../src/operations/doctor/read-queues.ts';
import { checkTransports } from '../../src/operations/doctor/doctor-queues.ts';
import { checkRedis } from '../../src/operations/doctor/doctor-redis.ts';
import { settleDoctorOptions, type Finding, type CheckFinding } from '../../src/operations/doctor/finding.ts';
import { openDatabase, type Database } from '../../src/postgres/database.ts';
import { queuesOnPostgres } from '../../src/operations/doctor/postgres-queues.ts';
import { createBullmqPostgresTransport } from '../../src/transport/bullmq/postgres-transport.ts';
import { queuesOnRedis } from '../../src/transport/bullmq/redis-queues.ts';
import { createBullmqTransport } from '../../src/transport/bullmq/redis-transport.ts';
import { explainRedisError } from '../../src/transport/redis/redis-client.ts';
import { createMemoryTransport } from '../../src/transport/memory.ts';
import { streamsOnRedis } from '../../src/transport/redis-streams/found-queues.ts';
import { createRedisStreamsTransport } from '../../src/transport/redis-streams/redis-streams-transport.ts';
import type { Transport } from '../../src/transport/port.ts';
import { holdfast } from '../cli/process.ts';
import { NEVER, outbound, recorder } from '../../src/testing/transport/kit.ts';
import { createTestDatabase, type RedisServer, startRedis } from '../support/servers.ts';

let server: RedisServer;
let admin: Redis;
beforeAll(async () => {
  server = await startRedis();
  admin = new Redis(server.url);
});
beforeEach(async () => void (await admin.flushall()));
afterAll(async () => {
  admin.disconnect();
  await server.dispose();
});

/** Nothing of it asks the database. */
const check = async (url: string, more: object = {}): Promise<readonly CheckFinding[]> =>
  checkRedis(null as unknown as Database, { ...settleDoctorOptions({ redisUrls: [url] }), ...more });
const ofQueues = (findings: readonly Pick<Finding, 'level' | 'check'>[]): readonly string[] =>
  findings.filter((finding) => finding.check.startsWith('queue.')).map(({ level, check: name }) => `${level} ${name}`);

async function publish(destination: string, prefix?: string): Promise<void> {
  const transport = createBullmqTransport({
    connection: server.url,
    queues: { [destination]: { partitions: 2 } },
    ...(prefix === undefined ? {} : { prefix }),
  });
  onTestFinished(() => transport.close());
  const batch = [1, 2, 3, 4].map((n) => outbound(destination, n, { key: `k${n}` }));
  await transport.publisher().publish(batch, { signal: NEVER });
}

describe('the doctor', () => {
  it('finds queues that nobody reads, with all their partitions, and none that are not ours', async () => {
    await publish('orders');
    const foreign = new Queue('foreign', { connection: { url: server.url }, prefix: 'holdfast' });
    onTestFinished(() => foreign.close());
    await foreign.add('x', {});
    const findings = await check(server.url);
    expect(ofQueues(findings)).toEqual(['warn queue.unread']);
    expect(findings.find((finding) => finding.check === 'queue.unread')?.what).toMatch(
      /^4 messages wait in the queue orders/,
    );
  });

  it('finds a pause, strangers, and queues under a prefix of its own', async () => {
    await publish('orders', 'mine');
    const options = { connection: { url: server.url, maxRetriesPerRequest: null }, prefix: 'mine' };
    const queue = new Queue('orders', options);
    await queue.pause();
    const plain = new Worker('orders', () => new Promise(() => {}), options);
    await plain.waitUntilReady();
    onTestFinished(async () => {
      await plain.close(true);
      await queue.close();
    });
    expect(ofQueues(await check(server.url))).toEqual([]);
    const found = async (): Promise<readonly string[]> => ofQueues(await check(server.url, { redisPrefix: 'mine' }));
    await expect.poll(found).toEqual(['warn queue.paused', 'error queue.foreign']);
  });

  it('is content with a queue that is read', async () => {
    await publish('orders');
    const transport = createBullmqTransport({ connection: server.url });
    const got = recorder();
    await transport.receiver('orders', got.handle, { concurrency: 2, ordered: false }).start();
    await got.until((seen) => seen.length === 4);
    onTestFinished(() => transport.close());
    expect(ofQueues(await check(server.url))).toEqual([]);
    expect((await queuesOnRedis(server.url, { timeoutMs: 10_000 })).queues).toMatchObject([
      { destination: 'orders', state: { waiting: 0, foreign: 0 } },
    ]);
  });

  it('says when it may not look, and when there is too much to look at', async () => {
    await publish('orders');
    await admin.acl('SETUSER', 'narrow', 'on', '>x', '~*', '+@all', '-scan');
    const narrow = Object.assign(new URL(server.url), { username: 'narrow', password: 'x' }).href;
    expect(ofQueues(await check(narrow))).toEqual(['warn queue.look']);
    expect(ofQueues(await check(server.url))).toEqual(['warn queue.unread']);
    const many = admin.pipeline();
    for (let n = 0; n < 3_000; n += 1) many.hset(`holdfast:q${n}:meta`, 'x', '1');
    await many.exec();
    expect(ofQueues(await check(server.url))).toContain('note queue.search');
  });

  it('says that a port does not speak TLS', async () => {
    const findings = await check(server.url.replace('redis:', 'rediss:'));
    expect(findings).toMatchObject([{ check: 'redis.reach', what: expect.stringContaining('TLS') as string }]);
  });
});

it('a publisher says so, too', async () => {
  const transport = createBullmqTransport({ connection: server.url.replace('redis:', 'rediss:'), publishTimeout: 500 });
  onTestFinished(() => transport.close());
  await expect(transport.publisher().check({ signal: NEVER })).rejects.toMatchObject({
    code: 'HF_TRANSPORT_UNAVAILABLE',
    message: expect.stringContaining('TLS') as string,
  });
});

it.each([
  ['connect ETIMEDOUT', true, /does this port speak it/],
  ['write EPROTO … wrong version number', true, /does this port speak it/],
  ['read ECONNRESET', false, /does this port want TLS/],
  ['connect ECONNREFUSED 127.0.0.1:1', true, /^connect ECONNREFUSED 127.0.0.1:1$/],
  ['WRONGPASS invalid username-password pair', false, /^WRONGPASS/],
])('%s, TLS %s', (message, tls, expected) => {
  expect(explainRedisError(new Error(message), tls).message).toMatch(expected);
});

it('queues in the database itself are shown and looked at as well, and where there are none nothing is said', async () => {
  const test = await createTestDatabase({ migrate: true });
  onTestFinished(() => test.drop());
  const database = openDatabase({ url: test.url });
  onTestFinished(() => database.close());
  expect(await queuesOnPostgres(database)).toEqual([]);
  const env = { DATABASE_URL: test.url };
  expect(JSON.parse((await holdfast(['status', '--json'], { env })).stdout)).toMatchObject({ broker: null });

  const transport = createBullmqPostgresTransport({ connection: test.url, queues: { orders: { partitions: 2 } } });
  onTestFinished(() => transport.close());
  const batch = [1, 2, 3, 4].map((n) => outbound('orders', n, { key: `k${n}` }));
  await transport.publisher().publish(batch, { signal: NEVER });
  await database.query("INSERT INTO bullmq.meta VALUES ('orders', 'paused', '1'), ('foreign', 'paused', '1')");
  expect((await holdfast(['status'], { env })).stdout).toMatch(/orders +4 +0 +0 +\?[\s\S]*orders is paused/);
  expect(ofQueues((await doctor(database)).findings)).toEqual(['warn queue.paused']);
});

it('status shows the queues, and goes on without Redis', async () => {
  const test = await createTestDatabase({ migrate: true });
  onTestFinished(() => test.drop());
  await publish('orders');
  const env = { DATABASE_URL: test.url, REDIS_URL: server.url };
  expect((await holdfast(['status'], { env })).stdout).toMatch(/orders +4 +0 +0 +0[\s\S]*no consumer is connected/);
  const { stdout } = await holdfast(['status', '--json'], { env });
  expect(JSON.parse(stdout)).toMatchObject({
    broker: { trouble: null, queues: [{ destination: 'orders', state: { waiting: 4 } }] },
  });
  const away = await holdfast(['status'], { env: { ...env, REDIS_URL: 'redis://127.0.0.1:1' } });
  expect(away).toMatchObject({ code: 0, stdout: expect.stringContaining('ECONNREFUSED') as string });
});

it('status and doctor find streams of a Redis by its address alone', async () => {
  const test = await createTestDatabase({ migrate: true });
  onTestFinished(() => test.drop());
  const transport = createRedisStreamsTransport({ connection: server.url });
  onTestFinished(() => transport.close());
  await transport.publisher().publish([outbound('in-streams', 1)], { signal: NEVER });
  const env = { DATABASE_URL: test.url, REDIS_URL: server.url };
  expect((await holdfast(['status'], { env })).stdout).toMatch(
    /in-streams +1 +0 +0 +0[\s\S]*no consumer has been heard of/,
  );
  expect((await holdfast(['doctor'], { env })).stdout).toMatch(
    /wait in in-streams, and no consumer.*\[queue\.unread\]/,
  );
  // A role for BullMQ alone may not look for them, and need not.
  await admin.call('ACL', 'SETUSER', 'jobs', 'on', '>secret', '~holdfast:*', '+@all');
  const limited = server.url.replace('://', '://jobs:secret@');
  expect(await streamsOnRedis(limited, { timeoutMs: 60_000 })).toEqual({ queues: [], complete: true });
});

describe('a transport of the configuration', () => {
  const migrated = async (): Promise<Database> => {
    const test = await createTestDatabase({ migrate: true });
    onTestFinished(() => test.drop());
    const database = openDatabase({ url: test.url });
    onTestFinished(() => database.close());
    return database;
  };
  const asked = async (transport: Transport, database?: Database): Promise<readonly string[]> =>
    ofQueues(
      await checkTransports(database ?? (await migrated()), { ...settleDoctorOptions({ transports: [transport] }) }),
    );
  it('is asked for its queues by doctor and status', async () => {
    await publish('orders');
    const transport = createBullmqTransport({ connection: server.url });
    onTestFinished(() => transport.close());
    expect(await asked(transport)).toEqual(['warn queue.unread']);
    const database = await migrated();
    const places = { transports: [transport], redisUrls: [], redisPrefix: undefined };
    expect(await readQueues(database, places)).toMatchObject({
      queues: [{ destination: 'orders', state: { waiting: 4 } }],
      trouble: null,
    });
    // The same server once more, by its address.
    expect((await readQueues(database, { ...places, redisUrls: [server.url] }))?.queues).toHaveLength(1);
  });

  it.each(['queue.settings', 'queue.durability'] as const)('may say %s, and that there is more', async (name) => {
    const remark = { check: name, what: 'The stream orders drops old messages.', advice: 'Set discard to new.' };
    const state = { waiting: 0, active: 0, delayed: 0, failed: 0, paused: false, consumers: 1, foreign: 0 };
    const queues = [{ destination: 'orders', state: { ...state, remarks: [remark] } }];
    const transport = { ...createMemoryTransport(), queues: async () => ({ queues, complete: false }) };
    expect(await asked(transport)).toEqual([`warn ${name}`, 'note queue.search']);
  });

  it('is told which destinations the database knows of', async () => {
    const database = await migrated();
    await database.query(
      `INSERT INTO holdfast.subscription (name, snapshot, high, system_identifier, settings) VALUES ('main', '1:1:', 0, 0, '{"routes": [{"to": "shipping"}, {"to": "billing"}]}')`,
    );
    await database.query(
      `INSERT INTO holdfast.delivery_attempt (consumer, message_id, attempts, identity)
       VALUES ('mails', '00000000-0000-0000-0000-000000000001', 0, '{"queues": ["mails", "shipping"], "retentionMs": 1}')`,
    );
    const told: unknown[] = [];
    const queues: Transport['queues'] = async ({ known }) => {
      told.push(known);
      return { queues: [], complete: true };
    };
    const transport = { ...createMemoryTransport(), queues };
    await asked(transport, database);
    await readQueues(database, { transports: [transport], redisUrls: [], redisPrefix: undefined });
    expect(told).toEqual([
      ['billing', 'mails', 'shipping'],
      ['billing', 'mails', 'shipping'],
    ]);
  });

  it('that cannot be asked is said so, and nothing else fails', async () => {
    const transport = createBullmqTransport({ connection: 'redis://127.0.0.1:1' });
    onTestFinished(() => transport.close());
    expect(await asked(transport)).toEqual(['warn queue.look']);
    expect(await asked(createMemoryTransport())).toEqual([]);
    const database = await migrated();
    const places = { transports: [transport, createMemoryTransport()], redisUrls: [], redisPrefix: undefined };
    expect(await readQueues(database, places)).toMatchObject({
      queues: [],
      trouble: expect.stringMatching(/^bullmq-redis: .*ECONNREFUSED/) as string,
    });
  });
});
