/**
 * A receiver on Redis whose connections break or fall silent one by one: it goes on by itself, and it can be stopped in every state.
 */
import { describe, expect, it, type TestContext } from 'vitest';
import { resolveBullmqOptions } from '../../../src/transport/bullmq/options.ts';
import { startReceiving } from '../../../src/transport/bullmq/receiving.ts';
import type { ReceiverConnection } from '../../../src/transport/bullmq/broker.ts';
import { redisConnections } from '../../../src/transport/bullmq/redis-connections.ts';
import { resolveRedisPlace } from '../../../src/transport/redis/redis-place.ts';
import type { RunningReceiver } from '../../../src/transport/running-receiver.ts';
import { createBullmqTransport } from '../../../src/transport/bullmq/redis-transport.ts';
import { destinationName, NEVER, outbound, recorder } from '../../../src/testing/transport/kit.ts';
import { eventually } from '../../support/eventually.ts';
import { startTcpProxy, type TcpProxy } from '../../support/faults/tcp-proxy.ts';
import { sharedRedisUrl, uniquePrefix } from '../../support/servers.ts';

/** Claims that run out soon: what was taken with its answer lost need not be waited for. */
const SHORT = { lockDuration: 2_000, stalledInterval: 500 };

interface Bench {
  readonly proxy: TcpProxy;
  readonly got: ReturnType<typeof recorder>;
  /** Past the proxy. */
  readonly publish: (n: number) => Promise<void>;
  /** Through the proxy. */
  readonly start: () => { readonly receiver: RunningReceiver; readonly connection: ReceiverConnection };
}

async function openBench({ onTestFinished }: Pick<TestContext, 'onTestFinished'>): Promise<Bench> {
  const proxy = await startTcpProxy(sharedRedisUrl());
  onTestFinished(() => proxy.close());
  const prefix = uniquePrefix();
  const destination = destinationName();
  const near = createBullmqTransport({ connection: sharedRedisUrl(), prefix });
  onTestFinished(() => near.close());
  const publisher = near.publisher();
  const got = recorder();
  return {
    proxy,
    got,
    publish: async (n) => void (await publisher.publish([outbound(destination, n)], { signal: NEVER })),
    start() {
      const settings = resolveBullmqOptions({ ...SHORT, publishTimeout: 60_000 }, 'the test');
      const place = resolveRedisPlace(proxy.url, 'the test');
      const connection = redisConnections({ place, prefix, replicas: 0 }).openReceiverConnection(settings);
      const options = { concurrency: 1, ordered: false };
      const receiver = startReceiving({ kind: 'test', connection, settings, destination, handle: got.handle, options });
      onTestFinished(() => connection.disconnect());
      return { receiver, connection };
    },
  };
}

const has = (text: string) => (bytes: Buffer) => bytes.toString('latin1').includes(text);
/** The connection on which a worker waits for jobs says so in its name. */
const isOfWaiting = has(':w:holdfast');
const isScript = has('evalsha');
const isInfo = has('info');

/** Many times what it takes; without an end, the test would say less. */
const STOPPED_WITHIN_MS = 30_000;
async function stops(receiver: RunningReceiver): Promise<void> {
  const late = new Promise((resolve) => setTimeout(() => resolve('still stopping'), STOPPED_WITHIN_MS).unref());
  expect(await Promise.race([receiver.stop(undefined), late])).toBeUndefined();
}

/** What the receiver does by itself every half a minute. */
async function takesInTheEnd({ got }: Bench, connection: ReceiverConnection): Promise<void> {
  const looking = setInterval(() => connection.cutSilent?.(), 1_500);
  try {
    await eventually('the message', async () => got.seen.some(({ n }) => n === 2), 60_000);
  } finally {
    clearInterval(looking);
  }
}

// Beside each other: most of the time each waits for a pause before the next attempt, or for a look.
describe.concurrent('a receiver', () => {
  it('can be stopped while one of its connections is refused again and again', async (context) => {
    const { proxy, start } = await openBench(context);
    // As Redis does with one client too many.
    proxy.judge = (bytes) => (isOfWaiting(bytes) ? 'before' : 'pass');
    const { receiver } = start();
    await eventually('some attempts', async () => proxy.cuts.before >= 6);
    // Into the pause before the next one, which is of 300 ms by now.
    await new Promise((resolve) => setTimeout(resolve, 100));
    await stops(receiver);
  });

  it('can be stopped with a command under way, when each further connection is taken and broken', async (context) => {
    const { proxy, got, publish, start } = await openBench(context);
    const { receiver } = start();
    await publish(1);
    await got.until((seen) => seen.length === 1);
    // As a proxy does whose Redis is away.
    let away = false;
    proxy.judge = (bytes) => {
      away ||= isScript(bytes);
      return away ? 'before' : 'pass';
    };
    await eventually('the command to be cut off, and some attempts', async () => proxy.cuts.before >= 8);
    await stops(receiver);
  });

  it('can be stopped while it starts, wherever it is', async (context) => {
    for (let at = 1; at <= 14; at += 1) {
      const { proxy, start } = await openBench(context);
      let seen = 0;
      const reached = new Promise<void>((resolve) => {
        proxy.judge = () => {
          seen += 1;
          if (seen === at) resolve();
          return 'pass';
        };
      });
      const { receiver } = start();
      await Promise.race([reached, new Promise((resolve) => setTimeout(resolve, 2_000))]);
      await stops(receiver);
    }
  });

  it('takes messages again when its connections have fallen silent', async (context) => {
    const bench = await openBench(context);
    const { receiver, connection } = bench.start();
    await bench.publish(1);
    await bench.got.until((seen) => seen.length === 1);
    bench.proxy.darken();
    await bench.publish(2);
    await takesInTheEnd(bench, connection);
    await stops(receiver);
  });

  it.for([1, 2, 3, 4])('starts when its connections have fallen silent at answer %i to INFO', async (at, context) => {
    const bench = await openBench(context);
    let infos = 0;
    // The server has it, and its answer does not come.
    bench.proxy.judge = (bytes) => {
      if (isInfo(bytes) && (infos += 1) === at) bench.proxy.darken();
      return 'pass';
    };
    const { receiver, connection } = bench.start();
    await bench.publish(2);
    await takesInTheEnd(bench, connection);
    await stops(receiver);
  });
});
