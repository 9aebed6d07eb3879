/**
 * The place of a run in a worker's memory: its stage, and the marks of the queues and lists that it stands in. What the run is about is
 * in run.ts.
 */
import type { TracedSpan } from '../../runtime/telemetry.ts';
import { AFTER_WRITE, assertMove, ON_EVICTION, type RunStage } from './run-stage.ts';

export abstract class CachedRun {
  readonly id: string;
  // The marks of queues and lists. Each stands with its run, because a set would cost a look-up for each event; only the queue writes it.
  /** Of ReadyQueue: something has happened to it. */
  readonly queued: boolean = false;
  /** Of ReadyQueue: its code may have been told something and has not been looked at since. Nobody can say what it waits for. */
  readonly inHand: boolean = false;
  /** Of CommitQueue: it has something to commit, or may leave memory. */
  readonly toCommit: boolean = false;
  /** Of RunCache: nothing of it is under way, it only waits. */
  readonly resting: boolean = false;

  /** Of the stretch of work that is under way (run-span.ts); null: it only waits, or nobody traces. */
  span: TracedSpan | null = null;
  /** Of the stretch before. */
  lastSpan: TracedSpan | null = null;

  #stage: RunStage;
  #whenWritten: (() => void) | null = null;

  constructor(id: string, stage: 'loading' | 'active') {
    this.id = id;
    this.#stage = stage;
  }

  get stage(): RunStage {
    return this.#stage;
  }

  /** Throws when the move is not allowed. */
  enter(stage: RunStage): void {
    assertMove(this.#stage, stage, this.id);
    this.#stage = stage;
  }

  /** A commit of it is in flight, and it is still here. */
  get isCommitting(): boolean {
    return this.#stage === 'committing' || this.#stage === 'releasing' || this.#stage === 'trialing';
  }

  /** A commit of it, or a transaction, is in flight, and it is still here. */
  get isWriting(): boolean {
    return this.isCommitting || this.#stage === 'transacting';
  }

  /** It has left memory; what is still under way of it is nobody's. */
  get isEvicted(): boolean {
    return this.#stage === 'evicted' || this.#stage === 'evicting';
  }

  /** It is being brought into memory: nothing is told to it before it is all there. */
  get isLoading(): boolean {
    return this.#stage === 'loading' || this.#stage === 'trialing';
  }

  /** It is all there. */
  finishLoading(): void {
    this.enter(this.#stage === 'trialing' ? 'committing' : 'active');
  }

  /** A commit of it begins. `gives`: it leaves memory with that. */
  beginCommit(gives: boolean): void {
    this.enter(gives ? 'releasing' : this.#stage === 'loading' ? 'trialing' : 'committing');
  }

  /** Its commit, or its transaction, is not in flight any more. */
  endWrite(): void {
    this.enter(AFTER_WRITE[this.#stage]);
  }

  /** It leaves memory, because it cannot go on. */
  evict(): void {
    this.enter(ON_EVICTION[this.#stage]);
  }

  /** Calls `act` once nothing of a run that was evicted is in flight: at once, or when tellWritten says so. */
  whenWritten(act: () => void): void {
    if (this.#stage === 'evicting') this.#whenWritten = act;
    else act();
  }

  /** What was in flight when it was evicted has ended, and what came of it is known. */
  tellWritten(): void {
    if (this.#whenWritten === null || this.#stage === 'evicting') return;
    const act = this.#whenWritten;
    this.#whenWritten = null;
    act();
  }
}
