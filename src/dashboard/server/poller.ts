/**
 * One reader for all who look: it reads again and again while somebody does, and not at all when nobody does.
 */
import type { Clock } from '../../runtime/clock.ts';
import { inNoContext } from '../../runtime/scope.ts';

/** What was read last: a value, or why there is none. */
export type Reading<T> = { readonly value: T } | { readonly error: unknown };

export interface Poller<T> {
  /** The last reading when it is fresh, or the next one. Rejects with why there is none. */
  latest(): Promise<T>;
  /** Told of each reading until it is taken off by what this returns; at once when there is a fresh one. */
  watch(told: (reading: Reading<T>) => void): () => void;
  /** No reading begins after this; whoever waits for one is told so. */
  close(reason: Error): void;
}

export interface PollerOptions<T> {
  readonly clock: Clock;
  readonly read: () => Promise<T>;
  /** Between the beginnings of two readings. Longer when they take long, so that they never take more than a twentieth of the time. */
  readonly intervalMs: number;
  /** How long it goes on after the last who looked has gone: a page is reloaded. */
  readonly lingerMs: number;
}

/** Of the time, what readings may take at most; but for that, no pause is longer than this, in milliseconds. */
const SHARE = 20;
const LONGEST_PAUSE_MS = 30_000;

export function createPoller<T>({ clock, read, intervalMs, lingerMs }: PollerOptions<T>): Poller<T> {
  const watchers = new Set<(reading: Reading<T>) => void>();
  const closing = new AbortController();
  let wantedUntilMs = -Infinity;
  let last: { readonly reading: Reading<T>; readonly freshUntilMs: number } | null = null;
  let going = false;

  const isWanted = (): boolean => !closing.signal.aborted && (watchers.size > 0 || clock.monotonic() < wantedUntilMs);
  const fresh = (): Reading<T> | null => (last !== null && clock.monotonic() < last.freshUntilMs ? last.reading : null);

  async function go(): Promise<void> {
    while (isWanted()) {
      const beganMs = clock.monotonic();
      // One after the other, by its nature.
      // oxlint-disable-next-line no-await-in-loop
      const reading = await readOnce();
      const tookMs = clock.monotonic() - beganMs;
      const pauseMs = Math.max(intervalMs - tookMs, Math.min(tookMs * (SHARE - 1), LONGEST_PAUSE_MS));
      last = { reading, freshUntilMs: clock.monotonic() + pauseMs };
      for (const told of watchers) told(reading);
      // oxlint-disable-next-line no-await-in-loop
      await clock.sleep(pauseMs, closing.signal);
    }
    going = false;
    // Somebody may have come between the look at the condition and here.
    if (isWanted()) start();
  }

  async function readOnce(): Promise<Reading<T>> {
    try {
      return { value: await read() };
    } catch (error) {
      return { error };
    }
  }

  function start(): void {
    if (going || closing.signal.aborted) return;
    going = true;
    void inNoContext(go);
  }

  function watch(told: (reading: Reading<T>) => void): () => void {
    if (closing.signal.aborted) {
      told({ error: closing.signal.reason });
      return () => undefined;
    }
    watchers.add(told);
    const reading = fresh();
    if (reading !== null) told(reading);
    start();
    return () => {
      if (watchers.delete(told)) wantedUntilMs = clock.monotonic() + lingerMs;
    };
  }

  return {
    watch,
    async latest() {
      const reading = await new Promise<Reading<T>>((resolve) => {
        const stop = watch((first) => {
          resolve(first);
          // Not yet known when there was a fresh one.
          queueMicrotask(() => stop());
        });
      });
      if ('error' in reading) throw reading.error;
      return reading.value;
    },
    close(reason) {
      closing.abort(reason);
      for (const told of watchers) told({ error: reason });
      watchers.clear();
    },
  };
}
