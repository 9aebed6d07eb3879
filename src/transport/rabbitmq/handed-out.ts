/**
 * The deliveries of a receiver that handlers have and that came to no verdict yet.
 */

export interface HandedOutDelivery {
  readonly controller: AbortController;
  /** Resolves the handling without a verdict. */
  readonly abandon: () => void;
}

export class HandedOut {
  readonly #all = new Set<HandedOutDelivery>();
  readonly #drained = new AbortController();
  #draining = false;

  get size(): number {
    return this.#all.size;
  }

  /** Aborts when `drain` was called and nothing is in hand any more. */
  get drained(): AbortSignal {
    return this.#drained.signal;
  }

  add(delivery: HandedOutDelivery): void {
    this.#all.add(delivery);
  }

  remove(delivery: HandedOutDelivery): void {
    this.#all.delete(delivery);
    this.#checkDrained();
  }

  drain(): void {
    this.#draining = true;
    this.#checkDrained();
  }

  abortAll(why: string): void {
    for (const { controller } of this.#all) controller.abort(new Error(why));
  }

  abandonAll(): void {
    for (const { abandon } of this.#all) abandon();
  }

  #checkDrained(): void {
    if (this.#draining && this.#all.size === 0) this.#drained.abort();
  }
}
