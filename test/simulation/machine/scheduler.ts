/**
 * The time of a simulation, and the order of all that happens in it. One thing happens at a time: then everything that follows from it
 * without waiting for anybody, then the next thing, at its moment. Real time has no part in it.
 */
import { realTurn, takeTimers } from './virtual-timers.ts';

/** Whose something is: what belongs to somebody dead does not happen, and what belongs to somebody who is paused happens afterwards. */
export interface Owner {
  readonly alive: boolean;
  /** By the time of the scheduler. */
  readonly pausedUntil: number;
}

interface Waiting {
  at: number;
  order: number;
  readonly owner: Owner | null;
  act: (() => void) | null;
}

export class Scheduler {
  /** Milliseconds since the beginning. */
  now = 0;
  /** Things that have happened. */
  happened = 0;
  readonly #heap: Waiting[] = [];
  #immediates: { readonly owner: Owner | null; readonly act: () => void }[] = [];
  #order = 0;
  #owner: Owner | null = null;

  /** Returns what takes it back. */
  after(delayMs: number, owner: Owner | null, act: () => void): () => void {
    const waiting: Waiting = { at: this.now + Math.ceil(delayMs), order: (this.#order += 1), owner, act };
    this.#push(waiting);
    return () => {
      waiting.act = null;
    };
  }

  /** Lets things happen until `isOver` says so; it is asked after each. False: nothing more would happen, or `untilMs` has come. */
  async run(isOver: () => boolean, untilMs: number): Promise<boolean> {
    const giveBack = takeTimers({
      immediate: (act) => this.#immediates.push({ owner: this.#owner, act }),
      timeout: (act, delayMs) => this.after(delayMs, this.#owner, act),
    });
    try {
      await this.#settle();
      while (!isOver()) {
        const next = this.#pop();
        if (next === undefined || next.at > untilMs) return false;
        const { owner, act } = next;
        if (act === null || owner?.alive === false) continue;
        this.now = Math.max(this.now, next.at);
        if (owner !== null && owner.pausedUntil > this.now) {
          // Behind whatever else waits for the end of the pause, in the order in which it came.
          next.at = owner.pausedUntil;
          this.#push(next);
          continue;
        }
        this.happened += 1;
        this.#owner = owner;
        act();
        await this.#settle();
      }
      return true;
    } finally {
      giveBack();
    }
  }

  async #settle(): Promise<void> {
    await realTurn();
    while (this.#immediates.length > 0) {
      const due = this.#immediates;
      this.#immediates = [];
      for (const { owner, act } of due) if (owner?.alive !== false) act();
      await realTurn();
    }
    this.#owner = null;
  }

  #push(waiting: Waiting): void {
    const heap = this.#heap;
    let place = heap.length;
    heap.push(waiting);
    while (place > 0) {
      const parent = (place - 1) >> 1;
      const above = heap[parent];
      if (above === undefined || isBefore(above, waiting)) break;
      heap[place] = above;
      place = parent;
    }
    heap[place] = waiting;
  }

  #pop(): Waiting | undefined {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (first === undefined || last === undefined || heap.length === 0) return first;
    let place = 0;
    for (;;) {
      let child = 2 * place + 1;
      let least = heap[child];
      const right = heap[child + 1];
      if (least === undefined) break;
      if (right !== undefined && isBefore(right, least)) {
        child += 1;
        least = right;
      }
      if (isBefore(last, least)) break;
      heap[place] = least;
      place = child;
    }
    heap[place] = last;
    return first;
  }
}

function isBefore(one: Waiting, other: Waiting): boolean {
  return one.at < other.at || (one.at === other.at && one.order < other.order);
}
