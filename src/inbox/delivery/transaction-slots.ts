/**
 * How many transactions of a consumer are open at once, when several messages can share one: batches, and messages that go alone. A free
 * slot is offered to both by turns.
 */

export class TransactionSlots {
  #free: number;
  /** Those that go alone and wait for a slot, the first one first. */
  #alone: (() => void)[] = [];
  #turn: 'batch' | 'alone' = 'batch';
  #offer: () => void = () => {};

  constructor(slots: number) {
    this.#free = slots;
  }

  /** @param offer takes slots for batches, if there is anything for one */
  whenFree(offer: () => void): void {
    this.#offer = offer;
  }

  get free(): number {
    return this.#free;
  }

  take(): void {
    this.#free -= 1;
  }

  giveBack(): void {
    this.#free += 1;
    if (this.#alone.length === 0) return this.#offer();
    if (this.#turn === 'alone') {
      this.#turn = 'batch';
      this.#serveAlone();
      return;
    }
    this.#turn = 'alone';
    this.#offer();
    if (this.#free > 0) this.#serveAlone();
  }

  /** Runs `act` in a slot, which is free again when it has ended, well or badly. */
  async run<T>(act: () => Promise<T>): Promise<T> {
    if (this.#free > 0 && this.#alone.length === 0) this.take();
    else
      await new Promise<void>((resolve) => {
        this.#alone.push(resolve);
      });
    try {
      return await act();
    } finally {
      this.giveBack();
    }
  }

  #serveAlone(): void {
    const next = this.#alone.shift();
    if (next === undefined) return;
    this.take();
    next();
  }
}
