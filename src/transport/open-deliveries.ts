/**
 * The deliveries of a receiver that have no verdict yet, and what a stop does about them.
 */
import { systemClock } from '../runtime/clock.ts';
import type { Abortable } from './lazy-abort.ts';

/** After a hard stop: how long handlers that obey their signal have to hand back a verdict. */
const HARD_STOP_GRACE_MS = 250;

/** Tells when nothing is left, once nothing more is to come. */
export class Drain {
  readonly #isEmpty: () => boolean;
  readonly #drained = new AbortController();
  #hasBegun = false;

  constructor(isEmpty: () => boolean) {
    this.#isEmpty = isEmpty;
  }

  /** Aborts when it has begun and nothing is left. */
  get drained(): AbortSignal {
    return this.#drained.signal;
  }

  begin(): void {
    this.#hasBegun = true;
    this.check();
  }

  /** To be called whenever something has come to its end. */
  check(): void {
    if (this.#hasBegun && this.#isEmpty()) this.#drained.abort();
  }
}

export interface OpenDelivery {
  readonly controller: Abortable;
  /** Lets go of the message without a verdict, while it is being handled. */
  readonly abandon: () => void;
}

/** What is taken away from handlers, step by step, when a receiver is stopped. */
export interface Stoppable {
  readonly drained: AbortSignal;
  abortAll(why: string): void;
  abandonAll(): void;
}

export class OpenDeliveries<D extends OpenDelivery = OpenDelivery> implements Stoppable {
  readonly #all = new Set<D>();
  readonly #drain = new Drain(() => this.#all.size === 0);

  get size(): number {
    return this.#all.size;
  }

  /** Aborts when `drain` was called and there is none any more. */
  get drained(): AbortSignal {
    return this.#drain.drained;
  }

  [Symbol.iterator](): IterableIterator<D> {
    return this.#all.values();
  }

  hold(delivery: D): void {
    this.#all.add(delivery);
  }

  /** Says whether it was there. */
  letGo(delivery: D): boolean {
    const wasHeld = this.#all.delete(delivery);
    this.#drain.check();
    return wasHeld;
  }

  drain(): void {
    this.#drain.begin();
  }

  abortAll(why: string): void {
    for (const { controller } of this.#all) controller.abort(new Error(why));
  }

  abandonAll(): void {
    for (const { abandon } of this.#all) abandon();
  }
}

/**
 * Resolves when what was open has come to its end, or `closed` aborts. A stop that turns hard before aborts all signals, and lets go of what
 * is left a moment later.
 */
export async function drainedOrForced(open: Stoppable, hard: AbortSignal, closed: AbortSignal): Promise<void> {
  const { drained } = open;
  await systemClock.sleep(Infinity, AbortSignal.any([hard, drained, closed]));
  if (drained.aborted || !hard.aborted) return;
  open.abortAll('the receiver is stopped');
  await systemClock.sleep(HARD_STOP_GRACE_MS, AbortSignal.any([drained, closed]));
  open.abandonAll();
}
