/**
 * Many timeouts behind one timer. A consumer starts and cancels three per message; a timer and an AbortController for each
 * would cost more than the bookkeeping here.
 */
import type { Clock } from './clock.ts';
import { inNoContext } from './scope.ts';

export interface Deadlines {
  /** Calls `onExpire` once after `delayMs` milliseconds, unless the function returned is called before. Infinity: never. */
  add(delayMs: number, onExpire: () => void): () => void;
  /** Lets go of the timer when nothing is waited for, so that the process can end. */
  close(): void;
}

/** In a list with all others. Not in a Set, for the reason given in runtime/id-map.ts; taken out, it holds on to none of them. */
interface Deadline {
  readonly atMs: number;
  readonly onExpire: () => void;
  pending: boolean;
  previous: Deadline | null;
  next: Deadline | null;
}

export function createDeadlines(clock: Clock): Deadlines {
  let first: Deadline | null = null;
  let last: Deadline | null = null;
  let wakeAtMs = Infinity;
  /** What came to be the next one while it slept. It wakes then also when that is taken back: short ones that come and go beside a long one. */
  let earlierMs = Infinity;
  let nap = new AbortController();
  let watching = false;

  function append(atMs: number, onExpire: () => void): Deadline {
    const deadline: Deadline = { atMs, onExpire, pending: true, previous: last, next: null };
    if (last === null) first = deadline;
    else last.next = deadline;
    last = deadline;
    return deadline;
  }

  function remove(deadline: Deadline): void {
    if (!deadline.pending) return;
    const { previous, next } = deadline;
    if (previous === null) first = next;
    else previous.next = next;
    if (next === null) last = previous;
    else next.previous = previous;
    deadline.pending = false;
    deadline.previous = null;
    deadline.next = null;
  }

  async function watch(): Promise<void> {
    watching = true;
    while (first !== null) {
      wakeAtMs = earlierMs;
      earlierMs = Infinity;
      for (let each: Deadline | null = first; each !== null; each = each.next)
        if (each.atMs < wakeAtMs) wakeAtMs = each.atMs;
      nap = new AbortController();
      await clock.sleep(wakeAtMs - clock.monotonic(), nap.signal);
      // Should one that expires cancel the one after it, the rest is met at the next look, which is then taken at once.
      for (let each: Deadline | null = first; each !== null;) {
        const { next }: Deadline = each;
        if (each.pending && each.atMs <= clock.monotonic()) {
          remove(each);
          each.onExpire();
        }
        each = next;
      }
    }
    wakeAtMs = Infinity;
    watching = false;
  }

  return {
    add(delayMs, onExpire) {
      if (delayMs === Infinity) return () => {};
      const deadline = append(clock.monotonic() + delayMs, onExpire);
      // With equal timeouts, as is usual, a new deadline is never the next one, and nothing is to be done.
      if (!watching) void inNoContext(watch);
      else if (deadline.atMs < Math.min(wakeAtMs, earlierMs)) {
        earlierMs = deadline.atMs;
        nap.abort();
      }
      return () => remove(deadline);
    },
    close() {
      if (first === null) nap.abort();
    },
  };
}
