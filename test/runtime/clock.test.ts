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

  test.each([Infinity, 1e12])(
    'a sleep of %d ms outlives the 32 bits of a timer and ends by its signal, without rejecting',
    async (delayMs) => {
      const stop = new AbortController();
      const sleeping = systemClock.sleep(delayMs, stop.signal);
      const first = await Promise.race([sleeping.then(() => 'long'), systemClock.sleep(5).then(() => 'short')]);
      expect(first).toBe('short');
      stop.abort();
      await expect(sleeping).resolves.toBeUndefined();
    },
  );

  test('a long sleep is taken in pieces', async () => {
    vi.useFakeTimers();
    try {
      const over = vi.fn<() => void>();
      const sleeping = systemClock.sleep(3_000_000_000).then(over);
      await vi.advanceTimersByTimeAsync(2_999_999_999);
      expect(over).not.toHaveBeenCalled();
      await vi.advanceTimersByTimeAsync(1);
      expect(over).toHaveBeenCalledOnce();
      await sleeping;
    } finally {
      vi.useRealTimers();
    }
  });

  test('does not begin when the signal has aborted', async () => {
    await expect(systemClock.sleep(1e9, AbortSignal.abort())).resolves.toBeUndefined();
  });
});
