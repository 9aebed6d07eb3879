/**
 * Publishers and receivers whose connections break or fall silent at any command: nothing is lost, nothing is counted that nobody has seen,
 * order holds, and a receiver can be stopped in every state.
 */
import { expect, it, onTestFinished } from 'vitest';
import type { Receiver } from '../../../src/transport/port.ts';
import {
  destinationName,
  NEVER,
  numbers,
  outbound,
  publishAtLast,
  recorder,
} from '../../../src/testing/transport/kit.ts';
import { eventually } from '../../support/eventually.ts';
import { startTcpProxy, type TcpProxy } from '../../support/faults/tcp-proxy.ts';
import { sharedRedisUrl } from '../../support/servers.ts';
import { receiveFrom } from '../receive-from.ts';
import { adminOf, makeStreams, streamOf } from './streams-kit.ts';

async function openProxy(): Promise<TcpProxy> {
  const proxy = await startTcpProxy(sharedRedisUrl());
  onTestFinished(() => proxy.close());
  return proxy;
}

const isScript = (bytes: Buffer): boolean => /evalsha/i.test(bytes.toString('latin1'));
const isWait = (bytes: Buffer): boolean => /xread\r/i.test(bytes.toString('latin1'));

/** Many times what it takes; without an end, the test would say less. */
async function stops(receiver: Receiver): Promise<void> {
  const late = new Promise((resolve) => setTimeout(() => resolve('still stopping'), 30_000).unref());
  expect(await Promise.race([receiver.stop(), late])).toBeUndefined();
}

it.each([
  ['before', true],
  ['after', true],
  ['before', false],
  ['after', false],
] as const)(
  'handles all of them, uncounted, when every ninth command is cut off %s Redis has it: ordered %s',
  async (fate, ordered) => {
    const proxy = await openProxy();
    const destination = destinationName();
    // Longer than the test: nothing is to be waited for until a claim has run out.
    const queues = { [destination]: { partitions: 2 } };
    const patient = { lockDuration: '1m', stalledInterval: 150, queues } as const;
    const near = makeStreams({ connection: sharedRedisUrl(), ...patient });
    const far = makeStreams({ connection: proxy.url, ...patient });
    let scripts = 0;
    proxy.judge = (bytes) => (isScript(bytes) && (scripts += 1) % 9 === 0 ? fate : 'pass');
    const tried = new Set<number>();
    const running = new Set<string>();
    const overlaps: number[] = [];
    const done = new Map<string, number[]>();
    const got = recorder(async ({ n, key }) => {
      if (running.has(key!)) overlaps.push(n);
      running.add(key!);
      await new Promise((resolve) => setImmediate(resolve));
      running.delete(key!);
      if (n % 7 === 0 && !tried.has(n)) {
        tried.add(n);
        return { kind: 'later', delayMs: 10 };
      }
      done.set(key!, [...(done.get(key!) ?? []), n]);
      return { kind: 'done' };
    });
    await receiveFrom(far, destination, got.handle, { concurrency: 6, ordered });
    const publisher = near.publisher();
    const admin = adminOf(sharedRedisUrl());
    for (let round = 0; round < 10; round += 1) {
      const batch = Array.from({ length: 20 }, (_, i) => outbound(destination, round * 20 + i, { key: `k${i % 5}` }));
      await publisher.publish(batch, { signal: NEVER });
      await got.until((seen) => seen.length >= round * 20);
    }
    await eventually('all to be done', async () => {
      const lengths = await Promise.all([0, 1].map((partition) => admin.xlen(streamOf(destination, partition))));
      return lengths.every((length) => length === 0);
    });
    expect(proxy.cuts[fate]).toBeGreaterThan(3);
    expect(new Set(numbers(got.seen)).size).toBe(200);
    expect(got.seen.filter(({ delivery }) => delivery.redeliveries > 0)).toEqual([]);
    if (!ordered) return;
    expect(overlaps).toEqual([]);
    for (const order of done.values()) expect(order).toEqual(order.toSorted((a, b) => a - b));
  },
);

it('publishes in order although every third command is cut off, and nothing is lost', async () => {
  const proxy = await openProxy();
  const destination = destinationName();
  let scripts = 0;
  proxy.judge = (bytes) => (isScript(bytes) && (scripts += 1) % 3 === 0 ? 'after' : 'pass');
  const publisher = makeStreams({ connection: proxy.url }).publisher();
  for (let round = 0; round < 10; round += 1) {
    const batch = Array.from({ length: 10 }, (_, i) => outbound(destination, round * 10 + i, { key: 'k' }));
    await publishAtLast(publisher, batch);
  }
  const first: number[] = [];
  const got = recorder(({ n }) => {
    if (!first.includes(n)) first.push(n);
    return { kind: 'done' };
  });
  await receiveFrom(makeStreams({ connection: sharedRedisUrl() }), destination, got.handle, { ordered: true });
  await got.until(() => first.length === 100);
  expect(first).toEqual(Array.from({ length: 100 }, (_, n) => n));
  expect(proxy.cuts.after).toBeGreaterThan(2);
});

it('can be stopped while each of its connections is refused, or waits, or falls silent', async () => {
  const refusing =
    (what: (bytes: Buffer) => boolean) =>
    (proxy: TcpProxy): void => {
      proxy.judge = (bytes) => (what(bytes) ? 'before' : 'pass');
      proxy.cutAll();
    };
  const kinds: ((proxy: TcpProxy) => void)[] = [
    refusing(() => true),
    refusing(isWait),
    refusing(isScript),
    (proxy) => proxy.blackOut(),
    () => {},
  ];
  for (const spoil of kinds) {
    for (const ordered of [true, false]) {
      const proxy = await openProxy();
      const destination = destinationName();
      const transport = makeStreams({ connection: proxy.url, publishTimeout: 500 });
      const receiver = await receiveFrom(transport, destination, recorder().handle, { ordered });
      await eventually('a first look', () => receiver.look!({ signal: NEVER }).catch(() => undefined));
      spoil(proxy);
      await new Promise((resolve) => setTimeout(resolve, 50));
      await stops(receiver);
    }
  }
});

it('can be stopped while it starts, wherever it is', async () => {
  for (let at = 1; at <= 10; at += 1) {
    const proxy = await openProxy();
    let seen = 0;
    const reached = new Promise<void>((resolve) => {
      proxy.judge = () => {
        seen += 1;
        if (seen === at) resolve();
        return 'pass';
      };
    });
    const transport = makeStreams({ connection: proxy.url });
    const receiver = await receiveFrom(transport, destinationName(), recorder().handle, { ordered: at % 2 === 0 });
    await Promise.race([reached, new Promise((resolve) => setTimeout(resolve, 1000))]);
    await stops(receiver);
  }
});

it('finds out that its connections have fallen silent, and takes messages again', async () => {
  const proxy = await openProxy();
  const destination = destinationName();
  const near = makeStreams({ connection: sharedRedisUrl() }).publisher();
  const got = recorder();
  const errors: Error[] = [];
  // It asks every 150 ms, for it says that it lives, and waits for a message for 5 s at most.
  const far = makeStreams({ connection: proxy.url, publishTimeout: 500, onError: (error) => void errors.push(error) });
  await receiveFrom(far, destination, got.handle);
  await near.publish([outbound(destination, 1)], { signal: NEVER });
  await got.until((seen) => seen.length === 1);
  proxy.darken();
  await near.publish([outbound(destination, 2)], { signal: NEVER });
  await got.until((seen) => seen.length === 2);
  expect(errors.some(({ message }) => /no answer within/.test(message))).toBe(true);
});

it('leaves no listeners behind with each of ten reconnects', async () => {
  const warnings: string[] = [];
  const onWarning = (warning: Error): void => void warnings.push(`${warning.name}: ${warning.message}`);
  process.on('warning', onWarning);
  onTestFinished(() => void process.off('warning', onWarning));
  const proxy = await openProxy();
  const destination = destinationName();
  const transport = makeStreams({ connection: proxy.url, queues: { [destination]: { partitions: 3 } } });
  const got = recorder();
  const publisher = transport.publisher();
  for (const ordered of [true, false])
    await receiveFrom(transport, destination, got.handle, { concurrency: 2, ordered });
  for (let round = 0; round < 12; round += 1) {
    await publishAtLast(publisher, [outbound(destination, round)]);
    await got.until((seen) => seen.some(({ n }) => n === round));
    proxy.cutAll();
  }
  expect(warnings).toEqual([]);
});
