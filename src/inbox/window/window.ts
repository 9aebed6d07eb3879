/**
 * Recently seen message ids, for handlers of kind `window`: the port, and a window in memory. window-redis.ts has a shared one.
 * test/conformance/dedup-window.ts checks the duties against both.
 */
import { HoldfastError } from '../../errors.ts';
import { systemClock, type Clock } from '../../runtime/clock.ts';
import { parseDuration, type Duration } from '../../runtime/duration.ts';
import { refuseUnknownOptions } from '../../runtime/options.ts';

/**
 * Duties of a window:
 * - After `mark` has resolved, `seen` says true for that consumer and id until the window forgets it, and false for all others.
 * - What it forgets, by age or by size, is a duplicate that will be handled again: its limits are part of its documentation.
 * - Marking twice is fine. Both reject when it cannot be reached; it must not answer false instead.
 */
export interface DedupWindow {
  seen(consumer: string, messageId: string): Promise<boolean>;
  mark(consumer: string, messageId: string): Promise<void>;
  /** Idempotent. */
  close(): Promise<void>;
}

/** Options of {@link createMemoryWindow}. */
export interface MemoryWindowOptions {
  /**
   * Most ids kept; the oldest go first.
   *
   * @defaultValue 100,000 (about 15 MB)
   */
  readonly size?: number | undefined;
  /**
   * How long an id is kept.
   *
   * @defaultValue '1h'
   */
  readonly ttl?: Duration | undefined;
  /** @internal A seam of tests. */
  readonly clock?: Clock | undefined;
}

/**
 * A window of this process alone: it forgets everything with a restart, and another process does not know what this one has seen.
 *
 * @throws HoldfastError HF_CONFIG, HF_DURATION, HF_OPTION_UNKNOWN
 * @example
 * const window = createMemoryWindow({ size: 100_000, ttl: '1h' });
 */
export function createMemoryWindow(options: MemoryWindowOptions = {}): DedupWindow {
  refuseUnknownOptions(options, ['size', 'ttl', 'clock'], 'createMemoryWindow');
  const { size = 100_000, clock = systemClock } = options;
  const ttlMs = windowTtl(options.ttl ?? '1h');
  if (!Number.isInteger(size) || size < 1)
    throw new HoldfastError('HF_CONFIG', `createMemoryWindow: size is ${size}.`, {
      advice: 'Give a whole number from 1 on.',
    });
  /** When each was marked, oldest first. */
  const marks = new Map<string, number>();
  const name = (consumer: string, messageId: string): string => `${consumer}\0${messageId}`;
  return {
    async seen(consumer, messageId) {
      const markedMs = marks.get(name(consumer, messageId));
      return markedMs !== undefined && clock.monotonic() - markedMs < ttlMs;
    },
    async mark(consumer, messageId) {
      const key = name(consumer, messageId);
      marks.delete(key);
      marks.set(key, clock.monotonic());
      for (const [oldest, markedMs] of marks) {
        if (marks.size <= size && clock.monotonic() - markedMs < ttlMs) break;
        marks.delete(oldest);
      }
    },
    async close() {
      marks.clear();
    },
  };
}

export function windowTtl(ttl: Duration): number {
  const ttlMs = parseDuration(ttl, 'window.ttl');
  if (ttlMs < 1)
    throw new HoldfastError('HF_CONFIG', 'window.ttl is 0.', {
      advice: 'Give at least the time within which duplicates come, such as 1h.',
    });
  return ttlMs;
}
