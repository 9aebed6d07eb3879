/**
 * A reply that was handed to a run in memory: a run message without a row in the store. Whoever brought it holds it back from the broker
 * until it is settled. It is recorded when the commit that took it in is durable; until then it may go at any time, and then goes by the
 * store.
 */
import type { RunMessage, RunMessageBody } from '../store/store.ts';

export class HandedReply implements RunMessage {
  /** It has no row that a commit would have to delete. */
  readonly id = '';
  readonly runId: string;
  readonly at: number;
  readonly body: RunMessageBody;
  readonly bytes: number;
  /** Resolves with whether it is recorded; if not, it has had no effect that lasts. */
  readonly recorded: Promise<boolean>;
  /** A commit with what came of it is in flight: only its answer says what became of it. */
  inCommit = false;
  #settle: ((recorded: boolean) => void) | null = null;

  constructor(runId: string, at: number, body: RunMessageBody, bytes: number) {
    this.runId = runId;
    this.at = at;
    this.body = body;
    this.bytes = bytes;
    this.recorded = new Promise((resolve) => (this.#settle = resolve));
  }

  get isSettled(): boolean {
    return this.#settle === null;
  }

  /** The first word counts. */
  settle(recorded: boolean): void {
    this.#settle?.(recorded);
    this.#settle = null;
  }
}
