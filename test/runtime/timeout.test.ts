import { getEventListeners } from 'node:events';
import { describe, expect, test } from 'vitest';
import { HoldfastError } from '../../src/errors.ts';
import { withTimeout } from '../../src/runtime/timeout.ts';
import { createManualClock } from '../../src/testing/manual-clock.ts';

const late = new HoldfastError('HF_HANDLER_TIMEOUT', 'too slow');
const onTimeout = () => late;
const never = () => new Promise<never>(() => undefined);

describe('withTimeout', () => {
  test('settles as the work does, and leaves neither timer nor listener behind', async () => {
    const clock = createManualClock();
    const { signal } = new AbortController();
    const options = { timeoutMs: 100, signal, onTimeout, clock };
    expect(await withTimeout(async () => 'done', options)).toBe('done');
    await expect(withTimeout(() => Promise.reject(new Error('broken')), options)).rejects.toThrow('broken');
    expect(clock.sleeping).toBe(0);
    expect(getEventListeners(signal, 'abort')).toHaveLength(0);
  });

  test('work that throws at once is cleaned up as well', async () => {
    const clock = createManualClock();
    const work = withTimeout(
      () => {
        throw new Error('at once');
      },
      { timeoutMs: 100, onTimeout, clock },
    );
    await expect(work).rejects.toThrow('at once');
    expect(clock.sleeping).toBe(0);
  });

  test('after the time it rejects and aborts, even if the work takes no notice and fails later', async () => {
    const clock = createManualClock();
    let seen: AbortSignal | undefined;
    let failLater: ((error: Error) => void) | undefined;
    const result = withTimeout(
      (signal) => {
        seen = signal;
        return new Promise((_, reject) => {
          failLater = reject;
        });
      },
      { timeoutMs: 100, onTimeout, clock },
    );
    const rejected = result.catch((error: unknown) => error);
    await clock.advance(99);
    expect(seen?.aborted).toBe(false);
    await clock.advance(1);
    expect(await rejected).toBe(late);
    expect(seen?.reason).toBe(late);
    // Would end the test run as an unhandled rejection if nobody had taken it.
    failLater?.(new Error('nobody listens'));
    await new Promise((resolve) => setImmediate(resolve));
  });

  test('an abort from outside reaches the work with its reason', async () => {
    const outer = new AbortController();
    let seen: AbortSignal | undefined;
    const result = withTimeout((signal) => ((seen = signal), never()), {
      timeoutMs: Infinity,
      signal: outer.signal,
      onTimeout,
    });
    outer.abort(new Error('lease lost'));
    await expect(result).rejects.toThrow('lease lost');
    expect(seen?.reason).toMatchObject({ message: 'lease lost' });
  });

  test('nothing begins under a signal that has aborted', async () => {
    let began = false;
    const result = withTimeout(async () => void (began = true), {
      timeoutMs: 100,
      signal: AbortSignal.abort(new Error('stopped')),
      onTimeout,
    });
    await expect(result).rejects.toThrow('stopped');
    expect(began).toBe(false);
  });
});
