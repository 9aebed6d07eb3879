/**
 * Replies that are handed to runs in memory: which of them are taken, and when whoever brought one is told what became of it.
 *
 * Recorded is said after the commit in which the run took it in, never before: what a worker takes in that has lost its lease counts for
 * nothing, and its commits are refused. Whatever else happens to the run or to the worker before that gives the reply back.
 */
import { mayTakeHanded } from '../decide/handed.ts';
import { HandedReply } from '../run/handed-reply.ts';
import type { Run } from '../run/run.ts';
import type { RunMessageBody } from '../store/store.ts';

export interface HandedRepliesOptions {
  /** The run, if it is here. */
  readonly runOf: (runId: string) => Run | undefined;
  /** The store's time. */
  readonly now: () => number;
  /** Something has happened to the run. */
  readonly onHanded: (run: Run) => void;
}

export class HandedReplies {
  readonly #options: HandedRepliesOptions;
  #pending: HandedReply[] = [];

  constructor(options: HandedRepliesOptions) {
    this.#options = options;
  }

  /** Of those that wait, in bytes. */
  get bytes(): number {
    let bytes = 0;
    for (const reply of this.#pending) bytes += reply.bytes;
    return bytes;
  }

  /** `text`: the body as JSON. Null: not here, or not now. Resolves with whether it is recorded, durably. */
  take(runId: string, text: string): Promise<boolean> | null {
    const run = this.#options.runOf(runId);
    if (run === undefined) return null;
    // Of its own: code that reads a value may alter it, and the reply may have to go by the store after that.
    const body = JSON.parse(text) as RunMessageBody;
    const reply = new HandedReply(runId, Math.floor(this.#options.now()), body, Buffer.byteLength(text));
    if (run.takesNothing || run.stale || run.handedBack !== null || !mayTakeHanded(run, reply)) return null;
    this.#pending.push(reply);
    run.runEvents.push({ kind: 'message', runMessage: reply });
    this.#options.onHanded(run);
    return reply.recorded.finally(() => this.#drop(reply));
  }

  /** The commit that took these in is answered. */
  committed(replies: readonly HandedReply[], recorded: boolean): void {
    for (const reply of replies) reply.settle(recorded);
  }

  /** The run leaves memory. What a commit of it that is in flight has taken in, that commit's answer settles. */
  left(run: Run): void {
    for (const reply of this.#pending) if (reply.runId === run.id && !reply.inCommit) reply.settle(false);
  }

  /** The worker is dead: what its commits in flight have written nobody knows, and a reply that is stored a second time does no harm. */
  die(): void {
    for (const reply of this.#pending) reply.settle(false);
  }

  #drop(reply: HandedReply): void {
    const place = this.#pending.indexOf(reply);
    const last = this.#pending.pop();
    if (last !== undefined && last !== reply) this.#pending[place] = last;
  }
}
