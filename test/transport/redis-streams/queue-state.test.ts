/**
 * What is told of streams: counts, strangers, other databases, settings of Redis; and that the documented rights are all that is needed.
 */
import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { destinationName, NEVER, outbound, recorder, rejection } from '../../../src/testing/transport/kit.ts';
import { assessServer } from '../../../src/transport/redis-streams/found-queues.ts';
import {
  assessRedisStream,
  type PartitionFacts,
  type StreamFacts,
} from '../../../src/transport/redis-streams/queue-state.ts';
import type { QueueState, Receiver } from '../../../src/transport/port.ts';
import { type RedisServer, startRedis } from '../../support/servers.ts';
import { receiveFrom } from '../receive-from.ts';
import { adminOf, makeStreams, streamOf } from './streams-kit.ts';

let server: RedisServer;
beforeAll(async () => {
  server = await startRedis();
});
afterAll(() => server.dispose());

const PATIENT = { lockDuration: '1m' } as const;
const hang = (): ReturnType<typeof recorder> => recorder(() => new Promise(() => {}));
const look = async (receiver: Receiver): Promise<QueueState> => (await receiver.look?.({ signal: NEVER }))!;
const checks = async (receiver: Receiver): Promise<string[]> =>
  (await look(receiver)).remarks.map(({ check }) => check);

it('counts over all partitions, and tells of strangers', async () => {
  const destination = destinationName();
  const queues = { [destination]: { partitions: 3 } };
  const transport = makeStreams({ connection: server.url, queues, ...PATIENT });
  const batch = Array.from({ length: 20 }, (_, n) => outbound(destination, n, { key: `k${n}` }));
  await transport.publisher().publish(batch, { signal: NEVER });
  const stateOf = async () =>
    (await transport.queues!({ signal: NEVER })).queues.find((queue) => queue.destination === destination)?.state;
  expect(await stateOf()).toMatchObject({ waiting: 20, active: 0, consumers: 0 });
  const got = recorder(({ n }) => (n === 0 ? { kind: 'later', delayMs: 60_000 } : new Promise(() => {})));
  const receiver = await receiveFrom(transport, destination, got.handle, { concurrency: 20 });
  await got.until((seen) => seen.length === 20);
  await expect
    .poll(() => look(receiver))
    .toMatchObject({ waiting: 0, active: 19, delayed: 1, consumers: 1, foreign: 0 });
  const admin = adminOf(server.url);
  await transport.publisher().publish([outbound(destination, 21, { key: 'k1' })], { signal: NEVER });
  await admin.xgroup('CREATE', streamOf(destination, 1), 'analytics', '0');
  await admin.xgroup('CREATECONSUMER', streamOf(destination, 0), 'holdfast', 'stranger');
  expect(await checks(receiver)).toEqual(['queue.foreign', 'queue.foreign']);
  expect(await look(receiver)).toMatchObject({ foreign: 1, active: 20 });
});

it('tells that another database takes its replies from the same destination', async () => {
  const destination = destinationName();
  const transport = makeStreams({ connection: server.url, ...PATIENT });
  const one = await receiveFrom(transport, destination, hang().handle, { owner: 'one' });
  const same = await receiveFrom(transport, destination, hang().handle, { owner: 'one' });
  await expect.poll(() => look(same)).toMatchObject({ consumers: 2, remarks: [] });
  await receiveFrom(transport, destination, hang().handle, { owner: 'two' });
  await expect.poll(() => checks(one)).toEqual(['queue.shared']);
});

it('needs a receiver that runs', async () => {
  const receiver = await receiveFrom(makeStreams({ connection: server.url }), destinationName(), hang().handle);
  await receiver.stop();
  expect(await rejection(look(receiver))).toMatchObject({ code: 'HF_STOPPED' });
});

it('hands out what strangers write, and what is no text', async () => {
  const destination = destinationName();
  const admin = adminOf(server.url);
  const stream = streamOf(destination);
  await admin.xadd(stream, '*', 'order', '17', 'total', '9');
  await admin.xadd(stream, '*', 'key', 'k', 'envelope', Buffer.from([0xff, 0x00, 0xfe]));
  await admin.xadd(stream, '*', 'envelope', '');
  const got = recorder();
  await receiveFrom(makeStreams({ connection: server.url }), destination, got.handle, {
    concurrency: 3,
    ordered: true,
  });
  await got.until((seen) => seen.length === 3);
  const wires = got.seen.map(({ delivery }) => delivery.wire);
  expect(wires).toEqual(['{"order":"17","total":"9"}', '\uFFFD\0\uFFFD', '']);
  await expect.poll(() => admin.xlen(stream)).toBe(0);
});

it.each([true, false])(
  'with the rights that docs/transports.md lists, and no more, everything works: ordered %s',
  async (ordered) => {
    const page = await readFile(new URL('../../../docs/transports.md', import.meta.url), 'utf8');
    const rule = /^ACL SETUSER holdfast-streams .*$/m.exec(page)?.[0].replace('>PASSWORD', '>secret').split(' ') ?? [];
    expect(await adminOf(server.url).call(rule[0]!, ...rule.slice(1))).toBe('OK');
    const errors: Error[] = [];
    const connection = `redis://holdfast-streams:secret@${new URL(server.url).host}`;
    const destination = destinationName();
    const queues = { [destination]: { partitions: 2 } };
    const transport = makeStreams({ connection, queues, onError: (error) => void errors.push(error) });
    const batch = [1, 2, 3].map((n) => outbound(destination, n, { key: `k${n}` }));
    await transport.publisher().publish(batch, { signal: NEVER });
    const got = recorder((_, all) => (all.length === 1 ? { kind: 'later', delayMs: 1 } : { kind: 'done' }));
    const receiver = await receiveFrom(transport, destination, got.handle, { ordered, owner: 'x' });
    await got.until((seen) => seen.length === 4);
    await expect.poll(() => look(receiver)).toMatchObject({ waiting: 0, active: 0, consumers: 1, foreign: 0 });
    await transport.publisher().check({ signal: NEVER });
    expect((await transport.queues!({ signal: NEVER })).complete).toBe(true);
    const copied = makeStreams({ connection, queues, replicas: 1, publishTimeout: 200 });
    const failure = await rejection(copied.publisher().publish(batch, { signal: NEVER }));
    expect(failure).toMatchObject({ message: expect.stringContaining('only 0 of 1 replicas') as string });
    await receiver.stop();
    expect(errors).toEqual([]);
  },
);

describe('assessRedisStream', () => {
  const partition = (facts: Partial<PartitionFacts>): PartitionFacts => ({
    length: 0,
    pending: 0,
    delayed: 0,
    foreign: [],
    groups: [],
    ...facts,
  });
  const facts = (more: Partial<StreamFacts>): StreamFacts => ({
    destination: 'q',
    meta: {},
    partitions: [],
    readers: 0,
    owner: null,
    nowMs: 1_000_000,
    ...more,
  });
  it.each<[string, Partial<StreamFacts>, readonly string[]]>([
    ['nothing', {}, []],
    ['waiting, read', { partitions: [partition({ length: 3 })], readers: 1 }, []],
    ['waiting, unread', { partitions: [partition({ length: 3 })] }, ['queue.unread']],
    ['an owner that is gone', { owner: 'a', meta: { 'owner:b': '1' } }, []],
    ['two owners, seen by neither', { meta: { 'owner:a': '999999', 'owner:b': '999998' } }, ['queue.shared']],
    ['strangers', { partitions: [partition({ foreign: ['x'], groups: ['g'] })] }, ['queue.foreign', 'queue.foreign']],
  ])('%s', (_, more, expected) => {
    expect(assessRedisStream(facts(more)).remarks.map(({ check }) => check)).toEqual(expected);
  });

  it('tells of settings by which messages are lost', () => {
    const checksOf = (info: string): string[] => assessServer(info).map(({ check }) => check);
    expect(checksOf('maxmemory_policy:allkeys-lru\r\naof_enabled:0\r\n')).toEqual([
      'queue.settings',
      'queue.durability',
    ]);
    expect(checksOf('maxmemory_policy:noeviction\r\naof_enabled:1\r\n')).toEqual([]);
    expect(checksOf('')).toEqual([]);
  });
});
