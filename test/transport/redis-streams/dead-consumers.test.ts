/**
 * Consumers that die, hang or are cut off: their messages come again to others, counted if they had been given out and uncounted if not;
 * what is alive keeps what it has.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { expect, it } from 'vitest';
import {
  destinationName,
  ACKNOWLEDGED,
  NEVER,
  numbers,
  outbound,
  recorder,
} from '../../../src/testing/transport/kit.ts';
import { eventually } from '../../support/eventually.ts';
import { startTcpProxy } from '../../support/faults/tcp-proxy.ts';
import { programPath } from '../../support/programs.ts';
import { sharedRedisUrl } from '../../support/servers.ts';
import { receiveFrom } from '../receive-from.ts';
import { adminOf, makeStreams, streamOf } from './streams-kit.ts';

it.each(['ordered', 'unordered'])('gives what a killed process had in hand to another, counted: %s', async (order) => {
  const ordered = order === 'ordered';
  const transport = makeStreams({ connection: sharedRedisUrl() });
  const destination = destinationName();
  // Of the key a one was given out and one waits behind it; of b one was given out.
  const batch = [
    outbound(destination, 1, { key: 'a' }),
    outbound(destination, 2, { key: 'a' }),
    outbound(destination, 3, { key: 'b' }),
  ];
  await transport.publisher().publish(batch, { signal: NEVER });
  const givenOut = ordered ? [1, 3] : [1, 2, 3];
  for (let death = 0; death < 2; death += 1) {
    const child = fork(programPath('hanging-streams-consumer.ts'), [sharedRedisUrl(), destination, order]);
    const told: { n: number; redeliveries: number }[] = [];
    child.on('message', (message) => told.push(message as { n: number; redeliveries: number }));
    await eventually('the messages', async () => told.length === givenOut.length);
    expect(told.toSorted((one, other) => one.n - other.n)).toEqual(givenOut.map((n) => ({ n, redeliveries: death })));
    child.kill('SIGKILL');
    await once(child, 'exit');
  }
  const got = recorder((_, all) => (all.length <= 2 ? { kind: 'later', delayMs: 5 } : ACKNOWLEDGED));
  await receiveFrom(transport, destination, got.handle, { concurrency: 8, ordered });
  const admin = adminOf(sharedRedisUrl());
  await eventually('all to be done', async () => (await admin.xlen(streamOf(destination))) === 0);
  const counted = got.seen.map(({ n, delivery }) => [n, delivery.redeliveries]);
  for (const [n = 0, redeliveries] of counted)
    expect({ n, redeliveries }).toEqual({ n, redeliveries: givenOut.includes(n) ? 2 : 0 });
  const ofA = numbers(got.seen.filter(({ key }) => key === 'a'));
  if (ordered) expect(ofA).toEqual(ofA.toSorted((a, b) => a - b));
});

it.each([true, false])('keeps what a slow handler has, for as long as it takes: ordered %s', async (ordered) => {
  const transport = makeStreams({ connection: sharedRedisUrl() });
  const destination = destinationName();
  let finish: () => void = () => {};
  const got = recorder(async () => {
    await new Promise<void>((resolve) => void (finish = resolve));
    return ACKNOWLEDGED;
  });
  await transport.publisher().publish([outbound(destination, 1)], { signal: NEVER });
  await receiveFrom(transport, destination, got.handle, { ordered });
  await got.until((seen) => seen.length === 1);
  const other = recorder();
  await receiveFrom(makeStreams({ connection: sharedRedisUrl() }), destination, other.handle, { ordered });
  // Three times as long as a claim lasts.
  await new Promise((resolve) => setTimeout(resolve, 1200));
  expect(other.seen).toEqual([]);
  expect(got.seen[0]!.delivery.signal.aborted).toBe(false);
  finish();
  await eventually('it to be done', async () => (await adminOf(sharedRedisUrl()).xlen(streamOf(destination))) === 0);
  expect([got.seen.length, other.seen.length]).toEqual([1, 0]);
});

it.each([true, false])(
  'tells a consumer that was cut off that its message is lost, and hears its verdict no more: ordered %s',
  async (ordered) => {
    const proxy = await startTcpProxy(sharedRedisUrl());
    const destination = destinationName();
    const near = makeStreams({ connection: sharedRedisUrl() });
    const cutOff = makeStreams({ connection: proxy.url, publishTimeout: 300 });
    let finish: () => void = () => {};
    const got = recorder(async () => {
      await new Promise<void>((resolve) => void (finish = resolve));
      return ACKNOWLEDGED;
    });
    await near
      .publisher()
      .publish([outbound(destination, 1, { key: 'k' }), outbound(destination, 2, { key: 'k' })], { signal: NEVER });
    const receiver = await receiveFrom(cutOff, destination, got.handle, { ordered });
    await got.until((seen) => seen.length === 1);
    proxy.blackOut();
    const released: (() => void)[] = [];
    const other = recorder(async ({ n }) => {
      if (n === 1) await new Promise<void>((resolve) => void released.push(resolve));
      return ACKNOWLEDGED;
    });
    await receiveFrom(near, destination, other.handle, { ordered });
    await other.until((seen) => seen.some(({ n }) => n === 1));
    expect(other.seen.find(({ n }) => n === 1)!.delivery.redeliveries).toBe(1);
    await eventually('it to hear of it', async () => got.seen[0]!.delivery.signal.aborted);
    // Its late verdict takes nothing away from who has the message now.
    proxy.lighten();
    finish();
    await new Promise((resolve) => setTimeout(resolve, 500));
    if (ordered) expect(numbers(other.seen)).toEqual([1]);
    const admin = adminOf(sharedRedisUrl());
    expect(await admin.xlen(streamOf(destination))).toBeGreaterThanOrEqual(ordered ? 2 : 1);
    released.forEach((release) => release());
    await eventually('all to be done', async () => (await admin.xlen(streamOf(destination))) === 0);
    await receiver.stop({ signal: AbortSignal.abort() });
    await proxy.close();
  },
);

it('forgets consumers that have gone, and never one that has messages', async () => {
  const destination = destinationName();
  const transport = makeStreams({ connection: sharedRedisUrl(), lockDuration: '1h' });
  await transport.publisher().publish([outbound(destination, 1)], { signal: NEVER });
  const admin = adminOf(sharedRedisUrl());
  const names = async () => (await admin.xinfo('CONSUMERS', streamOf(destination), 'holdfast')) as unknown[];
  const lost = recorder(() => new Promise(() => {}));
  const hard = await receiveFrom(transport, destination, lost.handle);
  await lost.until((seen) => seen.length === 1);
  const handled = recorder();
  const idle = await receiveFrom(transport, destination, handled.handle);
  await transport.publisher().publish([outbound(destination, 2)], { signal: NEVER });
  await handled.until((seen) => seen.length === 1);
  await eventually('both', async () => (await names()).length === 2);
  await idle.stop();
  expect(await names()).toHaveLength(1);
  await hard.stop({ signal: AbortSignal.abort() });
  expect(await names()).toHaveLength(1);
  expect((await admin.xpending(streamOf(destination), 'holdfast'))[0]).toBe(1);
});
