/**
 * Replicas of Redis: Sentinel tells who is the primary, and a message counts as published once as many replicas have it as was asked for.
 * A primary that is killed is in test/faults/redis-failover.test.ts.
 */
import { once } from 'node:events';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { checkRedis } from '../../../src/operations/doctor/doctor-redis.ts';
import { settleDoctorOptions } from '../../../src/operations/doctor/finding.ts';
import { createRedisWindow } from '../../../src/inbox/window/window-redis.ts';
import type { Database } from '../../../src/postgres/database.ts';
import { redisCommand } from '../../../src/servers/redis-command.ts';
import { type RedisSentinel, startRedisSentinel } from '../../../src/servers/redis-sentinel.ts';
import { openClient } from '../../../src/transport/redis/redis-open.ts';
import { slotConnector } from '../../../src/transport/bullmq/cluster-connector.ts';
import type { ClusterTopology } from '../../../src/transport/bullmq/cluster-topology.ts';
import { queuesOnRedis } from '../../../src/transport/bullmq/redis-queues.ts';
import { type BullmqTransportOptions, createBullmqTransport } from '../../../src/transport/bullmq/redis-transport.ts';
import type { Transport } from '../../../src/transport/port.ts';
import {
  destinationName,
  NEVER,
  outbound,
  publishAtLast,
  recorder,
  rejection,
} from '../../../src/testing/transport/kit.ts';
import { eventually } from '../../support/eventually.ts';
import { startTcpProxy } from '../../support/faults/tcp-proxy.ts';
import { freeze } from '../../support/redis-cluster.ts';
import { type RedisServer, startRedis } from '../../support/servers.ts';

const SHORT = { lockDuration: 400, stalledInterval: 150, publishTimeout: 2_000 };

let sentinel: RedisSentinel;
beforeAll(async () => {
  sentinel = await startRedisSentinel();
}, 90_000);
afterAll(() => sentinel.dispose());

function make(options: Partial<BullmqTransportOptions> = {}): Transport {
  const transport = createBullmqTransport({ connection: sentinel.url, ...SHORT, ...options });
  onTestFinished(() => transport.close());
  return transport;
}

/** One whose replicas need not wait for each other. */
async function startPrivate(...args: readonly string[]): Promise<RedisServer> {
  const server = await startRedis({ args: ['--repl-diskless-sync-delay', '0', ...args] });
  onTestFinished(() => server.dispose());
  return server;
}

const published = [{ kind: 'published' }];
const tooFew = {
  code: 'HF_TRANSPORT_UNAVAILABLE',
  message: expect.stringMatching(/^Only 0 of the 1 replicas/) as string,
};

describe('a primary that Sentinel watches', () => {
  it('is published to and received from, looked at, and asked for its queues', async () => {
    const destination = destinationName();
    const transport = make();
    await transport.publisher().publish([outbound(destination, 1)], { signal: NEVER });
    const got = recorder();
    const receiver = transport.receiver(destination, got.handle, { concurrency: 1, ordered: true });
    await receiver.start();
    await got.until((seen) => seen.length === 1);
    await expect.poll(() => receiver.look!({ signal: NEVER })).toMatchObject({ active: 0, consumers: 1 });
    const { queues } = await queuesOnRedis(sentinel.url, { timeoutMs: 10_000 });
    expect(queues).toMatchObject([{ destination, state: { consumers: 1 } }]);
    const findings = await checkRedis(null as unknown as Database, settleDoctorOptions({ redisUrls: [sentinel.url] }));
    expect(findings.map(({ check }) => check)).toEqual(['redis.persistence']);
    const window = createRedisWindow({ connection: sentinel.url });
    await window.mark('c', destination);
    expect(await window.seen('c', destination)).toBe(true);
    await window.close();
  });

  it('is found past a sentinel that is silent, and one that is away', async () => {
    const [first] = /:(\d+)/.exec(sentinel.url)?.slice(1) ?? [];
    const thaw = await freeze({ port: Number(first) });
    try {
      const connection = sentinel.url.replace('://', '://127.0.0.1:1,');
      await make({ connection, publishTimeout: 3_000, lockDuration: 5_000 }).publisher().check({ signal: NEVER });
    } finally {
      thaw();
    }
  });

  it('is told with its reason when no sentinel knows it, or none is there', async () => {
    const check = (connection: string) =>
      rejection(make({ connection, publishTimeout: 500 }).publisher().check({ signal: NEVER }));
    const failure = { code: 'HF_TRANSPORT_UNAVAILABLE', message: expect.stringContaining('sentinels') as string };
    expect(await check(sentinel.url.replace(/\/holdfast$/, '/another'))).toMatchObject(failure);
    expect(await check('redis+sentinel://127.0.0.1:1/holdfast')).toMatchObject(failure);
  });

  it('is looked for on, also when the connection is given up meanwhile', async () => {
    let looks = 0;
    const node = { host: '127.0.0.1', port: await sentinel.primary() };
    const masterOf = async () => ((looks += 1) === 1 ? node : Promise.reject(new Error('nobody knows')));
    const topology = { masterOf, suspect: () => {} } as unknown as ClusterTopology;
    const client = openClient({ url: undefined, options: {} }, 1_000, { Connector: slotConnector(topology, 0) });
    await once(client, 'ready');
    client.stream.destroy();
    await eventually('it to look', async () => looks > 1);
    client.disconnect(true);
    const before = looks;
    await eventually('it to go on', async () => looks > before);
    expect(client.status).toBe('connecting');
    const ended = once(client, 'end');
    client.disconnect();
    await ended;
  });

  it('is followed when its replica takes over in order, which leaves the former one running', async () => {
    const destination = destinationName();
    const transport = make();
    const publisher = transport.publisher();
    const got = recorder();
    await transport.receiver(destination, got.handle, { concurrency: 1, ordered: true }).start();
    await publishAtLast(publisher, [outbound(destination, 1)]);
    await got.until((seen) => seen.length === 1);
    const former = await sentinel.primary();
    const port = Number(/:(\d+)/.exec(sentinel.url)?.[1]);
    await eventually('the failover to begin', async () =>
      redisCommand(port, ['SENTINEL', 'FAILOVER', 'holdfast']).then(
        () => true,
        () => false,
      ),
    );
    await eventually('another primary', async () => (await sentinel.primary()) !== former);
    await publishAtLast(publisher, [outbound(destination, 2)]);
    await got.until((seen) => seen.some(({ n }) => n === 2));
  });
});

describe('replicas', () => {
  it('are waited for; without one, the message is published again until there is one', async () => {
    const lone = await startPrivate();
    const publisher = make({ connection: lone.url, replicas: 1, publishTimeout: 600 }).publisher();
    const message = outbound(destinationName(), 1);
    expect(await rejection(publisher.publish([message], { signal: NEVER }))).toMatchObject(tooFew);
    const replica = await startPrivate('--replicaof', '127.0.0.1', String(lone.port));
    await publishAtLast(publisher, [message]);
    const copy = new Redis(replica.url);
    expect(await copy.llen(`holdfast:${message.destination}:wait`)).toBe(1);

    // One that is known, and does not answer: also to somebody who only finds the message there already.
    const thaw = await freeze(replica);
    const late = outbound(message.destination, 2);
    expect(await rejection(publisher.publish([late], { signal: NEVER }))).toMatchObject(tooFew);
    const other = make({ connection: lone.url, replicas: 1, publishTimeout: 600 }).publisher();
    expect(await rejection(other.publish([late], { signal: NEVER }))).toMatchObject(tooFew);
    thaw();
    expect(await other.publish([late], { signal: NEVER })).toEqual(published);
    expect(await copy.llen(`holdfast:${message.destination}:wait`)).toBe(2);
    copy.disconnect();
  });

  it('do not count when the connection broke before they were asked: the next one has written nothing', async () => {
    const lone = await startPrivate();
    await startPrivate('--replicaof', '127.0.0.1', String(lone.port));
    const proxy = await startTcpProxy(lone.url);
    onTestFinished(() => proxy.close());
    const publisher = make({ connection: proxy.url, replicas: 1 }).publisher();
    await publishAtLast(publisher, [outbound(destinationName(), 1)]);
    proxy.judge = (bytes) => (/\r\nwait\r\n/i.test(bytes.toString('latin1')) ? 'before' : 'pass');
    const failure = await rejection(publisher.publish([outbound(destinationName(), 2)], { signal: NEVER }));
    expect(failure).toMatchObject({ code: 'HF_TRANSPORT_UNAVAILABLE' });
    expect(proxy.cuts.before).toBe(1);
  });
});
