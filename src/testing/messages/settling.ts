/**
 * Waits until nothing goes on any more by itself: nothing has happened for some turns of the event loop, and no delivery is under way
 * that does not wait for the clock of the test.
 */
// By name, so that a test's fake timers, which replace the globals, do not stop what waits for the real thing.
import { setImmediate, setTimeout } from 'node:timers';
import { HoldfastError } from '../../errors.ts';
import type { Clock } from '../../runtime/clock.ts';

/** Turns without anything, in a row. */
const QUIET_TURNS = 4;

export class Activity {
  readonly #underWay = new Map<symbol, string>();
  #happened = 0;
  #waiting = 0;

  note(): void {
    this.#happened += 1;
  }

  get happened(): number {
    return this.#happened;
  }

  /** What is under way, but for what waits for the clock. */
  get busy(): readonly string[] {
    return this.#underWay.size > this.#waiting ? [...this.#underWay.values()] : [];
  }

  /** @param what for errors */
  async during<T>(what: string, work: () => Promise<T>): Promise<T> {
    const place = Symbol(what);
    this.#underWay.set(place, what);
    this.note();
    try {
      return await work();
    } finally {
      this.#underWay.delete(place);
      this.note();
    }
  }

  /** The clock, for those whose waits are no reason to wait for them. */
  counting(clock: Clock): Clock {
    return {
      now: () => clock.now(),
      monotonic: () => clock.monotonic(),
      sleep: async (delayMs, signal) => {
        this.#waiting += 1;
        this.note();
        try {
          await clock.sleep(delayMs, signal);
        } finally {
          this.#waiting -= 1;
          this.note();
        }
      },
    };
  }
}

/**
 * @param pump has what was committed travel
 * @throws HoldfastError HF_TEST_UNSETTLED
 */
export async function settleActivity(activity: Activity, pump: () => Promise<void>, withinMs: number): Promise<void> {
  const beganAt = performance.now();
  let quiet = 0;
  while (quiet < QUIET_TURNS) {
    const before = activity.happened;
    await pump();
    await new Promise((resolve) => setImmediate(resolve));
    const { busy } = activity;
    quiet = activity.happened === before && busy.length === 0 ? quiet + 1 : 0;
    if (quiet > 0) continue;
    if (performance.now() - beganAt > withinMs) throw unsettled(busy, withinMs);
    if (busy.length > 0) await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

function unsettled(busy: readonly string[], withinMs: number): HoldfastError {
  const what = busy.length === 0 ? 'Messages go on and on' : `${[...new Set(busy)].join(', ')} did not end`;
  return new HoldfastError('HF_TEST_UNSETTLED', `${what} within ${withinMs} ms.`, {
    advice:
      busy.length === 0
        ? 'Look for a handler that sends what it handles.'
        : 'Let the handler wait by test.sleep(), or raise settleWithin.',
    details: { busy },
  });
}
