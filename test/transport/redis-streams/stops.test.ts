/**
 * What a receiver leaves behind when it stops: what was read and not begun comes to the next one at once and uncounted, and a partition whose
 * messages may still be handled is nobody's until its claim has run out.
 */
import { expect, it, onTestFinished } from 'vitest';
import type { Receiver } from '../../../src/transport/port.ts';
import { ACKNOWLEDGED, destinationName, NEVER, outbound, recorder } from '../../../src/testing/transport/kit.ts';
import { eventually } from '../../support/eventually.ts';
import { startTcpProxy } from '../../support/faults/tcp-proxy.ts';
import { sharedRedisUrl } from '../../support/servers.ts';
import { receiveFrom } from '../receive-from.ts';
import { adminOf, makeStreams, streamOf } from './streams-kit.ts';

/** Longer than the test: nothing is to be waited for until a claim has run out. */
const PATIENT = { lockDuration: '2m', stalledInterval: '1m' } as const;

it('gives back what had waited behind another of its key', async () => {
  const destination = destinationName();
  const transport = makeStreams({ connection: sharedRedisUrl(), ...PATIENT });
  const batch = [1, 2, 3].map((n) => outbound(destination, n, { key: 'k' }));
  await transport.publisher().publish(batch, { signal: NEVER });
  let finish: () => void = () => {};
  const first = recorder(async () => {
    await new Promise<void>((resolve) => void (finish = resolve));
    return ACKNOWLEDGED;
  });
  const receiver = await receiveFrom(transport, destination, first.handle, { concurrency: 4, ordered: true });
  await first.until((seen) => seen.length === 1);
  const admin = adminOf(sharedRedisUrl());
  await eventually('all to be read', async () => (await admin.xpending(streamOf(destination), 'holdfast'))[0] === 3);
  const stopped = receiver.stop();
  finish();
  await stopped;
  const next = recorder();
  await receiveFrom(transport, destination, next.handle, { concurrency: 4, ordered: true });
  await next.until((seen) => seen.length === 2);
  expect(next.seen.map(({ n, delivery }) => [n, delivery.redeliveries])).toEqual([
    [2, 0],
    [3, 0],
  ]);
});

it.each([true, false])('gives back what comes when it has been stopped: ordered %s', async (ordered) => {
  const proxy = await startTcpProxy(sharedRedisUrl());
  onTestFinished(() => proxy.close());
  const destination = destinationName();
  const near = makeStreams({ connection: sharedRedisUrl(), ...PATIENT });
  const far = makeStreams({ connection: proxy.url, ...PATIENT });
  const none = recorder();
  const receiver: Receiver = await receiveFrom(far, destination, none.handle, { ordered });
  const admin = adminOf(sharedRedisUrl());
  await near.publisher().publish([outbound(destination, 0)], { signal: NEVER });
  await none.until((seen) => seen.length === 1);
  await eventually('it to be done', async () => (await admin.xlen(streamOf(destination))) === 0);
  // When the request for the next message goes by.
  let stopped: Promise<void> | undefined;
  proxy.judge = (bytes) => {
    if (bytes.toString('latin1').includes(`{${destination}#0}:delayed`)) stopped ??= receiver.stop();
    return 'pass';
  };
  await near.publisher().publish([outbound(destination, 1)], { signal: NEVER });
  await eventually('the stop', async () => stopped !== undefined);
  await stopped;
  expect(none.seen).toHaveLength(1);
  const next = recorder();
  await receiveFrom(near, destination, next.handle, { ordered });
  await next.until((seen) => seen.length === 1);
  expect(next.seen.map(({ n, delivery }) => [n, delivery.redeliveries])).toEqual([[1, 0]]);
});

it('keeps a partition from others while a handler that does not obey may still be at work', async () => {
  const destination = destinationName();
  const transport = makeStreams({ connection: sharedRedisUrl(), ...PATIENT });
  const admin = adminOf(sharedRedisUrl());
  const owner = `${streamOf(destination)}:owner`;
  const hanging = recorder(() => new Promise(() => {}));
  await transport.publisher().publish([outbound(destination, 1)], { signal: NEVER });
  const hard = await receiveFrom(transport, destination, hanging.handle, { ordered: true });
  await hanging.until((seen) => seen.length === 1);
  await hard.stop({ signal: AbortSignal.abort() });
  expect(await admin.get(owner)).not.toBeNull();
  await admin.del(owner);
  const soft = await receiveFrom(transport, destination, recorder().handle, { ordered: true });
  await eventually('it to be owned', async () => (await admin.get(owner)) !== null);
  await soft.stop();
  expect(await admin.get(owner)).toBeNull();
});

it('waits for its last handler, and not for a Redis that is away', async () => {
  const proxy = await startTcpProxy(sharedRedisUrl());
  const destination = destinationName();
  const near = makeStreams({ connection: sharedRedisUrl(), ...PATIENT });
  let finish: () => void = () => {};
  const got = recorder(async () => {
    await new Promise<void>((resolve) => void (finish = resolve));
    return ACKNOWLEDGED;
  });
  const far = makeStreams({ connection: proxy.url, ...PATIENT });
  const receiver = await receiveFrom(far, destination, got.handle);
  await near.publisher().publish([outbound(destination, 0)], { signal: NEVER });
  await got.until((seen) => seen.length === 1);
  await proxy.close();
  const stopped = receiver.stop();
  finish();
  // Its verdict cannot be told any more: the message comes again.
  await stopped;
  expect(await adminOf(sharedRedisUrl()).xlen(streamOf(destination))).toBe(1);
});
