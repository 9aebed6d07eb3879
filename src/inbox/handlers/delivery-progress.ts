/**
 * How far a delivery has come: attempts, conflicts in a row, and the time that counts for nothing: spent waiting for the database, or in
 * attempts whose connection broke. The decisions are made from it. Does no I/O; the caller brings the time.
 */
import { FREE_CUTS, type NextDecision, type AttemptOutcome, type AttemptProgress } from './decide.ts';

/** One object for the whole delivery, because it is looked at after every attempt. */
export class DeliveryProgress implements AttemptProgress {
  attempt = 1;
  elapsedMs = 0;
  conflicts = 0;
  /** Noted by the caller, who knows of earlier deliveries as well. */
  cuts = 0;
  holds = 0;
  heldMs = 0;
  awaitedMs = 0;
  stopping = false;
  readonly #startedMs: number;
  #holdStartedMs = 0;
  /** When the last attempt ended. */
  #lastMs: number;
  /** Length of the holds that are over, and of attempts that were cut. */
  #freeMs = 0;

  /** @param nowMs monotonic, in milliseconds */
  constructor(nowMs: number) {
    this.#startedMs = nowMs;
    this.#lastMs = nowMs;
  }

  /** Takes in how an attempt ended, before the decision is made. */
  note(outcome: AttemptOutcome, nowMs: number, awaitedMs: number, stopping: boolean): void {
    this.conflicts = outcome.kind === 'conflict' ? this.conflicts + 1 : 0;
    if (outcome.kind === 'unavailable') {
      if (this.holds === 0) this.#holdStartedMs = nowMs;
      this.heldMs = nowMs - this.#holdStartedMs;
    } else {
      if (this.holds > 0) this.#freeMs += nowMs - this.#holdStartedMs;
      else if (outcome.kind === 'cut' && this.cuts <= FREE_CUTS) this.#freeMs += nowMs - this.#lastMs;
      this.holds = 0;
      this.heldMs = 0;
    }
    this.#lastMs = nowMs;
    this.elapsedMs = nowMs - this.#startedMs - this.#freeMs;
    this.awaitedMs = awaitedMs;
    this.stopping = stopping;
  }

  /** Counts that the message is tried again in place, after `delayMs`. */
  repeat({ because, delayMs }: Omit<Extract<NextDecision, { do: 'again' }>, 'do'>): void {
    if (because === 'hold') this.holds += 1;
    if (because === 'cut') this.#freeMs += delayMs;
    if (because === 'failed') this.attempt += 1;
  }
}
