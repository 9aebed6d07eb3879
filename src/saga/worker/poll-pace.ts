/**
 * When a worker looks at the store again: soon while something happens, later and later while nothing does, and not before it is woken
 * once it sleeps.
 */
import type { Clock } from '../../runtime/clock.ts';

/** While something happens, in milliseconds. */
const BUSY_POLL_MS = 5;
/** While nothing does, and nobody would wake us. */
const QUIET_POLL_MS = 50;
/** What comes is not found later than it took to come, by more than this part of that. */
const LATE_BY = 0.1;
const ASLEEP_AFTER_MS = 1_000;

export interface PollPaceOptions {
  readonly clock: Clock;
  /** Longest wait between two looks when nothing happens, in milliseconds. */
  readonly idlePollMs: number;
  /** Asks to be woken, or not any more; resolves whether it will be. */
  readonly setAsleep: (asleep: boolean) => Promise<boolean>;
  /**
   * How long nothing must happen before it asks to be woken, in milliseconds: to ask for it costs those something who wake it.
   *
   * @defaultValue 1000
   */
  readonly asleepAfterMs?: number | undefined;
}

export class PollPace {
  readonly #options: PollPaceOptions;
  #quietSinceMs: number;
  #asleep = false;

  constructor(options: PollPaceOptions) {
    this.#options = options;
    this.#quietSinceMs = options.clock.monotonic();
  }

  /** The worker begins. */
  reset(): void {
    this.#asleep = false;
    this.stir();
  }

  /** Something has happened, or will in a moment. */
  stir(): void {
    this.#quietSinceMs = this.#options.clock.monotonic();
  }

  /** After a look that found something. Resolves with the wait for the next one, in milliseconds. */
  async afterFind(): Promise<number> {
    this.stir();
    if (this.#asleep) {
      this.#asleep = false;
      await this.#options.setAsleep(false);
    }
    return BUSY_POLL_MS;
  }

  /**
   * After a look that found nothing. Resolves with the wait for the next one, in milliseconds.
   * @param untilTimer until something is due in memory
   * @param untilDue asks the store how long it is until something is due there; only for one who sleeps
   */
  async afterNothing(untilTimer: number, untilDue: () => Promise<number>): Promise<number> {
    const quietMs = this.#options.clock.monotonic() - this.#quietSinceMs;
    if (quietMs < (this.#options.asleepAfterMs ?? ASLEEP_AFTER_MS)) return Math.min(untilTimer, pollMs(quietMs));
    const wasAsleep = this.#asleep;
    this.#asleep = await this.#options.setAsleep(true);
    // Whoever wrote just before does not wake us: one look more.
    if (!this.#asleep || !wasAsleep) return Math.min(untilTimer, QUIET_POLL_MS);
    return Math.min(untilTimer, await untilDue(), this.#options.idlePollMs);
  }
}

/** Pure. The wait for the next look when nothing has happened for so long, in milliseconds. */
export function pollMs(quietMs: number): number {
  return Math.min(QUIET_POLL_MS, Math.max(BUSY_POLL_MS, quietMs * LATE_BY));
}
