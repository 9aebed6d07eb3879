/**
 * Time as a dependency. Everything that waits or reads the time takes a Clock, so tests move it by hand.
 */

export interface Clock {
  /** Milliseconds since the epoch. For people and records; may jump. */
  now(): number;
  /** Milliseconds on a clock that never goes back. For leases, timeouts and durations. */
  monotonic(): number;
  /** Resolves after `delayMs` milliseconds, or at once (without rejecting) when `signal` aborts. */
  sleep(delayMs: number, signal?: AbortSignal): Promise<void>;
}
