/**
 * Redis Streams on a cluster: the duties of a transport, and what differs from one server. Masters that die are in
 * test/faults/redis-failover.test.ts.
 */
import { Cluster } from 'ioredis';
import { afterAll, beforeAll, expect, it, onTestFinished } from 'vitest';
import { type RedisCluster, startRedisCluster } from '../../../src/servers/redis-cluster.ts';
import { describeTransport } from '../../../src/testing/transport/describe-transport.ts';
import {
  destinationName,
  NEVER,
  numbers,
  outbound,
  publishAtLast,
  recorder,
  rejection,
  silentServer,
} from '../../../src/testing/transport/kit.ts';
import { slotOf } from '../../../src/transport/bullmq/cluster-slots.ts';
import { createRedisStreamsTransport } from '../../../src/transport/redis-streams/redis-streams-transport.ts';
import { startTcpProxy } from '../../support/faults/tcp-proxy.ts';
import { firstMasterOf, freeze, moveSlot } from '../../support/redis-cluster.ts';
import { uniquePrefix } from '../../support/servers.ts';
import { receiveFrom } from '../receive-from.ts';
import { makeStreams, SHORT, streamOf } from './streams-kit.ts';

let cluster: RedisCluster;
beforeAll(async () => {
  cluster = await startRedisCluster({ replicas: 0 });
}, 90_000);
afterAll(() => cluster.dispose());

describeTransport('redis-streams-cluster', async () => {
  const prefix = uniquePrefix();
  const silent = await silentServer();
  const connection = cluster.url;
  const patient = { ...SHORT, publishTimeout: 60_000 };
  return {
    make: (options = {}) => createRedisStreamsTransport({ connection, prefix, ...patient, ...options }),
    unreachable: () => createRedisStreamsTransport({ connection: { cluster: ['127.0.0.1:1'] } }),
    hanging: () => createRedisStreamsTransport({ connection: { cluster: [`127.0.0.1:${silent.port}`] } }),
    refusing: () => ({
      transport: createRedisStreamsTransport({ connection, prefix, ...patient, maxMessageBytes: 2000 }),
      spoil: (message) => ({ ...message, wire: JSON.stringify({ filler: 'x'.repeat(2000) }) }),
    }),
    async plant(destination, text) {
      const redis = new Cluster([{ host: '127.0.0.1', port: cluster.nodes[0]!.port }]);
      await redis.xadd(`${prefix}:{${destination}#0}`, '*', 'envelope', text);
      redis.disconnect();
    },
    dispose: () => silent.close(),
  };
});

const wide = (destination: string) => ({ queues: { [destination]: { partitions: 6 } } });

it('says when one of its nodes is taken for a single server', async () => {
  const transport = makeStreams({ connection: cluster.nodes[0]!.url, ...wide('orders') });
  const batch = Array.from({ length: 24 }, (_, n) => outbound('orders', n, { key: `k${n}` }));
  expect(await rejection(transport.publisher().publish(batch, { signal: NEVER }))).toMatchObject({
    code: 'HF_TRANSPORT_UNAVAILABLE',
    message: expect.stringContaining('MOVED') as string,
    advice: expect.stringContaining('cluster') as string,
  });
});

it('follows a partition that moves to another node, and loses nothing and no order', async () => {
  const destination = destinationName();
  const transport = makeStreams({ connection: cluster.url });
  const publisher = transport.publisher();
  const got = recorder();
  await receiveFrom(transport, destination, got.handle, { ordered: true });
  const slot = slotOf(streamOf(destination));
  const publish = async (from: number): Promise<void> => {
    for (let n = from; n < from + 10; n += 1) await publishAtLast(publisher, [outbound(destination, n, { key: 'k' })]);
  };
  await publish(0);
  await got.until((seen) => seen.some(({ n }) => n === 9));
  const to = cluster.nodes.find((node) => node !== firstMasterOf(cluster, slot))!;
  const [moving] = await Promise.all([moveSlot(cluster, slot, to), publish(10)]);
  expect(moving).toBeUndefined();
  await publish(20);
  await got.until((seen) => seen.some(({ n }) => n === 29));
  const first = [...new Set(numbers(got.seen))];
  expect(first).toEqual(Array.from({ length: 30 }, (_, n) => n));
});

it('goes on with the other partitions while a node does not answer, and with all when it does', async () => {
  const destination = destinationName();
  const transport = makeStreams({ connection: cluster.url, ...wide(destination), publishTimeout: 500 });
  const got = recorder();
  const publisher = transport.publisher();
  const spread = (from: number) =>
    Array.from({ length: 24 }, (_, n) => outbound(destination, from + n, { key: `k${n}` }));
  await receiveFrom(transport, destination, got.handle, { concurrency: 6, ordered: true });
  await publishAtLast(publisher, spread(0));
  await got.until((seen) => new Set(numbers(seen)).size === 24);
  const thaw = await freeze(firstMasterOf(cluster, slotOf(streamOf(destination, 0))));
  try {
    const failure = await rejection(publisher.publish(spread(24), { signal: NEVER }));
    expect(failure).toMatchObject({ code: 'HF_TRANSPORT_UNAVAILABLE' });
  } finally {
    thaw();
  }
  await publishAtLast(publisher, spread(24));
  await got.until((seen) => new Set(numbers(seen)).size === 48);
});

it.each([1, 64])(
  'hands out all of a backlog, uncounted, when connections break with answers under way: %i in hand',
  async (concurrency) => {
    const proxies = await Promise.all(cluster.nodes.map(({ url }) => startTcpProxy(url)));
    onTestFinished(async () => void (await Promise.all(proxies.map((proxy) => proxy.close()))));
    const ports = new Map(cluster.nodes.map(({ port }, index) => [port, Number(new URL(proxies[index]!.url).port)]));
    const natMap = (node: string) => ({ host: '127.0.0.1', port: ports.get(Number(node.split(':')[1]))! });
    const connection = { cluster: [{ host: '127.0.0.1', port: natMap(`:${cluster.nodes[0]!.port}`).port }], natMap };
    const destination = destinationName();
    const batch = Array.from({ length: 4 * concurrency + 40 }, (_, n) => outbound(destination, n));
    await publishAtLast(makeStreams({ connection: cluster.url }).publisher(), batch);
    let reads = 0;
    const isRead = (bytes: Buffer): boolean => /:delayed\r|xreadgroup\r/.test(bytes.toString('latin1'));
    for (const proxy of proxies) proxy.judge = (bytes) => (isRead(bytes) && (reads += 1) % 3 === 0 ? 'after' : 'pass');
    const got = recorder();
    // No claim runs out: what an answer brought that was lost is found by whom it was for.
    const patient = { lockDuration: '2m', stalledInterval: '200ms' } as const;
    await receiveFrom(makeStreams({ connection, ...patient }), destination, got.handle, { concurrency });
    await got.until((seen) => new Set(numbers(seen)).size === batch.length);
    expect(proxies.reduce((sum, { cuts }) => sum + cuts.after, 0)).toBeGreaterThan(1);
    expect(got.seen.filter(({ delivery }) => delivery.redeliveries > 0)).toEqual([]);
    expect(got.seen).toHaveLength(batch.length);
  },
);
