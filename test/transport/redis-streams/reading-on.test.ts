/**
 * Backlogs without order, which are read on by plain commands: nothing is lost or counted when a connection breaks, what was put off is not
 * forgotten over them, and a death between two of the commands leaves no message behind.
 */
import { describe, expect, it, onTestFinished } from 'vitest';
import type { Publisher } from '../../../src/transport/port.ts';
import { ReadingWay } from '../../../src/transport/redis-streams/reading-way.ts';
import {
  ACKNOWLEDGED,
  destinationName,
  NEVER,
  numbers,
  outbound,
  recorder,
} from '../../../src/testing/transport/kit.ts';
import { eventually } from '../../support/eventually.ts';
import { startTcpProxy } from '../../support/faults/tcp-proxy.ts';
import { sharedRedisUrl } from '../../support/servers.ts';
import { receiveFrom } from '../receive-from.ts';
import { adminOf, makeStreams, streamOf } from './streams-kit.ts';

/** Longer than the test: nothing is to be waited for until a claim has run out. */
const PATIENT = { lockDuration: '2m', stalledInterval: '1m' } as const;
const BACKLOG = 1500;
/** By plain commands: a script has no names of commands in what is sent. */
const isReadOn = (bytes: Buffer): boolean => /xreadgroup\r/.test(bytes.toString('latin1'));

async function publishBacklog(publisher: Publisher, destination: string): Promise<void> {
  const batch = Array.from({ length: BACKLOG }, (_, n) => outbound(destination, n));
  await publisher.publish(batch, { signal: NEVER });
}

/** Nothing is in Redis any more, neither a message nor what says that somebody was given one. */
async function untilNothingIsLeft(destination: string): Promise<void> {
  const admin = adminOf(sharedRedisUrl());
  await eventually('all to be done', async () => {
    if ((await admin.xlen(streamOf(destination))) > 0) return false;
    const [pending] = await admin.xpending(streamOf(destination), 'holdfast');
    return pending === 0;
  });
}

describe('ReadingWay', () => {
  const many = { later: 0, take: 256 };

  it('reads on behind many that were new, when many are wanted and none is to be put off', () => {
    const way = new ReadingWay();
    expect(way.mayReadOn(many)).toBe(false);
    way.hasReadWholly({ due: 0, fresh: 256 });
    expect([way.mayReadOn(many), way.mayReadOn({ ...many, later: 1 }), way.mayReadOn({ ...many, take: 8 })]).toEqual([
      true,
      false,
      false,
    ]);
    way.hasReadOn({ fresh: 5 });
    expect(way.mayReadOn(many)).toBe(false);
  });

  it('reads wholly behind what was put off and is due: there may be more of it', () => {
    const way = new ReadingWay();
    way.hasReadWholly({ due: 1, fresh: 255 });
    expect(way.mayReadOn(many)).toBe(false);
  });

  it('reads wholly every sixteenth time, whatever comes', () => {
    const way = new ReadingWay();
    const ways = Array.from({ length: 48 }, () => {
      const readOn = way.mayReadOn(many);
      if (readOn) way.hasReadOn({ fresh: 256 });
      else way.hasReadWholly({ due: 0, fresh: 256 });
      return readOn;
    });
    expect(ways.flatMap((readOn, index) => (readOn ? [] : [index]))).toEqual([0, 16, 32]);
  });
});

it.each(['before', 'after'] as const)(
  'handles a backlog whole, uncounted, when every fifth read is cut off %s Redis has it',
  async (fate) => {
    const proxy = await startTcpProxy(sharedRedisUrl());
    onTestFinished(() => proxy.close());
    const destination = destinationName();
    await publishBacklog(makeStreams({ connection: sharedRedisUrl() }).publisher(), destination);
    let reads = 0;
    proxy.judge = (bytes) => (isReadOn(bytes) && (reads += 1) % 5 === 0 ? fate : 'pass');
    const got = recorder();
    await receiveFrom(makeStreams({ connection: proxy.url, ...PATIENT }), destination, got.handle, { concurrency: 64 });
    await untilNothingIsLeft(destination);
    expect(proxy.cuts[fate]).toBeGreaterThan(1);
    expect(numbers(got.seen).toSorted((a, b) => a - b)).toEqual(Array.from({ length: BACKLOG }, (_, n) => n));
    expect(got.seen.filter(({ delivery }) => delivery.redeliveries > 0)).toEqual([]);
  },
);

it('hands out again what was put off while there is a backlog', async () => {
  const destination = destinationName();
  const transport = makeStreams({ connection: sharedRedisUrl(), ...PATIENT });
  await publishBacklog(transport.publisher(), destination);
  const got = recorder(({ n }, all) => {
    const isFirst = numbers(all).filter((each) => each === n).length === 1;
    return n === 3 && isFirst ? { kind: 'later', delayMs: 1 } : ACKNOWLEDGED;
  });
  await receiveFrom(transport, destination, got.handle, { concurrency: 32 });
  await untilNothingIsLeft(destination);
  expect(got.seen).toHaveLength(BACKLOG + 1);
  expect(numbers(got.seen).lastIndexOf(3)).toBeLessThan(BACKLOG - 100);
});

it('deletes before it acknowledges, so that a death in between leaves nothing that nobody is given', async () => {
  const proxy = await startTcpProxy(sharedRedisUrl());
  onTestFinished(() => proxy.close());
  const destination = destinationName();
  const near = makeStreams({ connection: sharedRedisUrl() });
  await publishBacklog(near.publisher(), destination);
  const orders = new Set<boolean>();
  proxy.judge = (bytes) => {
    const text = bytes.toString('latin1');
    if (isReadOn(bytes) && /xack\r/.test(text)) orders.add(text.indexOf('xdel\r') < text.indexOf('xack\r'));
    return 'pass';
  };
  await receiveFrom(makeStreams({ connection: proxy.url }), destination, recorder().handle, { concurrency: 64 });
  await untilNothingIsLeft(destination);
  expect([...orders]).toEqual([true]);
});

it('forgets messages that a dead consumer had deleted and not acknowledged', async () => {
  const destination = destinationName();
  const transport = makeStreams({ connection: sharedRedisUrl() });
  await transport.publisher().publish([outbound(destination, 1)], { signal: NEVER });
  const hanging = recorder(() => new Promise(() => {}));
  const dead = await receiveFrom(transport, destination, hanging.handle);
  await hanging.until((seen) => seen.length === 1);
  await dead.stop({ signal: AbortSignal.abort() });
  const admin = adminOf(sharedRedisUrl());
  const [[id]] = (await admin.xrange(streamOf(destination), '-', '+')) as [[string, unknown]];
  await admin.xdel(streamOf(destination), id);
  const next = recorder();
  await receiveFrom(transport, destination, next.handle);
  await untilNothingIsLeft(destination);
  expect(next.seen).toEqual([]);
});
