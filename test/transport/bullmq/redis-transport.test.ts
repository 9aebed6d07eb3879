import { fork } from 'node:child_process';
import { once } from 'node:events';
import { Queue, Worker } from 'bullmq';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createBullmqTransport } from '../../../src/transport/bullmq/redis-transport.ts';
import { isFromReplica } from '../../../src/transport/redis/redis-open.ts';
import { describeTransport } from '../../../src/testing/transport/describe-transport.ts';
import {
  destinationName,
  NEVER,
  outbound,
  publishAtLast,
  recorder,
  rejection,
  silentServer,
} from '../../../src/testing/transport/kit.ts';
import { programPath } from '../../support/programs.ts';
import { type RedisServer, sharedRedisUrl, startRedis, uniquePrefix } from '../../support/servers.ts';

/** Claims that run out soon, so that a test need not wait long for what a dead consumer held. Patient with a slow broker. */
const SHORT = { lockDuration: 400, stalledInterval: 150, publishTimeout: 60_000 };
/** The default. */
const PREFIX = 'holdfast';
/** Where the broker is away, and its silence is waited for. */
const IMPATIENT = { publishTimeout: 2000 };

describeTransport('bullmq-redis', async () => {
  const url = sharedRedisUrl();
  const prefix = uniquePrefix();
  const silent = await silentServer();
  return {
    make: (options = {}) => createBullmqTransport({ connection: url, prefix, ...SHORT, ...options }),
    unreachable: () => createBullmqTransport({ connection: { host: '127.0.0.1', port: 1 } }),
    hanging: () => createBullmqTransport({ connection: { host: '127.0.0.1', port: silent.port } }),
    refusing: () => ({
      transport: createBullmqTransport({ connection: url, prefix, ...SHORT, maxMessageBytes: 2000 }),
      spoil: (message) => ({ ...message, wire: JSON.stringify({ filler: 'x'.repeat(2000) }) }),
    }),
    async plant(destination, text, publisher) {
      const message = outbound(destination, 0);
      await publisher.publish([message], { signal: NEVER });
      const redis = new Redis(url);
      expect(await redis.hset(`${prefix}:${destination}:${message.id}`, 'data', text)).toBe(0);
      redis.disconnect();
    },
    dispose: () => silent.close(),
  };
});

describe('createBullmqTransport', () => {
  let server: RedisServer;
  const errors: Error[] = [];
  beforeAll(async () => {
    server = await startRedis();
  });
  afterAll(() => server.dispose());
  const make = (more: object = {}) =>
    createBullmqTransport({
      connection: server.url,
      ...SHORT,
      onError: (error) => void errors.push(error),
      ...more,
    });

  it('rejects what a killed Redis did not acknowledge, and works again, for publisher and receiver, when it is back empty', async () => {
    const transport = make(IMPATIENT);
    const destination = destinationName();
    const publisher = transport.publisher();
    const got = recorder();
    const receiver = transport.receiver(destination, got.handle, { concurrency: 5, ordered: true });
    await receiver.start();
    await publishAtLast(publisher, [outbound(destination, 0)]);
    await got.until((seen) => seen.length === 1);

    const batches = (async () => {
      for (;;) {
        try {
          await publisher.publish(
            Array.from({ length: 1000 }, (_, n) => outbound(`${destination}-unread`, n)),
            { signal: NEVER },
          );
        } catch (error) {
          return error;
        }
      }
    })();
    await server.kill();
    expect(await batches).toMatchObject({ code: 'HF_TRANSPORT_UNAVAILABLE' });
    expect(await rejection(publisher.check({ signal: NEVER }))).toMatchObject({ code: 'HF_TRANSPORT_UNAVAILABLE' });
    await server.start();
    await publishAtLast(publisher, [outbound(destination, 1, { key: 'k' }), outbound(destination, 2, { key: 'k' })]);
    await got.until((seen) => seen.some(({ n }) => n === 2));
    expect([...new Set(got.seen.map(({ n }) => n))]).toEqual([0, 1, 2]);
    await transport.close();
  });

  it('starts without Redis, and works once it is there', async () => {
    await server.stop();
    const transport = make(IMPATIENT);
    const destination = destinationName();
    const publisher = transport.publisher();
    const got = recorder();
    const receiver = transport.receiver(destination, got.handle, { concurrency: 1, ordered: false });
    await receiver.start();
    expect(await rejection(publisher.publish([outbound(destination, 1)], { signal: NEVER }))).toMatchObject({
      code: 'HF_TRANSPORT_UNAVAILABLE',
    });
    await server.start();
    await publishAtLast(publisher, [outbound(destination, 2)]);
    await got.until((seen) => seen.length === 1);
    expect(got.seen[0]!.n).toBe(2);
    await transport.close();
  });

  it('stops a receiver while Redis is away', async () => {
    const transport = make(IMPATIENT);
    const receiver = transport.receiver(destinationName(), recorder().handle, { concurrency: 1, ordered: true });
    await receiver.start();
    await transport.publisher().check({ signal: NEVER });
    await server.kill();
    await receiver.stop();
    await server.start();
    await transport.close();
  });

  it('takes a full Redis for a broker that is away, not for a bad message', async () => {
    const full = await startRedis({ args: ['--maxmemory', '4mb'] });
    try {
      const transport = createBullmqTransport({ connection: full.url });
      const publisher = transport.publisher();
      const failure = (async () => {
        for (;;) {
          try {
            const outcomes = await publisher.publish(
              Array.from({ length: 500 }, (_, n) => outbound('full', n)),
              { signal: NEVER },
            );
            expect(outcomes.every(({ kind }) => kind === 'published')).toBe(true);
          } catch (error) {
            return error;
          }
        }
      })();
      expect(await failure).toMatchObject({
        code: 'HF_TRANSPORT_UNAVAILABLE',
        message: expect.stringContaining('OOM'),
      });
      const admin = new Redis(full.url);
      await admin.config('SET', 'maxmemory', '100mb');
      admin.disconnect();
      expect(await publisher.publish([outbound('full', 1)], { signal: NEVER })).toEqual([{ kind: 'published' }]);
      await transport.close();
    } finally {
      await full.dispose();
    }
  });

  it('takes a refused password for a broker that is away, and says why', async () => {
    const locked = await startRedis({ args: ['--requirepass', 'secret'] });
    try {
      const transport = createBullmqTransport({ connection: locked.url });
      expect(await rejection(transport.publisher().publish([outbound('locked', 1)], { signal: NEVER }))).toMatchObject({
        code: 'HF_TRANSPORT_UNAVAILABLE',
        message: expect.stringContaining('NOAUTH'),
      });
      await transport.close();
    } finally {
      await locked.dispose();
    }
  });

  it('says so when Redis may evict messages', async () => {
    const evicting = await startRedis({ args: ['--maxmemory-policy', 'allkeys-lru'] });
    try {
      let tell: (error: Error) => void = () => {};
      const warning = new Promise<Error>((resolve) => void (tell = resolve));
      const transport = createBullmqTransport({ connection: evicting.url, onError: (error) => tell(error) });
      await transport.publisher().check({ signal: NEVER });
      expect(await warning).toMatchObject({ code: 'HF_CONFIG', message: expect.stringContaining('allkeys-lru') });
      await transport.close();
    } finally {
      await evicting.dispose();
    }
  });

  it('gives the message of a process killed in the middle to another, and leaves nothing in the failed set', async () => {
    const transport = make();
    const destination = destinationName();
    await transport
      .publisher()
      .publish([outbound(destination, 1, { key: 'k' }), outbound(destination, 2, { key: 'k' })], { signal: NEVER });
    for (let death = 0; death < 2; death += 1) {
      const child = fork(programPath('hanging-consumer.ts'), [server.url, destination]);
      const [message] = await once(child, 'message');
      expect(message).toEqual({ redeliveries: death });
      child.kill('SIGKILL');
      await once(child, 'exit');
    }
    const got = recorder((_, all) => (all.length <= 2 ? Promise.reject(new Error('handler broke')) : { kind: 'done' }));
    const receiver = transport.receiver(destination, got.handle, { concurrency: 1, ordered: true });
    await receiver.start();
    await got.until((seen) => seen.length === 4);
    expect(got.seen.map(({ n }) => n)).toEqual([1, 1, 1, 2]);
    expect(got.seen.map(({ delivery }) => delivery.redeliveries)).toEqual([2, 2, 2, 0]);
    await receiver.stop();

    const queue = new Queue(destination, { connection: { url: server.url }, prefix: PREFIX });
    expect(await queue.getJobCounts()).toMatchObject({ failed: 0, completed: 0, active: 0, waiting: 0, delayed: 0 });
    await queue.close();
    await transport.close();
  });

  it('hands out a job of which even what BullMQ keeps beside the data is no JSON', async () => {
    const transport = make();
    const destination = destinationName();
    const [broken, sound] = [outbound(destination, 1), outbound(destination, 2)];
    await transport.publisher().publish([broken, sound], { signal: NEVER });
    const admin = new Redis(server.url);
    await admin.hset(`${PREFIX}:${destination}:${broken.id}`, 'opts', '{"attempts', 'progress', 'half');
    admin.disconnect();
    const got = recorder();
    await transport.receiver(destination, got.handle, { concurrency: 1, ordered: false }).start();
    await got.until((seen) => seen.length === 2);
    expect(new Set(got.seen.map(({ n }) => n))).toEqual(new Set([1, 2]));
    await transport.close();
  });

  it('has a plain BullMQ worker that fails a job try it again after a pause, and not for ever', async () => {
    const transport = make();
    const destination = destinationName();
    const message = outbound(destination, 1);
    await transport.publisher().publish([message], { signal: NEVER });
    const connection = { url: server.url };
    const plain = new Worker(destination, () => Promise.reject(new Error('no')), {
      connection: { ...connection, maxRetriesPerRequest: null },
      prefix: PREFIX,
    });
    plain.on('error', () => {});
    await once(plain as never, 'failed');
    const queue = new Queue(destination, { connection, prefix: PREFIX });
    await expect.poll(() => queue.getJobCounts('delayed', 'waiting', 'active')).toMatchObject({ delayed: 1 });
    const job = await queue.getJob(message.id);
    expect(job?.opts).toMatchObject({ attempts: 10, backoff: { type: 'exponential', delay: 1000 } });
    await plain.close();
    await queue.close();
    await transport.close();
  });

  it('is out of reach of plain BullMQ workers on their own prefix, and says what lies there from before', async () => {
    const destination = destinationName();
    const former = make({ prefix: 'bull' });
    await former.publisher().publish([outbound(destination, 1), outbound(destination, 2)], { signal: NEVER });
    let tell: (error: Error) => void = () => {};
    const said = new Promise<Error>((resolve) => void (tell = resolve));
    const transport = make({ onError: tell });
    const got = recorder();
    await transport.receiver(destination, got.handle, { concurrency: 1, ordered: false }).start();
    expect(await said).toMatchObject({ code: 'HF_CONFIG', message: expect.stringContaining(`2 messages of`) });
    const plain = new Queue(destination, { connection: { url: server.url } });
    await transport.publisher().publish([outbound(destination, 3)], { signal: NEVER });
    await got.until((seen) => seen.length === 1);
    expect(got.seen.map(({ n }) => n)).toEqual([3]);
    expect(await plain.getJobCounts('waiting')).toMatchObject({ waiting: 2 });
    // A queue of that name which is not ours is none of our business.
    await plain.obliterate({ force: true });
    await plain.close();
    await transport.close();
    await former.close();
  });

  it('keeps what it was told to keep', async () => {
    const transport = make({ removeOnComplete: false });
    const destination = destinationName();
    const message = outbound(destination, 1);
    await transport.publisher().publish([message], { signal: NEVER });
    const got = recorder();
    const receiver = transport.receiver(destination, got.handle, { concurrency: 1, ordered: false });
    await receiver.start();
    await got.until((seen) => seen.length === 1);
    await receiver.stop();
    const queue = new Queue(destination, { connection: { url: server.url }, prefix: PREFIX });
    const job = await queue.getJob(message.id);
    expect(job).toMatchObject({ name: message.topic, data: JSON.parse(message.wire) });
    expect(await queue.getJobCounts()).toMatchObject({ completed: 1, failed: 0 });
    await queue.close();
    await transport.close();
  });

  it('lifts the limit of an ordered queue when it is read unordered again', async () => {
    const transport = make();
    const destination = destinationName();
    const ordered = transport.receiver(destination, recorder().handle, { concurrency: 1, ordered: true });
    await ordered.start();
    const queue = new Queue(destination, { connection: { url: server.url }, prefix: PREFIX });
    await expect.poll(() => queue.getGlobalConcurrency(), { timeout: 120_000 }).toBe(1);
    await ordered.stop();
    const unordered = transport.receiver(destination, recorder().handle, { concurrency: 2, ordered: false });
    await unordered.start();
    await expect.poll(() => queue.getGlobalConcurrency(), { timeout: 120_000 }).toBeNull();
    await queue.close();
    await transport.close();
  });

  it('refuses to receive from a queue that BullMQ cannot have', () => {
    const receive = (): unknown =>
      make().receiver('orders:shipping', async () => ({ kind: 'done' }), { concurrency: 1, ordered: false });
    expect(receive).toThrow(expect.objectContaining({ code: 'HF_CONFIG' }));
  });

  it('knows a replica by its answer, to a command and, on Redis 6, to a script', () => {
    const answers = [
      "READONLY You can't write against a read only replica.",
      "ERR Error running script (call to f_1): @user_script:1: @user_script: 1: -READONLY You can't write against a read only replica.",
    ];
    expect(answers.map((answer) => isFromReplica(new Error(answer)))).toEqual([true, true]);
    expect(isFromReplica(new Error('OOM command not allowed'))).toBe(false);
  });

  it('refuses options that cannot work', () => {
    expect(() => createBullmqTransport({ connection: server.url, prefx: 'a' } as never)).toThrow(
      /Did you mean "prefix"/,
    );
    for (const partitions of [0, 1.5, 5000]) {
      expect(() => make({ queues: { a: { partitions } } })).toThrow(expect.objectContaining({ code: 'HF_CONFIG' }));
    }
    expect(() => make({ queues: { 'a:b': {} } })).toThrow(expect.objectContaining({ code: 'HF_CONFIG' }));
    // BullMQ's scripts cannot work with it; without this check they would be tried, and fail, for ever.
    expect(() => make({ connection: { host: '127.0.0.1', keyPrefix: 'app:' } })).toThrow(/prefix/);
    expect(() => make({ lockDuration: 0 })).toThrow(expect.objectContaining({ code: 'HF_CONFIG' }));
  });
});
