/**
 * The runs that a worker has in memory: takes in what happens to them, lets their code go on, and commits all of them together, as
 * soon as the commit before is back. No timer holds anything up: one run alone pays one commit a step, a thousand share it.
 *
 * A run has one commit in flight at a time, so the order of its journal is the order in which its code was told. What a commit makes
 * durable is begun after it; what its code asks for meanwhile goes into the next one.
 */
import { HoldfastError } from '../../errors.ts';
import type { CarriedTrace } from '../../runtime/telemetry.ts';
import { beginsAhead } from '../decide/begin-ahead.ts';
import { pendingCompensationsOf } from '../decide/request-compensation.ts';
import { givenBack } from '../decide/hand-back.ts';
import { CommitQueue, takeIntents, type Committed } from './commit-queue.ts';
import type { Saga } from '../definition/definition.ts';
import type { OpenBreaker } from './admission.ts';
import type { StepExecutor } from './step-executor.ts';
import type { EngineOptions } from './engine-options.ts';
import { createFlow } from '../replay/flow.ts';
import { ClaimLoader } from './claim-loader.ts';
import { Mismatches } from './mismatches.ts';
import { releaseOf } from '../decide/release.ts';
import type { Intent, RunEvent, DecisionContext } from '../run/run-events.ts';
import { RunCache } from './run-cache.ts';
import { Run } from '../run/run.ts';
import { beginStretch, endStretch } from '../run/run-span.ts';
import { recordTrace } from '../journal/run-trace.ts';
import { valueOf } from '../journal/state.ts';
import type { ClaimedRun, RunMessage, NewRun, RunCommit } from '../store/store.ts';
import { PendingStarts } from './pending-starts.ts';
import { logRejectionOfRun } from '../decide/unhandled-rejections.ts';
import { SeenMessages } from './seen-messages.ts';
import { HandedReplies } from './handed-replies.ts';
import { Rounds } from './rounds.ts';
import { RunTimers } from './run-timers.ts';
import { momentOrAbort } from '../replay/turn.ts';

export class Engine {
  readonly #options: EngineOptions;
  readonly #executor: StepExecutor;
  readonly #runs = new RunCache();
  readonly #timers = new RunTimers();
  readonly #commits: CommitQueue;
  readonly #runMessages = new SeenMessages();
  readonly #claimLoader: ClaimLoader;
  readonly #mismatches: Mismatches;
  readonly #starts = new PendingStarts();
  readonly #handed: HandedReplies;
  readonly #rounds: Rounds;
  #dead = false;
  #crowded = false;
  /** Runs leave memory as soon as nothing of them is under way. */
  #draining = false;

  constructor(options: EngineOptions) {
    this.#options = options;
    this.#executor = options.createExecutor(this);
    this.#commits = new CommitQueue({
      ...options,
      releaseOf: (run) => this.#releaseOf(run),
      onNothing: (run) => {
        if (run.idle) this.#rests(run);
      },
      onCommitted: (committed) => this.#committed(committed),
      onFreed: options.onPosted,
      onBatch: (runs) => {
        options.onCommit(runs);
        // What is ready to be committed need not wait for what has just been begun.
        if (this.#rounds.waiting === 0) this.#commits.commitSoon();
      },
    });
    this.#rounds = new Rounds({
      ...options,
      runs: this.#runs,
      context: () => this.#context(),
      onSettled: (run) => this.#settled(run),
      giveBack: (run, error) => this.#giveBack(run, error, true),
      onRound: () => this.#commits.commitSoon(),
    });
    this.#mismatches = new Mismatches({
      ...options,
      holds: (run) => this.#runs.holds(run),
      onDecided: (run) => (this.#settled(run), this.#rounds.wake()),
      giveBack: (run, error) => this.#giveBack(run, error, true),
    });
    this.#handed = new HandedReplies({
      runOf: (runId) => this.#runs.get(runId),
      now: options.now,
      onHanded: (run) => this.#enqueue(run),
    });
    this.#claimLoader = new ClaimLoader({
      ...options,
      runs: this.#runs,
      context: () => this.#context(),
      addRunMessage: (run, runMessage) => this.#addRunMessage(run, runMessage),
      onTaken: (run) => {
        this.#settled(run);
        if (run.flow !== null) this.#mismatches.remark(run);
        // It may have nothing to do here, and is then let go.
        if (run.idle) this.#commits.add(run);
        this.#rounds.wake();
      },
      giveBack: (run, error) => this.#giveBack(run, error, true),
      quiet: (run) => this.#commits.quiet(run),
      isDead: () => this.#dead,
      isDraining: () => this.#draining,
    });
  }

  get inMemory(): number {
    return this.#runs.size;
  }

  /** Attempts that are under way, as `run call`. */
  get underWay(): readonly string[] {
    return this.#runs.all().flatMap((run) => run.inFlight.entries().map(([call]) => `${run.id} ${call}`));
  }

  /** Circuit breakers of steps that hold attempts up. */
  get openBreakers(): readonly OpenBreaker[] {
    return this.#executor.openBreakers();
  }

  get waiting(): number {
    return this.#runs.resting;
  }

  /** Of the journals of all runs here, in bytes: about what they take in memory. */
  get bytes(): number {
    return this.#runs.bytes;
  }

  /** Of run messages that were brought and are not yet known to be taken in, in bytes. */
  get runMessageBytes(): number {
    return this.#runMessages.bytes + this.#handed.bytes;
  }

  /** While it is crowded, runs that only wait leave memory: their journals take more than there is for all. */
  crowd(crowded: boolean): void {
    this.#crowded = crowded;
    if (!crowded) return;
    for (const run of this.#runs.all()) if (run.resting) this.#commits.add(run);
    this.#rounds.wake();
  }

  /** Whether the run is here and under way, so that its end will be told here. */
  has(runId: string): boolean {
    const run = this.#runs.get(runId);
    return run !== undefined && run.state.stuck === null;
  }

  isInMemory(runId: string): boolean {
    return this.#runs.get(runId) !== undefined;
  }

  /** Ids of messages that are here already; asked just before a look at the store, which then sees what has been deleted until now. */
  lookingForMessages(): readonly string[] {
    return this.#runMessages.beginLook();
  }

  /** Nothing is begun any more that another worker can begin. */
  get isDraining(): boolean {
    return this.#draining;
  }

  get nextTimer(): number {
    return this.#timers.next;
  }

  countOf(saga: string, version: number): number {
    return this.#runs.busy(saga, version);
  }

  /** Starts a run in the next commit. Resolves once it is durable. */
  start(saga: Saga, start: NewRun, input: string, trace: CarriedTrace | null = null): Promise<void> {
    const run = new Run(saga, { id: start.id, claims: 1, parent: start.parent }, null, this.#options.settings);
    const now = this.#options.now();
    run.startWith(start);
    const deadline = start.deadlineAt === null ? {} : { deadlineAt: start.deadlineAt };
    run.recordStarted(trace === null ? deadline : { ...deadline, trace: recordTrace(trace) }, input, now);
    run.flow = createFlow({
      saga,
      runId: run.id,
      input: valueOf(input),
      maxBytes: this.#options.settings.maxBytes,
      onStray: logRejectionOfRun(run),
    });
    this.#runs.add(run);
    const durable = this.#starts.wait(run.id);
    run.flow.begin(run.rowAt);
    this.tell(run, { kind: 'begun' });
    return durable;
  }

  /** Takes up runs that were claimed, by a look that began then. */
  take(claimed: readonly ClaimedRun[], at: number): Promise<void> {
    return this.#claimLoader.take(claimed, at);
  }

  /** Run messages for a run that is here. */
  deliver(runMessage: RunMessage): void {
    const run = this.#runs.get(runMessage.runId);
    if (run === undefined || this.#runMessages.has(runMessage.id)) return;
    this.#addRunMessage(run, runMessage);
    this.#enqueue(run);
  }

  /**
   * Hands in a reply, whose body is given as JSON. Resolves with whether it is recorded, durably; null at once when its run is not here or
   * cannot take it now.
   */
  takeReply(runId: string, text: string): Promise<boolean> | null {
    return this.#dead || this.#draining ? null : this.#handed.take(runId, text);
  }

  #addRunMessage(run: Run, runMessage: RunMessage): void {
    this.#runMessages.add(runMessage.id, runMessage.bytes ?? 0);
    run.runEvents.push({ kind: 'message', runMessage });
  }

  tell(run: Run, runEvent: RunEvent): void {
    if (this.#dead || !this.#runs.holds(run)) return;
    // A transaction stands in the journal already, before whatever was told while it was committed.
    if (runEvent.kind === 'transacted') run.runEvents.unshift(runEvent);
    else run.runEvents.push(runEvent);
    this.#enqueue(run);
  }

  #rests(run: Run): void {
    this.#runs.rests(run, true);
    endStretch(run);
  }

  #enqueue(run: Run): void {
    this.#runs.rests(run, false);
    // What happens to it while it is loaded is looked at afterwards.
    if (run.isLoading) return;
    beginStretch(run, this.#options.now);
    this.#rounds.add(run);
  }

  /** The runs of which a timer is due by then. To be given to fireTimers after a look for their run messages. */
  takeTimers(at: number): readonly Run[] {
    return this.#timers.take(at);
  }

  /** All run messages that had come by then are here, but for those of the runs that are `unread`. */
  fireTimers(due: readonly Run[], at: number, unread: readonly string[]): void {
    const here = due.filter((run) => this.#runs.holds(run));
    for (const run of this.#timers.fire(here, at, unread)) this.tell(run, { kind: 'due' });
  }

  /** From now on nothing is begun any more that another worker can begin. */
  stopBeginning(): void {
    this.#draining = true;
  }

  /** Lets runs go as they come to a wait, and takes no new ones. Resolves when none is left, or the signal aborts. */
  async drain(signal: AbortSignal): Promise<void> {
    this.stopBeginning();
    for (const run of this.#runs.all()) if (run.idle && !run.queued && !run.isLoading) this.#commits.add(run);
    this.#rounds.wake();
    while (this.#runs.size > 0 && !signal.aborted && !this.#dead) await momentOrAbort(signal);
  }

  /** Aborts what is under way; its outcomes are then recorded as unknown. */
  abort(reason: Error): void {
    for (const run of this.#runs.all()) for (const abort of run.inFlight.values()) abort(reason);
  }

  /** Forgets everything: the lease is gone, and whatever is still under way is nobody's any more. */
  die(reason: Error): void {
    this.#dead = true;
    this.abort(reason);
    this.#starts.die(reason);
    this.#handed.die();
    for (const run of this.#runs.all()) endStretch(run, reason);
    this.#runs.clear();
    this.#commits.die();
    this.#rounds.die();
  }

  /** Resolves once nothing of the run is in commit, or waits for one. */
  quiet(run: Run): Promise<void> {
    return this.#commits.quiet(run);
  }

  #context(): DecisionContext {
    return { now: this.#options.now(), random: this.#options.random };
  }

  /** After anything happened to a run: what is to be committed, begun, or waited for. */
  #settled(run: Run): void {
    if (run.mismatch !== null) this.#mismatches.decide(run);
    else if (run.runEvents.length > 0 && !run.takesNothing) this.#enqueue(run);
    // One that has come to a wait without anything to record is looked at as well: it may leave.
    const toBegin = run.intents.length > 0 && !run.isCommitting;
    if (toBegin && !this.#draining && beginsAhead(run)) run.leaveRowToTransaction(true);
    if (run.dirty || run.over || run.stale || run.handedBack !== null || (run.idle && !run.resting))
      this.#commits.add(run);
    // It leaves as it is, and what it asks for is begun by another worker: one that was claimed while this one stops.
    else if (toBegin && this.#draining) this.#commits.add(run);
    else if (toBegin) {
      this.#begin(run, takeIntents(run));
      // It did not begin after all.
      if (run.isRowLeftToTransaction && run.inFlight.size === 0) this.#recordAfterAll(run);
    }
    if (this.#timers.arm(run)) this.#options.onTimer();
  }

  /** Attempts that are not recorded and last long are recorded now: who looks at such a run sees them, and so does who takes it over. */
  recordAttempts(): void {
    for (const run of this.#runs.all()) if (run.isRowLeftToTransaction) this.#recordAfterAll(run);
    this.#rounds.wake();
  }

  #recordAfterAll(run: Run): void {
    // The transaction that is just being committed records it.
    if (run.stage === 'transacting') return;
    run.leaveRowToTransaction(false);
    this.#commits.add(run);
  }

  #begin(run: Run, intents: readonly Intent[]): void {
    for (const intent of intents) if (!this.#dead) this.#executor.begin(run, intent);
  }

  #committed({ run, commit, intents, handed, left, failure }: Committed): void {
    this.#handed.committed(handed, failure === undefined);
    // Known to be gone only to those who look from now on.
    for (const id of commit.runMessagesDone) this.#runMessages.deleted(id);
    if (commit.runMessages.length > 0 || commit.children.length > 0) this.#options.onPosted();
    if (failure !== undefined) {
      const wasStart = this.#starts.refuse(run.id, failure);
      run.commitRefused();
      this.#giveBack(run, failure, !wasStart, commit);
    } else {
      this.#starts.made(run.id);
      // It broke while its commit was under way, and has been given back.
      if (!this.#runs.holds(run)) return;
      if (left) {
        run.enter('evicted');
        this.#forget(run, true);
      } else {
        this.#begin(run, intents);
        if (run.idle && !run.dirty) this.#rests(run);
        this.#settled(run);
      }
    }
  }

  /** Nobody can go on with this run just now, for a reason of its own: out with it, and it is tried again from its journal later. */
  #giveBack(run: Run, error: unknown, stored: boolean, refused: RunCommit | null = null): void {
    const why = givenBack(run, error, refused, this.#options);
    if (!this.#runs.holds(run)) return;
    const { isCommitting } = run;
    endStretch(run, error);
    run.evict();
    this.#forget(run, false);
    for (const abort of run.inFlight.values())
      abort(new HoldfastError('HF_STOPPED', 'The run cannot go on here just now.'));
    // Of a run that came to grief before its first commit nothing is written, nor will be.
    const isRefused = !isCommitting && this.#starts.refuse(run.id, error);
    if (stored && !isRefused) this.#commits.release(run, why);
  }

  /** `stored`: what it is has been committed, and can be told. */
  #forget(run: Run, stored: boolean): void {
    endStretch(run);
    this.#runs.remove(run);
    this.#commits.drop(run);
    this.#timers.forget(run);
    this.#handed.left(run);
    for (const runEvent of run.runEvents)
      if (runEvent.kind === 'message') this.#runMessages.forget(runEvent.runMessage.id);
    for (const { runMessage } of pendingCompensationsOf(run.pendingCompensation))
      if (runMessage !== null) this.#runMessages.forget(runMessage.id);
    this.#options.onLeft(run, stored);
    this.#claimLoader.left(run);
  }

  #releaseOf(run: Run): { readonly wakeAt: number | null } | null {
    const now = this.#options.now();
    const full = this.#crowded || this.#runs.resting >= this.#options.mostWaiting;
    return releaseOf(run, { now, draining: this.#draining, full });
  }
}
