/**
 * BullMQ on a Redis Cluster: the duties of a transport, and what differs from one server. What breaks is in redis-cluster-faults.test.ts and
 * test/faults/redis-failover.test.ts.
 */
import { readFile } from 'node:fs/promises';
import { Cluster, Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { checkRedis } from '../../../src/operations/doctor/doctor-redis.ts';
import { settleDoctorOptions } from '../../../src/operations/doctor/finding.ts';
import { createRedisWindow } from '../../../src/inbox/window/window-redis.ts';
import type { Database } from '../../../src/postgres/database.ts';
import { type RedisCluster, startRedisCluster } from '../../../src/servers/redis-cluster.ts';
import { slotOf } from '../../../src/transport/bullmq/cluster-slots.ts';
import { queuesOnRedis } from '../../../src/transport/bullmq/redis-queues.ts';
import { type BullmqTransportOptions, createBullmqTransport } from '../../../src/transport/bullmq/redis-transport.ts';
import type { Transport } from '../../../src/transport/port.ts';
import { dedupWindowConformance } from '../../conformance/dedup-window.ts';
import { describeTransport } from '../../../src/testing/transport/describe-transport.ts';
import {
  destinationName,
  NEVER,
  outbound,
  recorder,
  rejection,
  silentServer,
} from '../../../src/testing/transport/kit.ts';
import { eventually } from '../../support/eventually.ts';
import {
  destinationOn,
  firstMasterOf,
  keyOf,
  makeOnCluster,
  SHORT,
  spread,
  wide,
} from '../../support/redis-cluster.ts';
import { sharedRedisUrl, uniquePrefix } from '../../support/servers.ts';

let cluster: RedisCluster;
beforeAll(async () => {
  cluster = await startRedisCluster({ replicas: 0 });
}, 90_000);
afterAll(() => cluster.dispose());

const make = (options?: Partial<BullmqTransportOptions>): Transport => makeOnCluster(cluster, options);

describeTransport('bullmq-redis-cluster', async () => {
  const prefix = uniquePrefix();
  const silent = await silentServer();
  const connection = cluster.url;
  return {
    make: (options = {}) => createBullmqTransport({ connection, prefix, ...SHORT, ...options }),
    unreachable: () => createBullmqTransport({ connection: { cluster: ['127.0.0.1:1'] } }),
    hanging: () => createBullmqTransport({ connection: { cluster: [{ host: '127.0.0.1', port: silent.port }] } }),
    refusing: () => ({
      transport: createBullmqTransport({ connection, prefix, ...SHORT, maxMessageBytes: 2000 }),
      spoil: (message) => ({ ...message, wire: JSON.stringify({ filler: 'x'.repeat(2000) }) }),
    }),
    async plant(destination, text, publisher) {
      const message = outbound(destination, 0);
      await publisher.publish([message], { signal: NEVER });
      const key = `${prefix}:{${destination}}:${message.id}`;
      const redis = new Redis(firstMasterOf(cluster, slotOf(key)).url);
      expect(await redis.hset(key, 'data', text)).toBe(0);
      redis.disconnect();
    },
    dispose: () => silent.close(),
  };
});

dedupWindowConformance('redis cluster', async () => ({
  make: () => createRedisWindow({ connection: cluster.url, prefix: uniquePrefix() }),
}));

describe('where a cluster is', () => {
  it.each<[string, () => BullmqTransportOptions['connection']]>([
    ['one of its nodes', () => ({ cluster: [`127.0.0.1:${cluster.nodes[2]!.port}`] })],
    [
      'a node that is away, and one that is there',
      () => ({ cluster: ['127.0.0.1:1', { host: '127.0.0.1', port: cluster.nodes[0]!.port }] }),
    ],
    [
      'a Cluster of ioredis',
      () => new Cluster([{ host: '127.0.0.1', port: cluster.nodes[1]!.port }], { lazyConnect: true }),
    ],
    [
      'names of another network',
      () => ({
        cluster: [{ host: '127.0.0.1', port: cluster.nodes[0]!.port }],
        natMap: (node: string) => ({ host: 'localhost', port: Number(node.split(':')[1]) }),
      }),
    ],
  ])('is known by %s', async (_, connection) => {
    const given = connection();
    const destination = destinationName();
    const transport = make({ connection: given, ...wide(destination) });
    await transport.publisher().publish(spread(destination), { signal: NEVER });
    const got = recorder();
    await transport.receiver(destination, got.handle, { concurrency: 6, ordered: true }).start();
    await got.until((seen) => seen.length === 24);
    // It is described by it, and does not use it.
    if (given instanceof Cluster) expect(given.status).toBe('wait');
  });

  it('is said when one of its nodes is taken for a single server, by publisher and receiver', async () => {
    const said: Error[] = [];
    const connection = cluster.nodes[0]!.url;
    const transport = make({ connection, onError: (error) => void said.push(error) });
    const publisher = transport.publisher();
    const wrong = { code: 'HF_CONFIG', message: expect.stringContaining('redis+cluster://') as string };
    expect(await rejection(publisher.check({ signal: NEVER }))).toMatchObject(wrong);
    expect(await rejection(publisher.publish([outbound('orders', 1)], { signal: NEVER }))).toMatchObject(wrong);
    const receiver = transport.receiver('orders', recorder().handle, { concurrency: 1, ordered: true });
    await receiver.start();
    await eventually('the receiver to say so', async () =>
      said.some((error) => /node of a cluster/.test(error.message)),
    );
    await receiver.stop();
  });

  it('is said when a server that has none is taken for one', async () => {
    const { host } = new URL(sharedRedisUrl());
    expect(
      await rejection(
        make({ connection: `redis+cluster://${host}` })
          .publisher()
          .check({ signal: NEVER }),
      ),
    ).toMatchObject({
      code: 'HF_TRANSPORT_UNAVAILABLE',
      message: expect.stringContaining('is no node of a Redis Cluster') as string,
    });
  });

  it('a wrong password, and TLS where there is none, are told with their reason', async () => {
    const nodes = cluster.url.slice('redis+cluster://'.length);
    const check = (connection: string) =>
      rejection(make({ connection, publishTimeout: 1500 }).publisher().check({ signal: NEVER }));
    expect(await check(`redis+cluster://me:secret@${nodes}`)).toMatchObject({
      message: expect.stringMatching(/^(?!.*secret).*WRONGPASS/) as string,
    });
    expect(await check(`rediss+cluster://${nodes}`)).toMatchObject({
      message: expect.stringContaining('TLS') as string,
    });
  });
});

it('spreads the partitions of a destination over the nodes, and finds them again', async () => {
  const destination = destinationOn(cluster, cluster.nodes[2]!);
  const transport = make(wide(destination));
  await transport.publisher().publish(spread(destination), { signal: NEVER });
  const admins = cluster.nodes.map(({ url }) => new Redis(url));
  onTestFinished(() => admins.forEach((admin) => admin.disconnect()));
  const waiting = await Promise.all(
    Array.from({ length: 6 }, (_, partition) => {
      const key = `${keyOf(destination, partition)}wait`;
      const node = cluster.nodes.indexOf(firstMasterOf(cluster, slotOf(key)));
      return admins[node]!.llen(key).then((length) => ({ node, length }));
    }),
  );
  expect(new Set(waiting.map(({ node }) => node)).size).toBeGreaterThan(1);
  expect(waiting.reduce((sum, { length }) => sum + length, 0)).toBe(24);

  const doctor = () =>
    checkRedis(null as unknown as Database, settleDoctorOptions({ redisUrls: [cluster.url] })).then((findings) =>
      findings.filter(({ what }) => what.includes(destination)).map(({ check }) => check),
    );
  expect(await doctor()).toEqual(['queue.unread']);
  const found = async () =>
    (await queuesOnRedis(cluster.url, { timeoutMs: 10_000 })).queues.find((queue) => queue.destination === destination);
  expect(await found()).toMatchObject({ state: { waiting: 24, consumers: 0 } });
  // It was told of fewer, and reads all the same what lies elsewhere.
  const got = recorder();
  const receiver = make().receiver(destination, got.handle, { concurrency: 3, ordered: true });
  await receiver.start();
  await got.until((seen) => seen.length === 24);
  await expect
    .poll(() => receiver.look!({ signal: NEVER }).catch(() => null))
    .toMatchObject({ waiting: 0, active: 0, consumers: 6, foreign: 0, remarks: [] });
  expect(await found()).toMatchObject({ state: { waiting: 0, consumers: 6, foreign: 0 } });
  expect(await doctor()).toEqual([]);
});

it('with a hash tag in its prefix, keeps everything in one slot, under the names of a single server', async () => {
  const prefix = `{${uniquePrefix()}}`;
  const destination = destinationName();
  const slot = slotOf(prefix);
  const transport = make({ prefix, ...wide(destination) });
  await transport.publisher().publish(spread(destination), { signal: NEVER });
  expect((await queuesOnRedis(cluster.url, { prefix, timeoutMs: 10_000 })).queues).toMatchObject([{ destination }]);
  // As somebody did who knew only how to reach one server.
  const got = recorder();
  const connection = firstMasterOf(cluster, slot).url;
  const former = make({ connection, prefix, ...wide(destination) });
  await former.receiver(destination, got.handle, { concurrency: 6, ordered: true }).start();
  await got.until((seen) => seen.length === 24);
});

it('needs no more than the rights that docs/transports.md lists', async () => {
  const page = await readFile(new URL('../../../docs/transports.md', import.meta.url), 'utf8');
  const rule = /^ACL SETUSER holdfast .*$/m.exec(page)?.[0].replace('>PASSWORD', '>secret').split(' ') ?? [];
  const more = /^ACL SETUSER holdfast (\+cluster\|slots)$/m.exec(page)?.[1];
  for (const { url } of cluster.nodes) {
    const admin = new Redis(url);
    await admin.call(rule[0]!, ...rule.slice(1), more!);
    admin.disconnect();
  }
  const errors: Error[] = [];
  const connection = cluster.url.replace('://', '://holdfast:secret@');
  const destination = destinationName();
  const transport = make({ connection, ...wide(destination), onError: (error) => void errors.push(error) });
  await transport.publisher().publish(spread(destination), { signal: NEVER });
  const got = recorder((_, all) => (all.length === 1 ? { kind: 'later', delayMs: 1 } : { kind: 'done' }));
  const receiver = transport.receiver(destination, got.handle, { concurrency: 6, ordered: true, owner: 'x' });
  await receiver.start();
  await got.until((seen) => seen.length === 25);
  await expect
    .poll(() => receiver.look!({ signal: NEVER }).catch(() => null))
    .toMatchObject({ waiting: 0, active: 0, consumers: 6, foreign: 0 });
  await transport.publisher().check({ signal: NEVER });
  expect((await queuesOnRedis(connection, { timeoutMs: 10_000 })).queues).not.toEqual([]);
  expect(errors).toEqual([]);
});
