/**
 * Remembers since when a message waits: for its predecessor, or for a process that has a handler for it.
 */
import type { Clock } from '../../runtime/clock.ts';
import type { ReadableIncoming } from './incoming.ts';

/** The most waiting messages that are remembered. Beyond that the oldest is forgotten, and its wait begins again. */
const MAX_WAITING = 10_000;

export class WaitingMessages {
  readonly #clock: Clock;
  /** By message id, monotonic milliseconds; the oldest entry first. */
  readonly #sinceMs = new Map<string, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /**
   * How long the message has waited: since it was sent, or since this process knows of it. A waiting message can hold up messages of other
   * keys. If each wait were counted from its arrival here alone, the waits would add up, key after key.
   * @param nowMs monotonic
   */
  waitedMs({ id, envelope }: ReadableIncoming, nowMs: number): number {
    const ageMs = Math.max(0, this.#clock.now() - envelope.time.getTime());
    const sinceMs = this.#sinceMs.get(id);
    if (sinceMs !== undefined) return Math.max(ageMs, nowMs - sinceMs);
    this.#sinceMs.set(id, nowMs);
    if (this.#sinceMs.size > MAX_WAITING) {
      const [oldest] = this.#sinceMs.keys();
      if (oldest !== undefined) this.#sinceMs.delete(oldest);
    }
    return ageMs;
  }

  /** Called for every message; costs next to nothing while none waits. */
  forget(id: string): void {
    if (this.#sinceMs.size > 0) this.#sinceMs.delete(id);
  }
}
