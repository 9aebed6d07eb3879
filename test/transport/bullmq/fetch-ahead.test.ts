import { describe, expect, it } from 'vitest';
import { nextAsk } from '../../../src/transport/bullmq/fetch-ahead.ts';
import { createBullmqTransport } from '../../../src/transport/bullmq/redis-transport.ts';
import type { Delivery, Transport, Verdict } from '../../../src/transport/port.ts';
import { ACKNOWLEDGED, destinationName, NEVER, outbound } from '../../../src/testing/transport/kit.ts';
import { eventually } from '../../support/eventually.ts';
import { startTcpProxy } from '../../support/faults/tcp-proxy.ts';
import { sharedRedisUrl, uniquePrefix } from '../../support/servers.ts';

const BURST = 32;

/** The burst lies in the queue before anybody reads it. */
async function publishBurst(transport: Transport, destination: string): Promise<void> {
  const messages = Array.from({ length: BURST }, (_, n) => outbound(destination, n));
  const publisher = transport.publisher();
  const outcomes = await publisher.publish(messages, { signal: NEVER });
  expect(outcomes.every(({ kind }) => kind === 'published')).toBe(true);
}

describe('nextAsk', () => {
  it('asks for more while all that was asked for is there, and for as many as there were when not', () => {
    const burst = [1, 2, 8].map((asked) => nextAsk(asked, asked));
    expect(burst).toEqual([2, 8, 32]);
    expect([nextAsk(8, 3), nextAsk(8, 0), nextAsk(1, 0)]).toEqual([3, 1, 1]);
  });
});

describe('a receiver of BullMQ on Redis', () => {
  it('takes a burst in a few round trips', async () => {
    const proxy = await startTcpProxy(sharedRedisUrl());
    const prefix = uniquePrefix();
    const near = createBullmqTransport({ connection: sharedRedisUrl(), prefix });
    const far = createBullmqTransport({ connection: proxy.url, prefix });
    const gate = withResolvers();
    let [asked, taken] = [0, 0];
    proxy.judge = (bytes) => {
      if (isScript(bytes)) asked += 1;
      return 'pass';
    };
    try {
      const destination = destinationName();
      await publishBurst(near, destination);
      const hold = async (): Promise<Verdict> => {
        taken += 1;
        await gate.promise;
        return ACKNOWLEDGED;
      };
      await far.receiver(destination, hold, { concurrency: BURST, ordered: false }).start();
      await eventually('the whole burst to be taken', async () => taken === BURST);
      // Of these some are the start's own.
      expect(asked).toBeLessThan(BURST / 2);
    } finally {
      gate.resolve();
      await Promise.all([near.close(), far.close()]);
      await proxy.close();
    }
  });

  it('lets many wait for a place without a warning, when fewer may be ahead than when they were fetched', async () => {
    const transport = createBullmqTransport({ connection: sharedRedisUrl(), prefix: uniquePrefix() });
    const gate = withResolvers();
    const warnings: string[] = [];
    const warned = (warning: Error): void => void warnings.push(warning.name);
    process.on('warning', warned);
    try {
      const destination = destinationName();
      await publishBurst(transport, destination);
      let taken = 0;
      // Asked first for how many to fetch, and then for how many to hand out.
      let asked = 0;
      const ahead = (): number => ((asked += 1) === 1 ? BURST : 0);
      const hold = async (): Promise<Verdict> => {
        taken += 1;
        await gate.promise;
        return ACKNOWLEDGED;
      };
      await transport.receiver(destination, hold, { concurrency: 4, ahead, ordered: false }).start();
      await eventually('the others to wait', async () => asked > BURST - 4);
      expect(taken).toBe(4);
      gate.resolve();
      await eventually('the whole burst to be handled', async () => taken === BURST);
      expect(warnings).toEqual([]);
    } finally {
      gate.resolve();
      process.off('warning', warned);
      await transport.close();
    }
  });

  it('gives back what it has fetched and not handed out when it is stopped, as if nothing had been', async () => {
    const proxy = await startTcpProxy(sharedRedisUrl());
    const settings = { prefix: uniquePrefix(), lockDuration: 400, stalledInterval: 150 };
    const near = createBullmqTransport({ connection: sharedRedisUrl(), ...settings });
    const far = createBullmqTransport({ connection: proxy.url, ...settings });
    try {
      for (let last = 1; last <= 8; last += 1) {
        const destination = destinationName();
        await publishBurst(near, destination);
        const seen: Delivery[] = [];
        const see = async (delivery: Delivery): Promise<Verdict> => {
          seen.push(delivery);
          return ACKNOWLEDGED;
        };
        const first = far.receiver(destination, see, { concurrency: BURST, ordered: false });
        let asked = 0;
        let stopped: Promise<void> | undefined;
        // While the answer is under way.
        proxy.judge = (bytes) => {
          if (isScript(bytes) && (asked += 1) === last) stopped = first.stop();
          return 'pass';
        };
        await first.start();
        await eventually('the receiver to be stopped', async () => stopped !== undefined);
        await stopped;
        const second = near.receiver(destination, see, { concurrency: 4, ordered: false });
        await second.start();
        await eventually('all of the burst', async () => seen.length >= BURST);
        await second.stop();
        expect(new Set(seen.map(({ wire }) => wire)).size).toBe(BURST);
        expect(seen.filter(({ redeliveries }) => redeliveries > 0)).toEqual([]);
      }
    } finally {
      await Promise.all([near.close(), far.close()]);
      await proxy.close();
    }
  });
});

function isScript(bytes: Buffer): boolean {
  return /evalsha/i.test(bytes.toString('latin1'));
}

function withResolvers(): { readonly promise: Promise<void>; readonly resolve: () => void } {
  let resolve = (): void => {};
  const promise = new Promise<void>((settle) => (resolve = settle));
  return { promise, resolve };
}
