/**
 * Time as a dependency. Everything that waits or reads the time takes a Clock, so tests move it by hand
 * (src/testing/manual-clock.ts).
 */

/** Time as a dependency: the system's, or that of a test ({@link createManualClock}). */
export interface Clock {
  /** Milliseconds since the epoch. For people and records; may jump. */
  now(): number;
  /** Milliseconds on a clock that never goes back. For leases, timeouts and durations. */
  monotonic(): number;
  /** Resolves after `delayMs` milliseconds, or at once (without rejecting) when `signal` aborts. */
  sleep(delayMs: number, signal?: AbortSignal): Promise<void>;
}

/** setTimeout counts in 32 bits and fires at once beyond that: longer sleeps are taken in pieces. */
const LONGEST_TIMER_MS = 2_147_483_647;

/** The real time. A sleep of Infinity ends only by its signal. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  async sleep(delayMs, signal) {
    let leftMs = delayMs;
    do {
      const pieceMs = Math.min(Math.max(leftMs, 0), LONGEST_TIMER_MS);
      leftMs -= pieceMs;
      if (signal?.aborted !== true) await oneTimer(pieceMs, signal);
    } while (leftMs > 0 && signal?.aborted !== true);
  },
};

function oneTimer(delayMs: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      // Taken off again, because signals outlive sleeps by far and would gather listeners.
      signal?.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, delayMs);
    signal?.addEventListener('abort', done);
  });
}
