/**
 * The runs that a worker has in memory: takes in what happens to them, lets their code go on, and commits all of them together, as
 * soon as the commit before is back. No timer holds anything up: one run alone pays one commit a step, a thousand share it.
 *
 * A run has one commit in flight at a time, so the order of its journal is the order in which its code was told. What a commit makes
 * durable is begun after it; what its code asks for meanwhile goes into the next one.
 */
import { HoldfastError } from '../errors.ts';
import { describeError } from '../runtime/describe-error.ts';
import type { Logger } from '../runtime/log.ts';
import { afterwards } from './mail.ts';
import type { RunSettings } from './commands.ts';
import type { Registry, Saga } from './definition.ts';
import { nextDue } from './due.ts';
import type { Effects } from './effects.ts';
import { collect } from './forward.ts';
import { createFlow } from './flow.ts';
import { recordError } from './recorded-error.ts';
import { releaseOf } from './release.ts';
import { Run, type Effect, type Fact, type Scene } from './run.ts';
import { valueOf } from './state.ts';
import type { ClaimedRun, Mail, NewRun, RunCommit, WorkerStore } from './store.ts';
import { takeFact } from './take-fact.ts';
import { takeUp } from './resume.ts';
import { createTimers } from './timers.ts';
import { turn, turnOrAbort } from './turn.ts';

export interface EngineOptions {
  readonly store: WorkerStore;
  readonly workerId: string;
  readonly registry: Registry;
  readonly settings: RunSettings;
  readonly log: Logger;
  readonly random: () => number;
  /** The store's time. */
  readonly now: () => number;
  /** Most runs kept in memory although they only wait. */
  readonly mostWaiting: number;
  readonly effects: (engine: Engine) => Effects;
  readonly pass: (point: string) => boolean;
  readonly onBroken: (error: unknown) => void;
  /** A run has left memory: there is room, and perhaps an end to tell of. */
  readonly onLeft: (run: Run) => void;
  /** The earliest timer has changed. */
  readonly onTimer: () => void;
  readonly onCommit: (runs: number) => void;
}

/** Most runs in one commit: beyond that the next one had better begin. */
const MOST_IN_COMMIT = 500;
/** Runs to commit from which on two commits that overlap are better than one. */
const WORTH_HALVING = 16;
/** When a run is tried again whose commit the database refuses, in milliseconds. */
const REFUSED_RETRY_MS = 30_000;

export class Engine {
  readonly #options: EngineOptions;
  readonly #effects: Effects;
  readonly #runs = new Map<string, Run>();
  readonly #waiting = new Set<Run>();
  readonly #timers = createTimers<Run>();
  readonly #dirty = new Set<Run>();
  readonly #quiet = new Map<Run, (() => void)[]>();
  readonly #taken = new Set<string>();
  readonly #started = new Map<string, { resolve: () => void; reject: (error: unknown) => void }>();
  #ready: Run[] = [];
  #pumping = false;
  #commits = 0;
  #dead = false;
  /** Runs leave memory as soon as nothing of them is under way. */
  #leaving = false;

  constructor(options: EngineOptions) {
    this.#options = options;
    this.#effects = options.effects(this);
  }

  get inMemory(): number {
    return this.#runs.size;
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  has(runId: string): boolean {
    return this.#runs.has(runId);
  }

  /** Ids of mail that is here already. */
  get taken(): readonly string[] {
    return [...this.#taken];
  }

  get nextTimer(): number {
    return this.#timers.next;
  }

  countOf(saga: string, version: number): number {
    let count = 0;
    for (const run of this.#runs.values()) {
      if (run.saga.name === saga && run.saga.version === version && !this.#waiting.has(run)) count += 1;
    }
    return count;
  }

  /** Starts a run in the next commit. Resolves once it is durable. */
  start(saga: Saga, start: NewRun, input: string): Promise<void> {
    const run = new Run(saga, { id: start.id, claims: 1, parent: start.parent }, 'running', this.#options.settings);
    const now = this.#options.now();
    run.startWith(start);
    const deadline = start.deadlineAt === null ? {} : { deadlineAt: start.deadlineAt };
    run.recordStarted(deadline, input, now);
    run.flow = createFlow({ saga, runId: run.id, input: valueOf(input), maxBytes: this.#options.settings.maxBytes });
    this.#runs.set(run.id, run);
    const durable = new Promise<void>((resolve, reject) => this.#started.set(run.id, { resolve, reject }));
    run.flow.begin(run.rowAt);
    this.tell(run, { kind: 'begun' });
    return durable;
  }

  /** Takes up runs that were claimed. */
  async take(claimed: readonly ClaimedRun[]): Promise<void> {
    await Promise.all(claimed.map((each) => this.#takeOne(each)));
  }

  async #takeOne(claimed: ClaimedRun): Promise<void> {
    const { registry, settings } = this.#options;
    const saga = registry.find(claimed.saga, claimed.version);
    if (saga === undefined || this.#runs.has(claimed.id) || this.#dead) return;
    const run = new Run(saga as Saga, claimed, claimed.status, settings);
    // Not looked at before it is all there.
    run.queued = true;
    this.#runs.set(run.id, run);
    run.load(claimed);
    for (const mail of claimed.mail) this.#addMail(run, mail);
    await takeUp(run, claimed.journal, this.#scene());
    run.queued = false;
    if (this.#runs.get(run.id) !== run) return;
    this.#settled(run);
    // It may have nothing to do here, and is then let go.
    if (run.idle) this.#dirty.add(run);
    this.#wake();
  }

  /** Mail for a run that is here. */
  deliver(mail: Mail): void {
    const run = this.#runs.get(mail.runId);
    if (run === undefined || this.#taken.has(mail.id)) return;
    this.#addMail(run, mail);
    this.#enqueue(run);
  }

  #addMail(run: Run, mail: Mail): void {
    this.#taken.add(mail.id);
    run.facts.push({ kind: 'mail', mail });
  }

  tell(run: Run, fact: Fact): void {
    if (this.#dead || this.#runs.get(run.id) !== run) return;
    run.facts.push(fact);
    this.#enqueue(run);
  }

  #enqueue(run: Run): void {
    this.#waiting.delete(run);
    if (run.queued) return;
    run.queued = true;
    this.#ready.push(run);
    this.#wake();
  }

  /** Takes in all timers that are due. */
  fireTimers(): void {
    for (const run of this.#timers.take(this.#options.now())) this.tell(run, { kind: 'due' });
  }

  /** Lets runs go as they come to a wait, and takes no new ones. Resolves when none is left, or the signal aborts. */
  async leave(signal: AbortSignal): Promise<void> {
    this.#leaving = true;
    for (const run of this.#runs.values()) if (run.idle) this.#dirty.add(run);
    this.#wake();
    while (this.#runs.size > 0 && !signal.aborted && !this.#dead) await turnOrAbort(signal);
  }

  /** Aborts what is under way; its outcomes are then recorded as unknown. */
  abort(reason: Error): void {
    for (const run of this.#runs.values()) for (const abort of run.inFlight.values()) abort(reason);
  }

  /** Forgets everything: the lease is gone, and whatever is still under way is nobody's any more. */
  die(reason: Error): void {
    this.#dead = true;
    this.abort(reason);
    for (const { reject } of this.#started.values()) reject(reason);
    this.#started.clear();
    this.#runs.clear();
    this.#waiting.clear();
    this.#dirty.clear();
    this.#ready = [];
  }

  /** Resolves once nothing of the run is in commit, or waits for one. */
  async quiet(run: Run): Promise<void> {
    while ((run.dirty || run.committing) && !this.#dead) {
      this.#dirty.add(run);
      this.#wake();
      await new Promise<void>((resolve) => this.#quiet.set(run, [...(this.#quiet.get(run) ?? []), resolve]));
    }
  }

  #scene(): Scene {
    return { now: this.#options.now(), random: this.#options.random };
  }

  #wake(): void {
    if (this.#pumping || this.#dead) return;
    this.#pumping = true;
    setImmediate(() => {
      this.#pump().catch((error: unknown) => this.#options.onBroken(error));
    });
  }

  async #pump(): Promise<void> {
    try {
      do {
        const ready = this.#ready;
        this.#ready = [];
        if (ready.length > 0) await this.#round(ready);
        this.#commitSoon();
      } while (this.#ready.length > 0);
    } finally {
      this.#pumping = false;
    }
    if (this.#ready.length > 0) this.#wake();
  }

  /** One fact of each run, then a turn of the event loop for all their code, then what it did. */
  async #round(ready: readonly Run[]): Promise<void> {
    const scene = this.#scene();
    const told: Run[] = [];
    const slow: Promise<void>[] = [];
    for (const run of ready) {
      run.queued = false;
      const fact = run.transacting ? undefined : run.facts.shift();
      if (fact === undefined) continue;
      if (fact.kind === 'mail') this.#taken.delete(fact.mail.id);
      const result = takeFact(run, fact, scene);
      if (result === true) told.push(run);
      else if (result !== false)
        slow.push(
          result.then((spoken) => {
            if (spoken) told.push(run);
          }),
        );
    }
    if (slow.length > 0) await Promise.all(slow);
    if (told.length > 0) await turn();
    const later = told.map((run) => collect(run, scene)).filter((each) => each !== undefined);
    if (later.length > 0) await Promise.all(later);
    for (const run of ready) {
      // A wish granted, a sibling settled, a compensation done: what goes on without the code.
      if (run.state.phase === 'undoing' || run.wish !== null) await afterwards(run, scene);
      if (this.#runs.get(run.id) === run) this.#settled(run);
    }
  }

  /** After anything happened to a run: what is to be committed, begun, or waited for. */
  #settled(run: Run): void {
    if (run.facts.length > 0 && !run.transacting) this.#enqueue(run);
    if (run.dirty || run.over || run.stale) this.#dirty.add(run);
    else if (run.effects.length > 0 && !run.committing) this.#begin(run, takeEffects(run));
    this.#arm(run);
  }

  #arm(run: Run): void {
    const before = this.#timers.next;
    this.#timers.set(run, nextDue(run));
    if (this.#timers.next < before) this.#options.onTimer();
  }

  #begin(run: Run, effects: readonly Effect[]): void {
    for (const effect of effects) if (!this.#dead) this.#effects.begin(run, effect);
  }

  #commitSoon(): void {
    // Two at a time: while the database works on one half of the runs, the code of the other half goes on.
    while (this.#commits < 2 && this.#dirty.size > 0 && !this.#dead) {
      const most =
        this.#commits === 0 && this.#dirty.size >= WORTH_HALVING ? Math.ceil(this.#dirty.size / 2) : this.#dirty.size;
      if (!this.#commitSome(Math.min(most, MOST_IN_COMMIT))) return;
    }
  }

  /** Returns whether there was anything to commit. */
  #commitSome(most: number): boolean {
    const batch: { run: Run; commit: RunCommit; effects: Effect[]; left: boolean }[] = [];
    for (const run of this.#dirty) {
      if (run.committing || run.transacting) continue;
      this.#dirty.delete(run);
      const release = this.#releaseOf(run);
      if (release === null && !run.dirty) {
        if (run.idle) this.#waiting.add(run);
        continue;
      }
      const commit = run.flush(release);
      run.committing = true;
      batch.push({ run, commit, effects: takeEffects(run), left: release !== null });
      if (batch.length >= most) break;
    }
    if (batch.length === 0) return false;
    this.#commits += 1;
    this.#commit(batch.map(({ commit }) => commit)).then(
      (failures) => {
        for (const { run, effects, left } of batch) this.#committed(run, effects, left, failures.get(run.id));
        this.#options.onCommit(batch.length);
        this.#commits -= 1;
        // What is ready to be committed need not wait for what has just been begun.
        if (this.#ready.length === 0) this.#commitSoon();
      },
      (error: unknown) => {
        this.#commits -= 1;
        this.#options.onBroken(error);
      },
    );
    return true;
  }

  /** The runs the database refuses, with its reasons; rejects when nothing is known of any. */
  async #commit(commits: readonly RunCommit[]): Promise<ReadonlyMap<string, Error>> {
    if (!this.#options.pass('saga.commit:before')) throw dead();
    let failures: ReadonlyMap<string, Error> = new Map();
    try {
      await this.#options.store.commit(this.#options.workerId, commits);
    } catch (error) {
      if (!isGroupFailure(error)) throw error;
      failures = error.failures;
    }
    if (!this.#options.pass('saga.commit:after')) throw dead();
    return failures;
  }

  #committed(run: Run, effects: readonly Effect[], left: boolean, failure: Error | undefined): void {
    run.committing = false;
    const started = this.#started.get(run.id);
    this.#started.delete(run.id);
    if (failure !== undefined) {
      started?.reject(failure);
      this.#refused(run, failure, started !== undefined);
    } else {
      started?.resolve();
      if (left) this.#forget(run);
      else {
        this.#begin(run, effects);
        if (run.idle && !run.dirty) this.#waiting.add(run);
        this.#settled(run);
      }
    }
    const waiting = this.#quiet.get(run);
    this.#quiet.delete(run);
    for (const resolve of waiting ?? []) resolve();
  }

  /** The database takes everybody's commit but this one's: out with it, and it is tried again from its journal later. */
  #refused(run: Run, failure: Error, neverStarted: boolean): void {
    this.#options.log.error({ err: failure, run: run.id, saga: run.saga.name }, 'the database refuses what a run did');
    this.#forget(run);
    if (neverStarted) return;
    const wakeAt = this.#options.now() + REFUSED_RETRY_MS;
    const update = {
      status: run.status,
      reason: run.state.reason,
      pivoted: run.pivotStored,
      release: { wakeAt },
      result: null,
      error: JSON.stringify(recordError(failure)),
    };
    const nothing = { start: null, journal: null, mailDone: [], mail: [], children: [], messages: [] };
    this.#options.store
      .commit(this.#options.workerId, [{ runId: run.id, ...nothing, update }])
      .catch((error: unknown) => {
        this.#options.log.warn({ run: run.id, error: describeError(error) }, 'a refused run could not be released');
      });
  }

  #forget(run: Run): void {
    this.#runs.delete(run.id);
    this.#waiting.delete(run);
    this.#dirty.delete(run);
    this.#timers.forget(run);
    for (const fact of run.facts) if (fact.kind === 'mail') this.#taken.delete(fact.mail.id);
    if (run.wish?.mail != null) this.#taken.delete(run.wish.mail.id);
    this.#options.onLeft(run);
  }

  #releaseOf(run: Run): { readonly wakeAt: number | null } | null {
    const now = this.#options.now();
    return releaseOf(run, { now, leaving: this.#leaving, full: this.#waiting.size >= this.#options.mostWaiting });
  }
}

function takeEffects(run: Run): Effect[] {
  const { effects } = run;
  run.effects = [];
  return effects;
}

/** What a store rejects with when it could commit some of a group, and which not. */
function isGroupFailure(error: unknown): error is { readonly failures: ReadonlyMap<string, Error> } {
  return error instanceof Error && 'failures' in error && error.failures instanceof Map;
}

function dead(): HoldfastError {
  return new HoldfastError('HF_STOPPED', 'The worker is dead.');
}
