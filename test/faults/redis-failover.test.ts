/**
 * A master of a Redis Cluster, and a primary behind Sentinel, killed under load with `replicas: 1`: a replica takes its place, relay and
 * consumers find it by themselves, nothing that was acknowledged is lost, no effect is doubled, and the order of each key is kept
 * (I1, I3, I4, I13).
 *
 * Fails when a batch counts as published before its replica has it, and when somebody goes on asking the master that is gone.
 */
import { describe, expect, it, type TestContext } from 'vitest';
import { slotOf } from '../../src/transport/bullmq/cluster-slots.ts';
import { createBullmqTransport } from '../../src/transport/bullmq/redis-transport.ts';
import { createRedisStreamsTransport } from '../../src/transport/redis-streams/redis-streams-transport.ts';
import { redisCommand } from '../../src/servers/redis-command.ts';
import { type RedisCluster, startRedisCluster } from '../../src/servers/redis-cluster.ts';
import { startRedisSentinel } from '../../src/servers/redis-sentinel.ts';
import { destinationName, outbound, publishAtLast, recorder } from '../../src/testing/transport/kit.ts';
import { eventually } from '../support/eventually.ts';
import { goesOn, steadyWriters } from '../support/faults/steady-writers.ts';
import { createWorld, type World } from '../support/faults/world.ts';

const KEYS = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'];
const expectation = { consumers: ['exact'], orderedConsumers: ['exact'] } as const;
const PARTITIONS = 6;

/** What to end after a test, in the order of the starts. */
type ToEnd = (() => Promise<void>)[];

const TRANSPORTS = {
  bullmq: { create: createBullmqTransport, tagOf: (destination: string) => `{${destination}}` },
  streams: { create: createRedisStreamsTransport, tagOf: (destination: string) => `{${destination}#0}` },
} as const;
const NAMES = Object.keys(TRANSPORTS) as readonly (keyof typeof TRANSPORTS)[];

async function openWorld(toEnd: ToEnd, redisUrl: string, name: keyof typeof TRANSPORTS): Promise<World> {
  const broker = { queues: { exact: { partitions: PARTITIONS } }, replicas: 1 };
  const world = await createWorld({ keys: KEYS, redisUrl, broker, createTransport: TRANSPORTS[name].create });
  toEnd.push(() => world.close());
  await world.relay('relay', { subscription: { batchSize: 50 } });
  for (const _ of ['one', 'two']) await world.consumer({ name: 'exact', ordered: true, concurrency: PARTITIONS });
  return world;
}

/** Which of the nodes had a slot at the start. */
const masterOf = (cluster: RedisCluster, slot: number) => cluster.nodes[Math.floor((slot * 3) / 16_384)]!;

function endedAfter(onTestFinished: TestContext['onTestFinished']): ToEnd {
  const toEnd: ToEnd = [];
  onTestFinished(async () => {
    for (const end of toEnd.toReversed()) await end();
  });
  return toEnd;
}

// Beside each other: most of the time each waits until servers have elected another one.
describe.concurrent('under load,', () => {
  it.for(NAMES)('a master of a cluster is killed: %s', async (name, { onTestFinished }) => {
    const toEnd = endedAfter(onTestFinished);
    const cluster = await startRedisCluster();
    toEnd.push(() => cluster.dispose());
    const world = await openWorld(toEnd, cluster.url, name);
    const writing = steadyWriters(world, KEYS);
    await goesOn(world);
    const { create, tagOf } = TRANSPORTS[name];
    const master = masterOf(cluster, slotOf(tagOf('exact')));
    // Of somebody who waits for no replica, and so need not wait for the master that is gone.
    const hasty = create({ connection: cluster.url, lockDuration: 1_500, stalledInterval: 300 });
    toEnd.push(() => hasty.close());
    let destination = destinationName();
    while (masterOf(cluster, slotOf(tagOf(destination))) !== master) destination = destinationName();
    const publisher = hasty.publisher();
    const got = recorder();
    await hasty.receiver(destination, got.handle, { concurrency: 1, ordered: true }).start();
    await publishAtLast(publisher, [outbound(destination, 1)]);
    await got.until((seen) => seen.length === 1);
    const replica = cluster.nodes[cluster.nodes.indexOf(master) + 3]!;
    await master.kill();
    await eventually('the replica to take over', async () =>
      (await redisCommand(replica.port, ['ROLE'])).includes('master'),
    );
    await publishAtLast(publisher, [outbound(destination, 2)]);
    await got.until((seen) => seen.some(({ n }) => n === 2));
    // It has nobody to hand on to until the other one is back, and empty.
    await master.start();
    await cluster.untilWhole();
    await goesOn(world);
    await writing.stop();
    await world.settled(['exact']);
    expect(await world.breaches(expectation)).toEqual([]);
  });

  it.for(NAMES)('a primary behind Sentinel is killed: %s', async (name, { onTestFinished }) => {
    const toEnd = endedAfter(onTestFinished);
    const sentinel = await startRedisSentinel({ replicas: 2 });
    toEnd.push(() => sentinel.dispose());
    const world = await openWorld(toEnd, sentinel.url, name);
    const writing = steadyWriters(world, KEYS);
    await goesOn(world);
    const [primary] = sentinel.servers;
    await primary!.kill();
    await eventually('another primary', async () => (await sentinel.primary()) !== primary!.port);
    await goesOn(world);
    await writing.stop();
    await world.settled(['exact']);
    expect(await world.breaches(expectation)).toEqual([]);
  });
});
