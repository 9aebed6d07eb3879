/** One reader for all who look, and the trail of what it saw. */
import { describe, expect, it } from 'vitest';
import { extendTrail, type Seen, type Trail } from '../../src/dashboard/server/overview.ts';
import { createPoller } from '../../src/dashboard/server/poller.ts';
import type { RelayStatus } from '../../src/operations/relay/relay-status.ts';
import { createManualClock } from '../../src/testing/manual-clock.ts';

function usePoller(read?: () => Promise<number>) {
  const clock = createManualClock();
  const counts = { reads: 0 };
  const poller = createPoller({
    clock,
    read: read ?? (async () => (counts.reads += 1)),
    intervalMs: 2_000,
    lingerMs: 5_000,
  });
  return { clock, counts, poller };
}

describe('the poller', () => {
  it('reads once for fifty who look', async () => {
    const { clock, counts, poller } = usePoller();
    const told: unknown[] = [];
    const stops = Array.from({ length: 50 }, () => poller.watch((reading) => told.push(reading)));
    await clock.whenSleeping();
    expect(counts.reads).toBe(1);
    await clock.advance('2s');
    expect(counts.reads).toBe(2);
    expect(told).toHaveLength(100);
    for (const stop of stops) stop();
    poller.close(new Error('over'));
  });

  it('reads nothing when nobody looks, and goes on for a moment after the last', async () => {
    const { clock, counts, poller } = usePoller();
    await clock.advance('1m');
    expect(counts.reads).toBe(0);
    const stop = poller.watch(() => undefined);
    await clock.whenSleeping();
    stop();
    await clock.advance('1m');
    // At 0, 2 and 4 seconds.
    expect(counts.reads).toBe(3);
    expect(clock.sleeping).toBe(0);
    expect(await poller.latest()).toBe(4);
    poller.close(new Error('over'));
  });

  it('answers who asks once from the last reading while it is fresh', async () => {
    const { clock, counts, poller } = usePoller();
    expect(await Promise.all([poller.latest(), poller.latest(), poller.latest()])).toEqual([1, 1, 1]);
    await clock.advance('1s');
    expect(await poller.latest()).toBe(1);
    expect(counts.reads).toBe(1);
    poller.close(new Error('over'));
  });

  it('tells of failures, and goes on', async () => {
    let fails = true;
    const { clock, poller } = usePoller(async () => {
      if (fails) throw new Error('away');
      return 7;
    });
    await expect(poller.latest()).rejects.toThrow('away');
    fails = false;
    await clock.advance('2s');
    expect(await poller.latest()).toBe(7);
    poller.close(new Error('over'));
    await expect(poller.latest()).rejects.toThrow('over');
  });

  it('takes no more than a twentieth of the time', async () => {
    const clock = createManualClock();
    let reads = 0;
    const poller = createPoller({
      clock,
      read: async () => {
        await clock.sleep(1_000);
        return (reads += 1);
      },
      intervalMs: 2_000,
      lingerMs: 0,
    });
    const stop = poller.watch(() => undefined);
    await clock.advance('20s');
    expect(reads).toBe(1);
    await clock.advance('2s');
    expect(reads).toBe(2);
    stop();
    poller.close(new Error('over'));
  });
});

const seenAt = (second: number, published: number, newestSeq: number): Seen => ({
  atMs: second * 1_000,
  sagas: null,
  relay: {
    schema: 'holdfast',
    log: { newestSeq, oldestSeq: 1, oldestAgeMs: 1 },
    subscriptions: [
      { published, behind: 4, oldestUnpublishedAgeMs: 12, parked: { failed: 1, behind: 2, dead: 3 } },
    ] as unknown as RelayStatus['subscriptions'],
    scheduled: { count: 0, nextInMs: null },
    consumers: [{ consumer: 'billing', oldestAgeMs: 1, failed: 1, behind: 0, dead: 0 }],
    replays: [],
  },
});
const walk = (...seen: readonly Seen[]): Trail =>
  seen.reduce(extendTrail, { points: [], seen: null } satisfies Trail as Trail);

describe('the trail', () => {
  it('has a point each five seconds, the last one that of now', () => {
    const { points } = walk(...Array.from({ length: 11 }, (_, index) => seenAt(index * 2, index * 20, index * 40)));
    const seconds = points.map(({ at }) => at.getTime() / 1_000);
    expect(seconds.at(-1)).toBe(20);
    expect(seconds).toEqual(seconds.toSorted((a, b) => a - b));
    // Reckoned between points, not readings.
    expect(points.slice(1).every(({ published, written }) => published === 10 && written === 20)).toBe(true);
    expect(points.length).toBeLessThan(7);
    expect(points[0]).toMatchObject({ published: null, written: null, lag: 4, oldestMs: 12, parked: 7, runs: null });
  });

  it('knows no rate over a gap, nor of a counter that went back', () => {
    const { points } = walk(seenAt(0, 100, 100), seenAt(120, 200, 200), seenAt(130, 50, 210));
    expect(points.map(({ published, written }) => [published, written])).toEqual([
      [null, null],
      [null, null],
      [null, 1],
    ]);
  });

  it('forgets what is older than a quarter of an hour', () => {
    const { points } = walk(...Array.from({ length: 400 }, (_, index) => seenAt(index * 5, index, index)));
    expect(points.length).toBeGreaterThan(170);
    expect(points.length).toBeLessThanOrEqual(181);
  });
});
