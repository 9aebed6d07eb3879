/**
 * The row of its journal that a run fills, with all that is written in the same commit: messages, run messages, children, and the run
 * messages that it has taken in. It begins anew with each commit.
 */
import type { RunStatus } from '../journal/events.ts';
import type { NewRun, RunCommit, RunMessage, RunMessageBody, RunUpdate } from '../store/store.ts';
import { HandedReply } from './handed-reply.ts';

/** Most rows have none. Never written to. */
const NONE: HandedReply[] = [];

export class OpenRow {
  /** Of the row before: time does not go back in a journal. */
  #lastAt = 0;
  #at = 0;
  #events: string[] = [];
  #messages: string[] = [];
  #runMessages: { runId: string; body: RunMessageBody }[] = [];
  #runMessagesDone: string[] = [];
  #handed: HandedReply[] = NONE;
  #children: (NewRun & { journal: string })[] = [];
  #start: NewRun | null = null;
  /** Something is to be written beside the events. */
  #besides = false;
  #guarded = false;
  #closed = false;
  /** The call that was recorded last. */
  #lastCalled = '';
  #leftToTransaction = false;

  /** A row that is there already was written then. */
  follows(at: number): void {
    this.#lastAt = Math.max(this.#lastAt, at);
    if (this.#events.length > 0) this.#at = Math.max(this.#at, at);
  }

  /** The time of the row, given with its first event: what now() gives to the code, and the same at every replay. */
  open(now: number): number {
    if (this.#events.length === 0) this.#at = Math.max(this.#lastAt, Math.floor(now));
    return this.#at;
  }

  /** The time of the row, or of the one before while there is nothing in it. */
  get at(): number {
    return this.#events.length === 0 ? this.#lastAt : this.#at;
  }

  /** Whether an event stands in it. */
  get isOpen(): boolean {
    return this.#events.length > 0;
  }

  /** Its events, as JSON. */
  get events(): readonly string[] {
    return this.#events;
  }

  /** Whether anything must be committed. */
  get isFilled(): boolean {
    return !this.#leftToTransaction && (this.#events.length > 0 || this.#besides);
  }

  /** Whether that a call was made is all there is in it. */
  hasOnlyCalled(call: string): boolean {
    if (this.#events.length !== 1 || this.#lastCalled !== call) return false;
    return !this.#besides && !this.#guarded && !this.#closed && this.#start === null && this.#children.length === 0;
  }

  /** A transaction writes it, as it is now, with its own event. Whatever comes into it has it committed by itself, as ever. */
  leaveToTransaction(left: boolean): void {
    this.#leftToTransaction = left;
  }

  /** Whether a transaction writes it. */
  get isLeftToTransaction(): boolean {
    return this.#leftToTransaction;
  }

  /** A transaction has written a row then, and this one with it if it was left to it. */
  writtenByTransaction(at: number): void {
    if (this.#leftToTransaction) this.#events = [];
    this.#leftToTransaction = false;
    this.follows(at);
  }

  /** It has the call of a pivot, or the end: what wants the run compensated must come before it. */
  get isGuarded(): boolean {
    return this.#guarded;
  }

  /** What happens next belongs into the next row: nothing is told before this one is committed. */
  get isClosed(): boolean {
    return this.#closed;
  }

  guard(): void {
    this.#guarded = true;
  }

  close(): void {
    this.#closed = true;
    this.#leftToTransaction = false;
  }

  /** The commit is that of a new run. */
  startWith(start: NewRun): void {
    this.#start = start;
  }

  /** Whether the commit is that of a new run. */
  get isStart(): boolean {
    return this.#start !== null;
  }

  push(event: string): void {
    this.#events.push(event);
    this.#leftToTransaction = false;
  }

  pushCalled(event: string, call: string): void {
    this.push(event);
    this.#lastCalled = call;
  }

  takeIn(runMessage: RunMessage): void {
    if (!(runMessage instanceof HandedReply)) this.#runMessagesDone.push(runMessage.id);
    else if (this.#handed === NONE) this.#handed = [runMessage];
    else this.#handed.push(runMessage);
    this.#isBesides();
  }

  /** The replies without a row of their own that the commit just made has taken in. */
  takeHanded(): readonly HandedReply[] {
    const handed = this.#handed;
    this.#handed = NONE;
    for (const reply of handed) reply.inCommit = true;
    return handed;
  }

  send(message: string): void {
    this.#messages.push(message);
    this.#isBesides();
  }

  post(runId: string, body: RunMessageBody): void {
    this.#runMessages.push({ runId, body });
    this.#isBesides();
  }

  startChild(start: NewRun, journal: string): void {
    this.#children.push({ ...start, journal });
    this.#leftToTransaction = false;
  }

  #isBesides(): void {
    this.#besides = true;
    this.#leftToTransaction = false;
  }

  /** The commit of what is in it, as row `n`. The next row begins. `startAs`: the status of a new run. */
  commit(runId: string, n: number, update: RunUpdate | null, startAs: RunStatus): RunCommit {
    const commit: RunCommit = {
      runId,
      start: this.#start === null ? null : { ...this.#start, status: startAs },
      journal: this.#events.length === 0 ? null : { n, at: this.#at, events: `[${this.#events.join(',')}]` },
      update,
      runMessagesDone: this.#runMessagesDone,
      runMessages: this.#runMessages,
      children: this.#children,
      messages: this.#messages,
    };
    if (commit.journal !== null) this.#lastAt = this.#at;
    this.#closed = false;
    this.#guarded = false;
    this.#start = null;
    this.#events = [];
    this.#messages = [];
    this.#runMessages = [];
    this.#runMessagesDone = [];
    this.#children = [];
    this.#besides = false;
    this.#leftToTransaction = false;
    return commit;
  }
}
