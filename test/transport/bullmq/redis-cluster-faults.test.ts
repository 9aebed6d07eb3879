/**
 * BullMQ on a Redis Cluster whose queues move, whose nodes fall silent, break connections, and die.
 */
import { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, it, onTestFinished } from 'vitest';
import { type RedisCluster, startRedisCluster } from '../../../src/servers/redis-cluster.ts';
import { slotOf } from '../../../src/transport/bullmq/cluster-slots.ts';
import { resolveBullmqOptions } from '../../../src/transport/bullmq/options.ts';
import { TAGGED_NAMES } from '../../../src/transport/bullmq/jobs.ts';
import { startReceiving } from '../../../src/transport/bullmq/receiving.ts';
import { redisConnections } from '../../../src/transport/bullmq/redis-connections.ts';
import { resolveRedisPlace } from '../../../src/transport/redis/redis-place.ts';
import type { BullmqTransportOptions } from '../../../src/transport/bullmq/redis-transport.ts';
import type { Transport } from '../../../src/transport/port.ts';
import {
  destinationName,
  NEVER,
  numbers,
  outbound,
  publishAtLast,
  recorder,
  rejection,
} from '../../../src/testing/transport/kit.ts';
import { eventually } from '../../support/eventually.ts';
import { startTcpProxy } from '../../support/faults/tcp-proxy.ts';
import {
  destinationOn,
  firstMasterOf,
  freeze,
  keyOf,
  makeOnCluster,
  moveSlot,
  SHORT,
  spread,
  wide,
} from '../../support/redis-cluster.ts';

let cluster: RedisCluster;
beforeAll(async () => {
  cluster = await startRedisCluster({ replicas: 0 });
}, 90_000);
afterAll(() => cluster.dispose());

const make = (options?: Partial<BullmqTransportOptions>): Transport => makeOnCluster(cluster, options);

it('goes after a queue that is moved to another node, and loses nothing on the way', async () => {
  const destination = destinationName();
  const slot = slotOf(keyOf(destination));
  const from = cluster.nodes.indexOf(firstMasterOf(cluster, slot));
  const [there, back] = [cluster.nodes[(from + 1) % 3]!, cluster.nodes[from]!];
  const transport = make();
  const publisher = transport.publisher();
  const got = recorder(({ n }, all) =>
    n % 7 === 3 && all.filter((seen) => seen.n === n).length === 1 ? { kind: 'later', delayMs: 5 } : { kind: 'done' },
  );
  const receiver = transport.receiver(destination, got.handle, { concurrency: 1, ordered: true });
  await receiver.start();
  let n = 0;
  const publishSome = async (): Promise<void> => {
    const first = n;
    n += 20;
    await publishAtLast(
      publisher,
      Array.from({ length: 20 }, (_, index) => outbound(destination, first + index, { key: 'k' })),
    );
  };
  await publishSome();
  for (const to of [there, back, there, back]) {
    await moveSlot(cluster, slot, to);
    // Its own look shows the publisher where the queue is, so that the batch need not fail.
    await publishSome();
    await got.until((seen) => seen.some((message) => message.n === n - 1));
  }
  const firsts = [...new Set(numbers(got.seen))];
  expect(firsts).toEqual(Array.from({ length: n }, (_, index) => index));
}, 120_000);

it('is an outage of the broker while a queue is half on its way, and goes on when it is there', async () => {
  const destination = destinationName();
  const slot = slotOf(keyOf(destination));
  const to = cluster.nodes[(cluster.nodes.indexOf(firstMasterOf(cluster, slot)) + 1) % 3]!;
  const transport = make();
  const publisher = transport.publisher();
  await publisher.publish([outbound(destination, 1)], { signal: NEVER });
  await moveSlot(cluster, slot, to, async () => {
    expect(await rejection(publisher.publish([outbound(destination, 2)], { signal: NEVER }))).toMatchObject({
      code: 'HF_TRANSPORT_UNAVAILABLE',
      message: expect.stringMatching(/TRYAGAIN|ASK/) as string,
    });
  });
  await publisher.publish([outbound(destination, 3)], { signal: NEVER });
  const got = recorder();
  await transport.receiver(destination, got.handle, { concurrency: 1, ordered: false }).start();
  await got.until((seen) => seen.length === 2);
  await moveSlot(cluster, slot, firstMasterOf(cluster, slot));
});

it('gives up connections that have fallen silent, publishing and receiving, and takes messages again', async () => {
  const proxies = await Promise.all(cluster.nodes.map(({ url }) => startTcpProxy(url)));
  onTestFinished(async () => void (await Promise.all(proxies.map((proxy) => proxy.close()))));
  const ports = new Map(cluster.nodes.map(({ port }, index) => [port, Number(new URL(proxies[index]!.url).port)]));
  const natMap = (node: string) => ({ host: '127.0.0.1', port: ports.get(Number(node.split(':')[1]))! });
  const connection = { cluster: [{ host: '127.0.0.1', port: natMap(`:${cluster.nodes[0]!.port}`).port }], natMap };
  const setup = { place: resolveRedisPlace(connection, 'test'), prefix: 'holdfast', replicas: 0 };
  const settings = resolveBullmqOptions({ ...SHORT, lockDuration: 1000 }, 'test', TAGGED_NAMES);
  const receiving = redisConnections(setup).openReceiverConnection(settings);
  const destination = destinationName();
  const got = recorder();
  const receiver = startReceiving({
    kind: 'test',
    connection: receiving,
    settings,
    destination,
    handle: got.handle,
    options: { concurrency: 1, ordered: false },
  });
  onTestFinished(() => receiving.disconnect());
  const publisher = make({ connection, publishTimeout: 800 }).publisher();
  await publishAtLast(publisher, [outbound(destination, 1)]);
  await got.until((seen) => seen.length === 1);
  await receiver.look(NEVER);
  proxies.forEach((proxy) => proxy.darken());
  expect(await rejection(publisher.publish([outbound(destination, 2)], { signal: NEVER }))).toMatchObject({
    code: 'HF_TRANSPORT_UNAVAILABLE',
    message: expect.stringContaining('no answer within') as string,
  });
  await publishAtLast(publisher, [outbound(destination, 3)]);
  // What the receiver does by itself every half a minute.
  const looking = setInterval(() => receiving.cutSilent?.(), 300);
  onTestFinished(() => clearInterval(looking));
  await got.until((seen) => seen.some(({ n }) => n === 3));
  await eventually('a look that is answered', async () =>
    receiver.look(AbortSignal.timeout(1000)).then(
      () => true,
      () => false,
    ),
  );
  await receiver.stop(undefined);
});

it('can be stopped while a node is silent', async () => {
  const destination = destinationName();
  const transport = make(wide(destination));
  const receiver = transport.receiver(destination, recorder().handle, { concurrency: 6, ordered: true });
  await receiver.start();
  await eventually('the receiver to be there', async () =>
    receiver.look!({ signal: NEVER }).then(
      () => true,
      () => false,
    ),
  );
  const thaw = await freeze(cluster.nodes[0]!);
  try {
    await receiver.stop({ signal: AbortSignal.abort() });
  } finally {
    thaw();
  }
});

it('does not ask for replicas on a connection that has written nothing, because the one before broke', async () => {
  const [slow, quick] = [cluster.nodes[0]!, cluster.nodes[1]!];
  const destinations = [destinationOn(cluster, slow), destinationOn(cluster, quick)];
  const publisher = make({ replicas: 1, publishTimeout: 4000 }).publisher();
  const batch = (n: number) => destinations.map((destination) => outbound(destination, n));
  // There are none. That it says so shows that the layouts are known, and both connections there.
  const publish = () => rejection(publisher.publish(batch(1), { signal: NEVER }));
  expect(await publish()).toMatchObject({ message: expect.stringMatching(/^Only 0 of/) as string });
  const admin = new Redis(quick.url);
  onTestFinished(() => admin.disconnect());
  const thaw = await freeze(slow);
  const published = publish();
  try {
    await eventually('the quick one to have its message', async () => {
      return (await admin.llen(`${keyOf(destinations[1]!)}wait`)) === 2;
    });
    await admin.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
    // The last that a client asks before it is ready. Its answer is on the way then, ahead of those to two further questions.
    await eventually('the publisher to be back', async () => / cmd=info /.test(String(await admin.client('LIST'))));
    for (let answers = 0; answers < 2; answers += 1) await admin.ping();
  } finally {
    thaw();
  }
  expect(await published).toMatchObject({ message: expect.stringContaining('broke before') as string });
});

it('is an outage while a master is gone that has no replica, and goes on when it is back', async () => {
  const destination = destinationName();
  const said: Error[] = [];
  const transport = make({ ...wide(destination), publishTimeout: 3000, onError: (error) => void said.push(error) });
  const publisher = transport.publisher();
  const got = recorder();
  await transport.receiver(destination, got.handle, { concurrency: 6, ordered: true }).start();
  await publisher.publish(spread(destination), { signal: NEVER });
  await got.until((seen) => seen.length === 24);
  const node = cluster.nodes[2]!;
  await node.kill();
  // Also for what the others have.
  const elsewhere = outbound(destinationOn(cluster, cluster.nodes[0]!), 0);
  await eventually('the cluster to be down', async () =>
    publisher.publish([elsewhere], { signal: NEVER }).then(
      () => false,
      (error: unknown) => String(error).includes('CLUSTERDOWN'),
    ),
  );
  await node.start();
  await publishAtLast(publisher, spread(destination));
  const before = got.seen.length;
  await publishAtLast(publisher, spread(destination));
  await got.until((seen) => new Set(numbers(seen.slice(before))).size === 24);
}, 120_000);
