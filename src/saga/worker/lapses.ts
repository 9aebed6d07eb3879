/**
 * The lease sessions of a process that were over before they had signed off. The process lives: so its next registration says of them that
 * their ends were no deaths, its next lease is longer when they end one soon after the other, and a stop signs them off.
 *
 * Without the longer lease workers that are starved of processor time, or whose database is slow, would take the same runs from each other for
 * ever: loading and replaying them takes longer than the lease each time.
 */

/** From the second lapse in a row on the lease is doubled, up to so many times. */
const MOST_TIMES = 8;
/** A session that has lived for so many leases was no short one, and the next lease is as usual. */
const LONG_LIFE = 20;
/** So many sessions are spoken for: more losses in a row make a run stuck anyway. */
const SPOKEN_FOR = 12;

/** How many times as long the next lease is. Pure. */
export function timesAsLong(lapsesInARow: number): number {
  return Math.min(MOST_TIMES, 2 ** Math.max(0, lapsesInARow - 1));
}

export class Lapses {
  readonly #leaseMs: number;
  #sessions: { readonly id: string; readonly overAtMs: number }[] = [];
  #inARow = 0;

  /** `leaseMs`: as it usually is. */
  constructor(leaseMs: number) {
    this.#leaseMs = leaseMs;
  }

  /** How long the lease is to be now. */
  get leaseMs(): number {
    return this.#leaseMs * timesAsLong(this.#inARow);
  }

  /** Ids of the sessions that are over, the last ones. */
  get ids(): readonly string[] {
    return this.#sessions.map(({ id }) => id);
  }

  /** A session is over. `lapsed`: because its lease was. By the monotonic clock, in milliseconds. */
  note(session: { readonly id: string; readonly sinceMs: number }, overAtMs: number, lapsed: boolean): void {
    this.#sessions = [...this.#sessions, { id: session.id, overAtMs }].slice(-SPOKEN_FOR);
    if (!lapsed) return;
    this.lived(overAtMs - session.sinceMs);
    this.#inARow += 1;
  }

  /** The present session has lived for so long. */
  lived(ms: number): void {
    if (ms >= LONG_LIFE * this.#leaseMs) this.#inARow = 0;
  }

  /** Those of which the store may still keep the lease: it may have prolonged it without being heard. */
  keptUntil(nowMs: number): readonly string[] {
    const mostMs = 2 * MOST_TIMES * this.#leaseMs;
    return this.#sessions.filter(({ overAtMs }) => nowMs - overAtMs < mostMs).map(({ id }) => id);
  }
}
