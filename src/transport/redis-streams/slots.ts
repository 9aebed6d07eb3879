/**
 * How many deliveries of a receiver may be in flight at once, over all its partitions. A partition takes slots before it asks Redis for
 * messages, so that whatever is handed out has a place at once. Those that found none free are woken in the order in which they came.
 */

export class Slots {
  readonly #concurrency: number;
  readonly #ahead: () => number;
  readonly #waiting = new Set<() => void>();
  #taken = 0;

  /** @param ahead how many there are beside `concurrency` just now */
  constructor(concurrency: number, ahead: () => number = () => 0) {
    this.#concurrency = concurrency;
    this.#ahead = ahead;
  }

  get free(): number {
    return Math.max(0, this.#concurrency + this.#ahead() - this.#taken);
  }

  take(slots: number): void {
    this.#taken += slots;
  }

  giveBack(slots: number): void {
    if (slots === 0) return;
    this.#taken -= slots;
    if (this.#waiting.size === 0 || this.free === 0) return;
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const wake of waiting) wake();
  }

  /** Calls `wake` once when there may be a free slot. */
  whenFree(wake: () => void): void {
    this.#waiting.add(wake);
  }
}
