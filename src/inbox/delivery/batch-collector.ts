/**
 * Collects deliveries for batches. There is no timer: what has come in one turn of the event loop goes together, one alone at once, and what
 * comes while all slots are busy goes with the next that is free.
 */
import { chooseBatch, MAX_BATCH_BYTES, shareOf, type InHand, type Waiting } from './batch-choice.ts';
import { IdMap } from '../../runtime/id-map.ts';
import type { TransactionSlots } from './transaction-slots.ts';

/** A delivery that waits for its turn, or is being handled. */
export interface Collected extends Waiting {
  /** It was not begun, and goes back to the broker. */
  giveBack(): void;
}

export interface BatchCollectorOptions<T extends Collected> {
  /** Messages in one transaction. */
  readonly size: number;
  readonly slots: TransactionSlots;
  readonly ordered: boolean;
  /** Whether nothing new is to be begun. */
  readonly stopping: () => boolean;
  /** Ends when its transaction has; each is settled, or put back. Never rejects. */
  readonly runBatch: (batch: readonly T[], release: () => void) => Promise<void>;
  /** One that has come by itself; it takes a slot for each of its attempts, and is settled. Never rejects. */
  readonly runAlone: (one: T) => Promise<void>;
}

export class BatchCollector<T extends Collected> implements InHand {
  readonly #options: BatchCollectorOptions<T>;
  #waiting: T[] = [];
  /** In a batch, or going alone. */
  readonly #ids = new IdMap<true>();
  readonly #keys = new IdMap<true>();
  readonly #aparts = new IdMap<true>();
  #scheduled = false;

  constructor(options: BatchCollectorOptions<T>) {
    this.#options = options;
    options.slots.whenFree(() => this.#schedule());
  }

  add(delivery: T): void {
    this.#waiting.push(delivery);
    this.#schedule();
  }

  /** Of a batch that ended before it was their turn: they are the next. */
  putBack(deliveries: readonly T[]): void {
    for (const each of deliveries) this.settled(each);
    this.#waiting = [...deliveries, ...this.#waiting];
    this.#schedule();
  }

  /** It is not in hand any more: another copy of it, or the next of its key, may go. */
  settled({ id, key, apart }: T): void {
    this.#ids.delete(id);
    if (apart !== null) this.#aparts.delete(apart);
    if (key !== null) this.#keys.delete(key);
    if (this.#waiting.length > 0) this.#schedule();
  }

  /** Gives back what was not begun. */
  stop(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const each of waiting) each.giveBack();
  }

  hasId(id: string): boolean {
    return this.#ids.has(id);
  }

  hasApart(apart: string): boolean {
    return this.#aparts.has(apart);
  }

  hasKey(key: string): boolean {
    return this.#keys.has(key);
  }

  /** After what else has come in this turn of the event loop. */
  #schedule(): void {
    if (this.#scheduled || this.#waiting.length === 0 || this.#options.slots.free === 0) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#fill();
    });
  }

  #fill(): void {
    if (this.#options.stopping()) return this.stop();
    while (this.#options.slots.free > 0 && this.#waiting.length > 0) {
      const batch = this.#takeBatch();
      const [first] = batch;
      if (first === undefined) return;
      if (batch.length === 1) {
        void this.#options.runAlone(first);
        continue;
      }
      this.#options.slots.take();
      let released = false;
      const release = (): void => {
        if (released) return;
        released = true;
        this.#options.slots.giveBack();
      };
      void this.#options.runBatch(batch, release).finally(release);
    }
  }

  #takeBatch(): readonly T[] {
    const { size, ordered } = this.#options;
    const share = shareOf(this.#waiting.length, this.#options.slots.free, size);
    const chosen = chooseBatch(this.#waiting, { size: share, bytes: MAX_BATCH_BYTES }, this, ordered);
    const batch: T[] = [];
    const taken = new Set(chosen);
    const rest: T[] = [];
    for (const [index, each] of this.#waiting.entries()) (taken.has(index) ? batch : rest).push(each);
    this.#waiting = rest;
    for (const { id, key, apart } of batch) {
      this.#ids.set(id, true);
      if (apart !== null) this.#aparts.set(apart, true);
      if (key !== null && ordered) this.#keys.set(key, true);
    }
    return batch;
  }
}
