/**
 * The runs to which something has happened, each once, in the order in which it did; and which of them are in hand, that is, in the round
 * that is under way.
 */
import type { Run } from '../run/run.ts';

/** What this file alone writes of a run. */
interface Marks {
  queued: boolean;
  inHand: boolean;
}

export class ReadyQueue {
  #runs: Run[] = [];

  get size(): number {
    return this.#runs.length;
  }

  /** Returns whether it was not in it already. */
  add(run: Run): boolean {
    if (run.queued) return false;
    marksOf(run).queued = true;
    this.#runs.push(run);
    return true;
  }

  /** All of them, which `leave` one by one: what happens to one before is looked at with it. */
  take(): readonly Run[] {
    const runs = this.#runs;
    this.#runs = [];
    return runs;
  }

  leave(run: Run): void {
    marksOf(run).queued = false;
  }

  takeInHand(run: Run): void {
    marksOf(run).inHand = true;
  }

  putDown(run: Run): void {
    marksOf(run).inHand = false;
  }

  clear(): void {
    this.#runs = [];
  }
}

function marksOf(run: Run): Marks {
  return run;
}
