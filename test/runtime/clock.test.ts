import { getEventListeners } from 'node:events';
import { describe, expect, test, vi } from 'vitest';
import { systemClock } from '../../src/runtime/clock.ts';

describe('systemClock', () => {
  test('tells the time', () => {
    expect(Math.abs(systemClock.now() - Date.now())).toBeLessThan(60_000);
    const before = systemClock.monotonic();
    expect(systemClock.monotonic()).toBeGreaterThanOrEqual(before);
  });

  test('sleeps, and leaves no listener on the signal behind', async () => {
    const { signal } = new AbortController();
    const before = systemClock.monotonic();
    await systemClock.sleep(2, signal);
    // Timers of Node may fire up to a millisecond early.
    expect(systemClock.monotonic() - before).toBeGreaterThanOrEqual(1);
    expect(getEventListeners(signal, 'abort')).toHaveLength(0);
  });

  test.each([Infinity, 1e12])('a sleep of %d ms outlives the 32 bits of a timer and ends by its signal, without rejecting', async (delayMs) => {
    const stop = new AbortController();
    let over = false;
    const sleeping = systemClock.sleep(delayMs, stop.signal).then(() => {
      over = true;
    });
    await systemClock.sleep(5);
    expect(over).toBe(false);
    stop.abort();
    await sleeping;
  });

  test('a long sleep is taken in pieces', async () => {
    vi.useFakeTimers();
    try {
      let over = false;
      void systemClock.sleep(3_000_000_000).then(() => {
        over = true;
      });
      await vi.advanceTimersByTimeAsync(2_999_999_999);
      expect(over).toBe(false);
      await vi.advanceTimersByTimeAsync(1);
      expect(over).toBe(true);
    } finally {
      vi.useRealTimers();
    }
  });

  test('does not begin when the signal has aborted', async () => {
    await systemClock.sleep(1e9, AbortSignal.abort());
  });
});
