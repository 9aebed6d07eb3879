/**
 * How long a relay waits before it looks at the log again. Pure; used by the subscription runner.
 *
 * A poll of an unchanged log costs the database about 50 microseconds, so while messages come the relay polls every millisecond and
 * no commit has to pay for a NOTIFY. When nothing comes it slows down, and after SLEEP_AFTER_MS it says that it is asleep: from
 * then on writers notify, and it polls only in case a wake-up was missed.
 */

export const FAST_MS = 1;
export const SLOW_MS = 20;
export const SLEEP_AFTER_MS = 1_000;

export type Pace =
  | { readonly kind: 'poll'; readonly delayMs: number }
  /** Declare sleep (again), look once more, then wait for a wake-up. */
  | { readonly kind: 'sleep' };

/** `idleForMs`: since the last message. `canSleep`: wake-ups can arrive. */
export function pace(facts: { more: boolean; idleForMs: number; canSleep: boolean }): Pace {
  if (facts.more) return { kind: 'poll', delayMs: 0 };
  if (facts.idleForMs >= SLEEP_AFTER_MS && facts.canSleep) return { kind: 'sleep' };
  // Linear: after 100 ms of silence every 2 ms, after a second every 20 ms.
  return { kind: 'poll', delayMs: Math.min(SLOW_MS, Math.max(FAST_MS, Math.floor(facts.idleForMs / 50))) };
}
