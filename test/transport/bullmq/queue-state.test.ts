/**
 * What a receiver on Redis tells of its queue and its broker: counts, pauses, strangers, other databases, and why it receives nothing.
 */
import { Queue, Worker } from 'bullmq';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { assessQueue, type QueueFacts, workersOf } from '../../../src/transport/bullmq/queue-state.ts';
import { createBullmqTransport, type BullmqTransportOptions } from '../../../src/transport/bullmq/redis-transport.ts';
import type { QueueState, Receiver, ReceiveOptions } from '../../../src/transport/port.ts';
import {
  destinationName,
  NEVER,
  outbound,
  recorder,
  rejection,
  silentServer,
} from '../../../src/testing/transport/kit.ts';
import { type RedisServer, startRedis } from '../../support/servers.ts';

let server: RedisServer;
beforeAll(async () => {
  server = await startRedis();
});
afterAll(() => server.dispose());

const PREFIX = 'holdfast';
const SHORT = { lockDuration: 2000, stalledInterval: 500 };

async function receiving(
  destination: string,
  options: Partial<BullmqTransportOptions> = {},
  receive: Partial<ReceiveOptions> = {},
  handle = recorder(() => new Promise(() => {})).handle,
): Promise<Receiver> {
  const transport = createBullmqTransport({ connection: server.url, ...SHORT, ...options });
  const receiver = transport.receiver(destination, handle, { concurrency: 1, ordered: false, ...receive });
  onTestFinished(() => receiver.stop({ signal: AbortSignal.abort() }));
  await receiver.start();
  return receiver;
}

const look = async (receiver: Receiver): Promise<QueueState> => (await receiver.look?.({ signal: NEVER }))!;
const checks = async (receiver: Receiver): Promise<string[]> =>
  (await look(receiver)).remarks.map(({ check }) => check);

describe('a look at the queue', () => {
  it('counts over all partitions, and tells of a pause and of strangers', async () => {
    const destination = destinationName();
    const queues = { [destination]: { partitions: 3 } };
    const transport = createBullmqTransport({ connection: server.url, queues });
    onTestFinished(() => transport.close());
    const batch = Array.from({ length: 20 }, (_, n) => outbound(destination, n, { key: `k${n}` }));
    await transport.publisher().publish(batch, { signal: NEVER });
    const receiver = await receiving(destination, { queues });
    await expect.poll(() => look(receiver)).toMatchObject({ waiting: 17, active: 3, delayed: 0, paused: false });
    expect(await look(receiver)).toMatchObject({ consumers: 3, foreign: 0, remarks: [] });

    const queue = new Queue(destination, { connection: { url: server.url }, prefix: PREFIX });
    const plain = new Worker(destination, () => new Promise(() => {}), {
      connection: { url: server.url, maxRetriesPerRequest: null },
      prefix: PREFIX,
    });
    onTestFinished(async () => {
      await plain.close(true);
      await queue.close();
    });
    await plain.waitUntilReady();
    await expect.poll(() => checks(receiver)).toEqual(['queue.foreign']);
    await queue.pause();
    expect(await checks(receiver)).toEqual(['queue.paused', 'queue.foreign']);
    expect(await look(receiver)).toMatchObject({ paused: true, foreign: 1, consumers: 4 });
    await queue.resume();
  });

  it('tells that another database takes its replies from the same queue', async () => {
    const destination = destinationName();
    const one = await receiving(destination, {}, { owner: 'one' });
    const same = await receiving(destination, {}, { owner: 'one' });
    await look(one);
    expect(await checks(same)).toEqual([]);
    const other = await receiving(destination, {}, { owner: 'two' });
    expect(await checks(other)).toEqual(['queue.shared']);
    expect(await checks(one)).toEqual(['queue.shared']);
  });

  it('needs a receiver that runs', async () => {
    const receiver = await receiving(destinationName());
    await receiver.stop();
    expect(await rejection(look(receiver))).toMatchObject({ code: 'HF_STOPPED' });
  });
});

describe('a broker that does not hand out', () => {
  const away = async (receiver: Receiver, why: RegExp): Promise<void> => {
    const error = await rejection(receiver.look!({ signal: AbortSignal.timeout(30_000) }));
    expect(error).toMatchObject({ code: 'HF_TRANSPORT_UNAVAILABLE', message: expect.stringMatching(why) as string });
  };

  it('is named with its reason: nobody there', async () => {
    await away(await receiving('a', { connection: 'redis://127.0.0.1:1' }), /ECONNREFUSED/);
  });

  it('is named with its reason: a wrong password, and no right to the keys', async () => {
    const admin = new Redis(server.url);
    onTestFinished(async () => {
      await admin.call('ACL', 'DELUSER', 'narrow', 'wrong');
      admin.disconnect();
    });
    await admin.call('ACL', 'SETUSER', 'narrow', 'on', '>pass', '+@all', '~other:*');
    const { host } = new URL(server.url);
    await away(await receiving('b', { connection: `redis://narrow:bad@${host}` }), /WRONGPASS|NOAUTH/);
    await away(await receiving('c', { connection: `redis://narrow:pass@${host}` }), /NOPERM/);
  });

  it('that hangs ends with the signal, however often it is asked', async () => {
    const silent = await silentServer();
    onTestFinished(() => silent.close());
    const receiver = await receiving('d', { connection: `redis://127.0.0.1:${silent.port}` });
    for (let n = 0; n < 3; n += 1)
      expect(await rejection(receiver.look!({ signal: AbortSignal.timeout(50) }))).toMatchObject({
        code: 'HF_TRANSPORT_UNAVAILABLE',
      });
  });
});

it('with the rights that docs/transports.md lists, and no more, everything works', async () => {
  const { readFile } = await import('node:fs/promises');
  const page = await readFile(new URL('../../../docs/transports.md', import.meta.url), 'utf8');
  const rule = /^ACL SETUSER holdfast .*$/m.exec(page)?.[0].replace('>PASSWORD', '>secret').split(' ') ?? [];
  const admin = new Redis(server.url);
  onTestFinished(() => admin.disconnect());
  expect(await admin.call(rule[0]!, ...rule.slice(1))).toBe('OK');
  const { host } = new URL(server.url);
  const errors: Error[] = [];
  const connection = `redis://holdfast:secret@${host}`;
  const destination = destinationName();
  const queues = { [destination]: { partitions: 2 } };
  const transport = createBullmqTransport({ connection, queues, onError: (error) => void errors.push(error) });
  await transport.publisher().publish(
    [1, 2, 3].map((n) => outbound(destination, n, { key: `k${n}` })),
    { signal: NEVER },
  );
  const got = recorder((_, all) => (all.length === 1 ? { kind: 'later', delayMs: 1 } : { kind: 'done' }));
  const receiver = transport.receiver(destination, got.handle, { concurrency: 1, ordered: true, owner: 'x' });
  await receiver.start();
  await got.until((seen) => seen.length === 4);
  await expect.poll(() => look(receiver)).toMatchObject({ waiting: 0, active: 0, consumers: 2, foreign: 0 });
  await transport.publisher().check({ signal: NEVER });
  await transport.close();
  expect(errors).toEqual([]);
});

describe('judgeQueue', () => {
  const facts = (more: Partial<QueueFacts>): QueueFacts => ({
    destination: 'q',
    meta: {},
    waiting: 0,
    active: 0,
    delayed: 0,
    failed: 0,
    workers: [],
    owner: null,
    nowMs: 1_000_000,
    ...more,
  });
  it.each<[string, Partial<QueueFacts>, readonly string[]]>([
    ['nothing', {}, []],
    ['waiting, read', { waiting: 3, workers: ['q:w:holdfast'] }, []],
    ['waiting, unread', { waiting: 3 }, ['queue.unread']],
    ['waiting, who reads it is not known', { waiting: 3, workers: null }, []],
    ['given up by somebody', { failed: 1 }, ['queue.failed']],
    ['an owner that is gone', { owner: 'a', meta: { 'holdfastOwner:b': '1' } }, []],
    [
      'two owners, seen by neither',
      { meta: { 'holdfastOwner:a': '999999', 'holdfastOwner:b': '999998' } },
      ['queue.shared'],
    ],
  ])('%s', (_, more, expected) => {
    expect(assessQueue(facts(more)).remarks.map(({ check }) => check)).toEqual(expected);
  });

  it('knows workers by the names of their clients', () => {
    const list =
      'id=1 name=holdfast:cQ== db=0\nid=2 name=holdfast:cQ==:w:holdfast\nid=3 name= db=0\nid=4 name=holdfast:cQ==x';
    expect(workersOf(list, ['holdfast:cQ=='])).toEqual(['holdfast:cQ==', 'holdfast:cQ==:w:holdfast']);
  });
});
