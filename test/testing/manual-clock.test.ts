import { getEventListeners } from 'node:events';
import { describe, expect, test } from 'vitest';
import { createManualClock } from '../../src/testing/manual-clock.ts';

describe('createManualClock', () => {
  test('stands still until it is moved', async () => {
    const clock = createManualClock(new Date('2026-03-01T00:00:00Z'));
    expect(new Date(clock.now()).toISOString()).toBe('2026-03-01T00:00:00.000Z');
    expect(clock.monotonic()).toBe(0);
    await clock.advance('90s');
    expect(new Date(clock.now()).toISOString()).toBe('2026-03-01T00:01:30.000Z');
    expect(clock.monotonic()).toBe(90_000);
  });

  test('wakes sleepers in the order of their moments, those of one moment in the order they lay down', async () => {
    const clock = createManualClock();
    const woken: [string, number][] = [];
    const sleeper = (name: string, delayMs: number) =>
      clock.sleep(delayMs).then(() => woken.push([name, clock.monotonic()]));
    void sleeper('late', 30);
    void sleeper('early', 10);
    void sleeper('also early', 10);
    void sleeper('never', 31);
    await clock.advance(30);
    expect(woken).toEqual([
      ['early', 10],
      ['also early', 10],
      ['late', 30],
    ]);
    expect(clock.sleeping).toBe(1);
  });

  test('sleeps begun by the woken count as well', async () => {
    const clock = createManualClock();
    const moments: number[] = [];
    void (async () => {
      for (;;) {
        await clock.sleep(10);
        moments.push(clock.monotonic());
      }
    })();
    await clock.advance(35);
    expect(moments).toEqual([10, 20, 30]);
    expect(clock.monotonic()).toBe(35);
  });

  test('a sleep of fractions of a millisecond lasts to the next whole one, as a timer does', async () => {
    const clock = createManualClock();
    let woken = 0;
    for (const delayMs of [5 + 1 / 3, 0.1, 7.5]) {
      void clock.sleep(delayMs).then(() => (woken += 1));
      await clock.advance(clock.nextDueMs - clock.monotonic());
    }
    expect([woken, clock.monotonic()]).toEqual([3, 6 + 1 + 8]);
  });

  test('a signal ends a sleep without moving the time, and no listener stays', async () => {
    const clock = createManualClock();
    const stop = new AbortController();
    const sleeping = clock.sleep(10, stop.signal);
    stop.abort();
    await sleeping;
    expect(clock.sleeping).toBe(0);
    await clock.sleep(10, stop.signal);
    await clock.sleep(0);
    const { signal } = new AbortController();
    const second = clock.sleep(5, signal);
    await clock.advance(5);
    await second;
    expect(getEventListeners(signal, 'abort')).toHaveLength(0);
  });

  test('whenSleeping resolves once that many sleep', async () => {
    const clock = createManualClock();
    const two = clock.whenSleeping(2);
    void clock.sleep(1);
    const turn = new Promise((resolve) => setImmediate(resolve, 'only one'));
    expect(await Promise.race([two, turn])).toBe('only one');
    void clock.sleep(1);
    await two;
    await clock.whenSleeping();
  });
});
