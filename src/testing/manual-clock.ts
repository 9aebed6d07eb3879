/**
 * A clock that stands still until a test moves it. Part of the public test kit (`holdfast/testing`): give it to anything
 * that takes a Clock, and no test has to sleep.
 */
// By name, so that a test's fake timers, which replace the globals, do not stop what is to move them.
import { setImmediate } from 'node:timers';
import type { Clock } from '../runtime/clock.ts';
import { parseDuration, type Duration } from '../runtime/duration.ts';

/** A clock that a test moves. Made by {@link createManualClock}. */
export interface ManualClock extends Clock {
  /**
   * Moves the time on and wakes the sleepers that become due, earliest first, each at its own moment. After each it gives
   * the woken code a turn of the event loop, so a sleep it begins anew within the span is woken as well.
   * Resolves when the whole span has passed.
   */
  advance(by: Duration): Promise<void>;
  /** Resolves once at least `count` (default 1) sleeps are pending: "the loop has reached its wait". */
  whenSleeping(count?: number): Promise<void>;
  /** How many sleeps are pending. */
  readonly sleeping: number;
  /** When the first of them ends, by `monotonic()`; Infinity when none will. */
  readonly nextDueMs: number;
}

interface Sleeper {
  readonly dueMs: number;
  readonly wake: () => void;
}

/**
 * @param start where `now()` begins; default 2026-01-01T00:00:00Z. `monotonic()` begins at 0.
 * @example
 * const clock = createManualClock(new Date('2026-01-01'));
 * await clock.advance('2h');
 * console.log(new Date(clock.now()));
 */
export function createManualClock(start: Date | number = Date.UTC(2026, 0, 1)): ManualClock {
  const startMs = typeof start === 'number' ? start : start.getTime();
  let elapsedMs = 0;
  const sleepers = new Set<Sleeper>();
  const watchers = new Set<{ readonly count: number; readonly tell: () => void }>();

  function earliest(): Sleeper | undefined {
    let first: Sleeper | undefined;
    // Insertion order settles ties, so that who slept first wakes first.
    for (const sleeper of sleepers) if (first === undefined || sleeper.dueMs < first.dueMs) first = sleeper;
    return first;
  }

  function tellWatchers(): void {
    for (const watcher of watchers) {
      if (sleepers.size < watcher.count) continue;
      watchers.delete(watcher);
      watcher.tell();
    }
  }

  return {
    now: () => startMs + elapsedMs,
    monotonic: () => elapsedMs,
    sleep(delayMs, signal) {
      return new Promise((resolve) => {
        if (signal?.aborted === true || !(delayMs > 0)) return resolve();
        const sleeper: Sleeper = {
          // In whole milliseconds, as timers are: of fractions that are added and subtracted in two ways, one says that it is time and
          // the other that it is not yet, and time does not go on by itself here.
          dueMs: Math.ceil(elapsedMs + delayMs),
          wake() {
            sleepers.delete(sleeper);
            signal?.removeEventListener('abort', sleeper.wake);
            resolve();
          },
        };
        sleepers.add(sleeper);
        signal?.addEventListener('abort', sleeper.wake);
        tellWatchers();
      });
    },
    async advance(by) {
      const targetMs = elapsedMs + parseDuration(by, 'advance');
      for (let next = earliest(); next !== undefined && next.dueMs <= targetMs; next = earliest()) {
        elapsedMs = Math.max(elapsedMs, next.dueMs);
        next.wake();
        await new Promise((resolve) => setImmediate(resolve));
      }
      elapsedMs = targetMs;
    },
    whenSleeping(count = 1) {
      return new Promise((tell) => {
        watchers.add({ count, tell });
        tellWatchers();
      });
    },
    get sleeping() {
      return sleepers.size;
    },
    get nextDueMs() {
      return earliest()?.dueMs ?? Infinity;
    },
  };
}
