/**
 * How long a lease still holds by the clock of this process. It counts from the moment at which it was last asked for, not from the
 * answer: the database's time of it lies between the two.
 */
import type { Clock } from '../../runtime/clock.ts';

/** Leases are doubled so often at most. */
const MOST_DOUBLINGS = 3;

/**
 * How long a lease is asked for, in milliseconds, after `lapses` of them have run out under relays that live and had not come to store
 * anything: twice as long each time, up to eight times. Once is no habit. Pure.
 *
 * A relay that never gets anything done within its lease, for want of processor time, would else lose it for ever to others that fare alike.
 */
export function lengthenedLeaseMs(leaseMs: number, lapses: number): number {
  return leaseMs * 2 ** Math.min(Math.max(lapses - 1, 0), MOST_DOUBLINGS);
}

/** The part of the lease at whose end nothing is published any more, against clocks that run apart and calls that take their time. */
const SAFETY = 0.25;

export class LeaseClock {
  readonly #clock: Clock;
  readonly #leaseMs: number;
  #confirmedAtMs: number;

  /** `askedAtMs`: monotonic time before the lease was asked for. */
  constructor(clock: Clock, leaseMs: number, askedAtMs: number) {
    this.#clock = clock;
    this.#leaseMs = leaseMs;
    this.#confirmedAtMs = askedAtMs;
  }

  /** Milliseconds for which it is still safe to publish; not above 0 when it is not. */
  leftMs(): number {
    return this.#confirmedAtMs + this.#leaseMs * (1 - SAFETY) - this.#clock.monotonic();
  }

  /** Whether a third of it has gone by without a write that renewed it. */
  isRenewalDue(): boolean {
    return this.#clock.monotonic() - this.#confirmedAtMs >= this.#leaseMs / 3;
  }

  /** For a write that renews the lease. */
  async confirm(write: () => Promise<void>): Promise<void> {
    const sentAtMs = this.#clock.monotonic();
    await write();
    this.#confirmedAtMs = sentAtMs;
  }
}
