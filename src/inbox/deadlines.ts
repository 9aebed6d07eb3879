/**
 * Many timeouts behind one timer. A consumer starts and cancels three per message; a timer and an AbortController for each
 * would cost more than the bookkeeping here. Used by attempts.
 */
import type { Clock } from '../runtime/clock.ts';

export interface Deadlines {
  /** Calls `onExpire` once after `delayMs` milliseconds, unless the function returned is called before. Infinity: never. */
  add(delayMs: number, onExpire: () => void): () => void;
  /** Lets go of the timer when nothing is waited for, so that the process can end. */
  close(): void;
}

interface Deadline {
  readonly atMs: number;
  readonly onExpire: () => void;
}

export function createDeadlines(clock: Clock): Deadlines {
  const pending = new Set<Deadline>();
  let wakeAtMs = Infinity;
  let nap = new AbortController();
  let watching = false;

  async function watch(): Promise<void> {
    watching = true;
    while (pending.size > 0) {
      wakeAtMs = Infinity;
      for (const { atMs } of pending) if (atMs < wakeAtMs) wakeAtMs = atMs;
      nap = new AbortController();
      await clock.sleep(wakeAtMs - clock.monotonic(), nap.signal);
      for (const deadline of pending) {
        if (deadline.atMs > clock.monotonic()) continue;
        pending.delete(deadline);
        deadline.onExpire();
      }
    }
    wakeAtMs = Infinity;
    watching = false;
  }

  return {
    add(delayMs, onExpire) {
      if (delayMs === Infinity) return () => {};
      const deadline = { atMs: clock.monotonic() + delayMs, onExpire };
      pending.add(deadline);
      // With equal timeouts, as is usual, a new deadline is never the next one, and nothing is to be done.
      if (!watching) void watch();
      else if (deadline.atMs < wakeAtMs) nap.abort();
      return () => pending.delete(deadline);
    },
    close() {
      if (pending.size === 0) nap.abort();
    },
  };
}
