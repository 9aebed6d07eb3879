/**
 * Ordered destinations: who owns which partition, and that a message holds back its key alone.
 */
import { expect, it } from 'vitest';
import {
  ACKNOWLEDGED,
  destinationName,
  NEVER,
  numbers,
  outbound,
  recorder,
  rejection,
} from '../../../src/testing/transport/kit.ts';
import { eventually } from '../../support/eventually.ts';
import { sharedRedisUrl } from '../../support/servers.ts';
import { receiveFrom } from '../receive-from.ts';
import { adminOf, makeStreams, streamOf } from './streams-kit.ts';

it('runs the keys of a partition beside each other, and a later holds back its own alone', async () => {
  const destination = destinationName();
  const transport = makeStreams({ connection: sharedRedisUrl() });
  const batch = Array.from({ length: 12 }, (_, n) => outbound(destination, n, { key: `k${n % 3}` }));
  await transport.publisher().publish(batch, { signal: NEVER });
  let release: () => void = () => {};
  const released = new Promise<void>((resolve) => void (release = resolve));
  const got = recorder(async ({ n }, all) => {
    if (n === 1) await released;
    return n === 2 && all.filter((each) => each.n === 2).length === 1 ? { kind: 'later', delayMs: 300 } : ACKNOWLEDGED;
  });
  await receiveFrom(transport, destination, got.handle, { concurrency: 3, ordered: true });
  await got.until((seen) => seen.some(({ n }) => n === 9));
  const before = numbers(got.seen);
  expect(before.filter((n) => n % 3 === 1)).toEqual([1]);
  release();
  await got.until((seen) => seen.length === 13);
  expect(numbers(got.seen).filter((n) => n % 3 === 2)).toEqual([2, 2, 5, 8, 11]);
  expect(numbers(got.seen).filter((n) => n % 3 === 1)).toEqual([1, 4, 7, 10]);
});

it('shares partitions among receivers as they come and go', async () => {
  const destination = destinationName();
  const queues = { [destination]: { partitions: 4 } };
  const admin = adminOf(sharedRedisUrl());
  const owners = async (): Promise<readonly (string | null)[]> =>
    Promise.all([0, 1, 2, 3].map((partition) => admin.get(`${streamOf(destination, partition)}:owner`)));
  const counts = async (): Promise<readonly number[]> => {
    const names = (await owners()).filter((name) => name !== null);
    return [...new Set(names)].map((name) => names.filter((each) => each === name).length).toSorted((a, b) => a - b);
  };
  const start = async () => {
    const transport = makeStreams({ connection: sharedRedisUrl(), queues });
    return receiveFrom(transport, destination, recorder().handle, { concurrency: 4, ordered: true });
  };
  await start();
  await eventually('all to be owned', async () => (await counts()).join() === '4');
  const second = await start();
  await eventually('half of them to be passed on', async () => (await counts()).join() === '2,2');
  await second.stop();
  await eventually('them to be passed back', async () => (await counts()).join() === '4');
});

it('lets another receiver have a partition whose owner was deleted by hand, and the former one hear of it', async () => {
  const destination = destinationName();
  const transport = makeStreams({ connection: sharedRedisUrl(), lockDuration: '2s' });
  await transport.publisher().publish([outbound(destination, 1, { key: 'k' })], { signal: NEVER });
  const hanging = recorder(() => new Promise(() => {}));
  await receiveFrom(transport, destination, hanging.handle, { ordered: true });
  await hanging.until((seen) => seen.length === 1);
  const admin = adminOf(sharedRedisUrl());
  await admin.set(`${streamOf(destination)}:owner`, 'somebody else', 'PX', 2500);
  await eventually('it to hear', async () => hanging.seen[0]!.delivery.signal.aborted);
  // It waits for its own handler, which goes on; another need not.
  const got = recorder();
  await receiveFrom(transport, destination, got.handle, { ordered: true });
  await got.until((seen) => seen.length === 1);
  expect(got.seen[0]!.delivery.redeliveries).toBe(1);
});

it('has a publisher of another number of partitions wait until an ordered destination is drained, and turn the former away', async () => {
  const destination = destinationName();
  const of = (partitions: number) =>
    makeStreams({ connection: sharedRedisUrl(), queues: { [destination]: { partitions } } });
  const [narrow, wide] = [of(1), of(3)];
  let release = (): void => {};
  const released = new Promise<void>((resolve) => void (release = resolve));
  const got = recorder(async ({ n }) => {
    // Once more if the claim was lost meanwhile.
    if (n === 0) await released;
    return ACKNOWLEDGED;
  });
  await receiveFrom(narrow, destination, got.handle, { ordered: true, concurrency: 3 });
  const [before, after] = [narrow.publisher(), wide.publisher()];
  await before.publish([outbound(destination, 0, { key: 'k' })], { signal: NEVER });
  await got.until((seen) => seen.length === 1);
  const waiting = { code: 'HF_TRANSPORT_UNAVAILABLE', message: expect.stringContaining('holds 1 messages') as string };
  expect(await rejection(after.publish([outbound(destination, 1, { key: 'k' })], { signal: NEVER }))).toMatchObject(
    waiting,
  );
  // From here on the former adds nothing either, so that what is there comes to an end.
  expect(await rejection(before.publish([outbound(destination, 2, { key: 'k' })], { signal: NEVER }))).toMatchObject(
    waiting,
  );
  expect(await adminOf(sharedRedisUrl()).xlen(streamOf(destination))).toBe(1);
  release();
  await eventually('it to be drained', async () => (await adminOf(sharedRedisUrl()).xlen(streamOf(destination))) === 0);
  await after.publish([outbound(destination, 3, { key: 'k' })], { signal: NEVER });
  await got.until((seen) => seen.length === 2);
  await eventually('it to be drained', async () =>
    before
      .publish([outbound(destination, 4, { key: 'k' })], { signal: NEVER })
      .catch(() => false as const)
      .then((done) => done !== false),
  );
  await got.until((seen) => seen.length === 3);
  expect(numbers(got.seen)).toEqual([0, 3, 4]);
});

it('is begun by several publishers at once, of which none takes the messages of another for those of a former layout', async () => {
  for (let turn = 0; turn < 10; turn += 1) {
    const destination = destinationName();
    const make = () => makeStreams({ connection: sharedRedisUrl(), queues: { [destination]: { partitions: 6 } } });
    const transports = Array.from({ length: 4 }, make);
    await receiveFrom(transports[0]!, destination, recorder().handle, { ordered: true });
    await eventually('the order to be known', async () =>
      adminOf(sharedRedisUrl()).hget(`holdfast-streams:{${destination}}:meta`, 'ordered'),
    );
    const batch = Array.from({ length: 24 }, (_, n) => outbound(destination, n, { key: `k${n}` }));
    const published = transports.map((transport) => transport.publisher().publish(batch, { signal: NEVER }));
    expect((await Promise.allSettled(published)).map(({ status }) => status)).toEqual(
      transports.map(() => 'fulfilled'),
    );
  }
});
