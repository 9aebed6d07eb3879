/**
 * How far a delivery has come: attempts, conflicts in a row, and time spent waiting for the database. The decisions are made from it. Does
 * no I/O; the caller brings the time.
 */
import type { NextDecision, AttemptOutcome, AttemptProgress } from './decide.ts';

/** One object for the whole delivery, because it is looked at after every attempt. */
export class DeliveryProgress implements AttemptProgress {
  attempt = 1;
  elapsedMs = 0;
  conflicts = 0;
  holds = 0;
  heldMs = 0;
  awaitedMs = 0;
  stopping = false;
  readonly #startedMs: number;
  #holdStartedMs = 0;
  /** Length of the holds that are over. */
  #pastHoldsMs = 0;

  /** @param nowMs monotonic, in milliseconds */
  constructor(nowMs: number) {
    this.#startedMs = nowMs;
  }

  /** Takes in how an attempt ended, before the decision is made. */
  note(outcome: AttemptOutcome, nowMs: number, awaitedMs: number, stopping: boolean): void {
    this.conflicts = outcome.kind === 'conflict' ? this.conflicts + 1 : 0;
    if (outcome.kind === 'unavailable') {
      if (this.holds === 0) this.#holdStartedMs = nowMs;
      this.heldMs = nowMs - this.#holdStartedMs;
    } else {
      if (this.holds > 0) this.#pastHoldsMs += nowMs - this.#holdStartedMs;
      this.holds = 0;
      this.heldMs = 0;
    }
    this.elapsedMs = nowMs - this.#startedMs - this.#pastHoldsMs;
    this.awaitedMs = awaitedMs;
    this.stopping = stopping;
  }

  /** Counts that the message is tried again in place. */
  repeat(because: Extract<NextDecision, { do: 'again' }>['because']): void {
    if (because === 'hold') this.holds += 1;
    if (because === 'failed') this.attempt += 1;
  }
}
