/**
 * When the runs of a worker are due. A timer is told only after a look for run messages that began when it was due: what had come before it is
 * then here, and told before.
 */
import { nextDue } from '../decide/due.ts';
import type { Run } from '../run/run.ts';
import { Timers } from '../run/timer-heap.ts';

export class RunTimers {
  readonly #timers = new Timers<Run>();

  get next(): number {
    return this.#timers.next;
  }

  /** Returns whether it is the earliest now. */
  arm(run: Run): boolean {
    const before = this.#timers.next;
    const due = nextDue(run);
    // What is due after the row was opened that is being filled comes into the next one, and is armed when this one is committed.
    this.#timers.set(run, run.rowIsOpen && due > run.rowAt ? Infinity : due);
    return this.#timers.next < before;
  }

  /** Takes out the runs that are due by then. */
  take(at: number): readonly Run[] {
    return this.#timers.take(at);
  }

  /** The look that began then is done. The timers of `unread` runs, of which not all messages are here, wait for another look. */
  fire(due: readonly Run[], at: number, unread: readonly string[]): readonly Run[] {
    const waiting = new Set(unread);
    return due.filter((run) => {
      if (waiting.has(run.id)) return void this.arm(run);
      run.messagesKnownAt = Math.max(run.messagesKnownAt, at);
      return true;
    });
  }

  forget(run: Run): void {
    this.#timers.forget(run);
  }
}
