/**
 * Holds a simulation against the promises of docs/guarantees.md, at the moment of each commit, attempt and effect. Each check is named for
 * its promise. What can only be said when all is over stands in at-the-end.ts.
 */
import type { JournalEvent, RunStatus, StuckWhy } from '../../../src/saga/journal/events.ts';
import type { RunCommit } from '../../../src/saga/store/store.ts';
import type { EffectOf } from '../../../src/testing/saga/effects-log.ts';
import { AttemptJudge, type DeclaredStep } from './attempt-judge.ts';
import { forgottenRuns } from './awake.ts';
import type { ParsedWire } from './parsed-wire.ts';
import type { SeenAttempt } from '../workload/steps.ts';
import { PathJudge } from './path-judge.ts';
import { short } from './short.ts';
import type { MemoryTables } from '../../../src/testing/saga/memory-tables.ts';

interface SeenCall {
  readonly kind: string;
  readonly until: number | null;
  outcome: string | null;
}

interface SeenRun {
  readonly rows: Map<number, string>;
  readonly calls: Map<string, SeenCall>;
  readonly signals: Set<string>;
  /** Signals that came when they could take no effect any more. */
  refusedSignals: number;
  /** Calls whose compensation was answered, or that were answered late. */
  readonly answered: Set<string>;
  status: RunStatus | null;
}

export interface JudgeOptions {
  readonly tables: MemoryTables;
  /** By the clock of the store. */
  readonly now: () => number;
  /** What may bring a run down: a plan that asks for it. */
  readonly mayFail: (runId: string) => boolean;
  readonly mayBeStuck: (runId: string, why: StuckWhy, call: string | undefined) => boolean;
  /** Who cancels runs and has them tried again. */
  readonly actors: ReadonlySet<string>;
  /** What the declaration of a step says; null: of a sleep, or a wait. */
  readonly declared: (step: string) => { readonly pivot: boolean; readonly undoable: boolean } | null;
  /** What it says of attempts; null: of a step that nobody attempts. */
  readonly attempted: (step: string) => DeclaredStep | null;
  /** Whether there are participants that carry out what was taken back before. */
  readonly forgets: () => boolean;
  /** Whether code that has lost the compensation of a step is among what runs. */
  readonly mayBeLost: (step: string) => boolean;
  /** Whether something is left of what a call has done. */
  readonly isDone: (runId: string, call: string) => boolean;
  /** Whether a participant has carried out what it had refused before, and had forgotten. */
  readonly isDoneAfterRefusal: (runId: string, call: string) => boolean;
}

export class Judge {
  readonly breaches: string[] = [];
  readonly #options: JudgeOptions;
  readonly #runs = new Map<string, SeenRun>();
  /** Run and call of which a compensation was asked for, or had an effect. */
  readonly #compensating = new Set<string>();
  readonly #compensated = new Set<string>();
  /** Run and call of what was called by code that has lost its compensation: nothing was promised of it. */
  readonly unpromised = new Set<string>();

  /** Of what is seen of attempts. */
  readonly attempts: AttemptJudge;
  readonly path: PathJudge;

  constructor(options: JudgeOptions) {
    this.#options = options;
    this.attempts = new AttemptJudge({
      say: (breach) => this.#say(breach),
      now: options.now,
      declared: options.attempted,
      isDone: options.isDone,
      isDoneAfterRefusal: options.isDoneAfterRefusal,
    });
    this.path = new PathJudge({
      say: (breach) => this.#say(breach),
      now: options.now,
      declared: options.attempted,
      attemptsOf: (runId, call) => this.attempts.of(runId, call),
    });
  }

  /** A worker's commit was accepted. */
  committed(workerId: string, commits: readonly RunCommit[]): void {
    this.#i11CommitsUnderALease(workerId);
    for (const commit of commits) {
      const run = this.#seen(commit.runId);
      this.#i6FinishedStaysFinished(commit, run);
      if (commit.journal === null) continue;
      this.#i10RowsAreWrittenOnce(commit.runId, commit.journal, run);
      for (const event of JSON.parse(commit.journal.events) as readonly JournalEvent[]) {
        this.#event(commit.runId, run, event);
        this.path.recorded(commit.runId, event);
        this.attempts.recorded(
          commit.runId,
          this.#isUnpromised(commit.runId, event) ? { ...event, undoable: true } : event,
        );
      }
    }
  }

  /** An attempt is about to begin. What a transaction does is fenced by its commit, so that one of a worker which was replaced does no harm. */
  attempted(attempt: SeenAttempt): void {
    const { runId, call, token, what, kind } = attempt;
    const { tables, now } = this.#options;
    const run = tables.runs.get(runId);
    const lease = run?.worker === null || run === undefined ? undefined : tables.workers.get(run.worker);
    const isHeld = run?.claims === token && lease !== undefined && lease.leaseUntil > now();
    if (isHeld || kind !== 'transaction') {
      this.attempts.begins(attempt);
      this.path.begins(attempt);
    }
    if (kind === 'transaction' || what === 'verified') return;
    if (!isHeld)
      this.#say(`I11: an attempt of ${call} of ${short(runId)} was begun by a worker that does not hold the run`);
    const place = runId + call;
    if (what === 'compensated') this.#compensating.add(place);
    else if (this.#compensating.has(place))
      this.#say(`I8: an attempt of ${call} of ${short(runId)} was begun after its compensation`);
  }

  /** Something had its effect. */
  happened({ runId, call, kind, what }: EffectOf, places: number): void {
    const place = runId + call;
    if (places > 1 && kind !== 'step') this.#say(`I4: ${call} of ${short(runId)} was ${what} ${places} times`);
    if (what === 'compensated') this.#compensated.add(place);
    else if (this.#compensated.has(place) && !(kind === 'command' && this.#options.forgets()))
      this.#say(`I8: ${call} of ${short(runId)} was done after its compensation`);
  }

  /** Something in the store has changed. */
  changed(): void {
    for (const runId of forgottenRuns(this.#options.tables)) this.#say(`I17: nobody will ever wake ${short(runId)}`);
  }

  /** A worker was stopped in good order. `workerId`: whose lease is to be gone; null: nobody's. */
  stopped(name: string, workerId: string | null): void {
    const { tables, now } = this.#options;
    const { workers, runs } = tables;
    const lease = workerId === null ? undefined : workers.get(workerId);
    if (lease !== undefined && lease.leaseUntil > now()) this.#say(`I24: ${name} was stopped, and keeps its lease`);
    for (const { id, worker } of runs.values())
      if (worker !== null && !workers.has(worker)) this.#say(`I24: ${short(id)} is held by a worker that is gone`);
  }

  /** Of a worker that was stopped. */
  stirred(name: string, what: string): void {
    this.#say(`I24: ${name} was stopped, and ${what}`);
  }

  /** A worker was asked to stop, long ago. */
  doesNotStop(name: string): void {
    this.#say(`I24: ${name} does not stop`);
  }

  say(breach: string): void {
    this.#say(breach);
  }

  /** Whether the command was recorded as called. */
  wasCalled(runId: string, call: string): boolean {
    return this.#runs.get(runId)?.calls.has(call) === true;
  }

  /** What was taken in of signals: those that are recorded, and those that were refused. */
  signalsOf(runId: string): number {
    const { signals, refusedSignals } = this.#seen(runId);
    return signals.size + refusedSignals;
  }

  /** Whether what a reply says is recorded of its run, or waits in the store. */
  isRecorded({ runId, call, to }: ParsedWire): boolean {
    const { tables } = this.#options;
    const run = runId === null ? undefined : tables.runs.get(runId);
    if (run === undefined || call === null || run.finishedAt !== null) return true;
    const seen = this.#seen(run.id);
    if (seen.answered.has(call) || (to === 'command' && (seen.calls.get(call)?.outcome ?? null) !== null)) return true;
    return tables.runMessagesOf(run.id).some(({ body }) => body.kind === 'reply');
  }

  /** It may be compensated all the same, once the declaration says again how. */
  #isUnpromised(runId: string, event: JournalEvent): event is Extract<JournalEvent, { t: 'called' }> {
    return event.t === 'called' && this.unpromised.has(runId + event.call);
  }

  #event(runId: string, run: SeenRun, event: JournalEvent): void {
    switch (event.t) {
      case 'called':
        this.#i23PromisesAreRecorded(runId, event);
        run.calls.set(event.call, { kind: event.kind, until: event.until ?? null, outcome: null });
        return;
      case 'done':
      case 'failed':
      case 'timed out':
        this.#i10OneOutcome(runId, run, event);
        this.#i12NotEarly(runId, run, event);
        return;
      case 'signal':
        if (event.id === undefined) return;
        if (run.signals.has(event.id)) this.#say(`I12: signal ${event.id} came twice to ${short(runId)}`);
        run.signals.add(event.id);
        return;
      case 'undoing':
        this.#i16InnocentGoOn(runId, event.reason);
        if (event.reason === 'cancelled' && this.#options.tables.runs.get(runId)?.parent === null)
          this.#i15WhoDidIt(runId, 'the cancellation', event.actor);
        return;
      case 'retried':
        this.#i15WhoDidIt(runId, 'the retry', event.actor);
        // Behind a pivot their failures are taken back.
        for (const { call } of event.anew ?? []) {
          const seen = run.calls.get(call);
          if (seen !== undefined) seen.outcome = null;
        }
        return;
      case 'skipped':
      case 'resolved':
        this.#i15WhoDidIt(runId, 'an act', event.actor);
        return;
      case 'refused':
        if (event.what === 'signal') run.refusedSignals += 1;
        return;
      case 'late reply':
      case 'compensated':
      case 'compensation failed':
        run.answered.add(event.call);
        return;
      case 'stuck':
        this.#i22StuckForAReason(runId, event);
        return;
      default:
    }
  }

  #i6FinishedStaysFinished({ runId, update }: RunCommit, run: SeenRun): void {
    if (update === null) return;
    const { status } = run;
    if ((status === 'completed' || status === 'compensated') && update.status !== status)
      this.#say(`I6: ${short(runId)} was ${status} and became ${update.status}`);
    run.status = update.status;
  }

  #i10RowsAreWrittenOnce(runId: string, { n, events }: NonNullable<RunCommit['journal']>, { rows }: SeenRun): void {
    if (rows.has(n)) this.#say(`I10: row ${n} of ${short(runId)} was written twice`);
    rows.set(n, events);
  }

  #i10OneOutcome(runId: string, { calls }: SeenRun, event: { readonly t: string; readonly call: string }): void {
    const call = calls.get(event.call);
    if (call === undefined) return;
    if (call.outcome !== null)
      this.#say(`I10: ${event.call} of ${short(runId)} is ${event.t} after it was ${call.outcome}`);
    call.outcome = event.t;
  }

  #i11CommitsUnderALease(workerId: string): void {
    const { tables, now } = this.#options;
    const lease = tables.workers.get(workerId);
    if (lease === undefined || lease.leaseUntil <= now())
      this.#say('I11: a commit was made under a lease that was over');
  }

  #i12NotEarly(runId: string, { calls }: SeenRun, event: { readonly t: string; readonly call: string }): void {
    const call = calls.get(event.call);
    const isTimer = call?.kind === 'sleep' || event.t === 'timed out';
    if (call === undefined || call.until === null || !isTimer) return;
    const earlyMs = call.until - this.#options.now();
    if (earlyMs > 0) this.#say(`I12: ${event.call} of ${short(runId)} was over ${earlyMs} ms early`);
  }

  #i15WhoDidIt(runId: string, what: string, actor: string | undefined): void {
    if (actor === undefined || !this.#options.actors.has(actor))
      this.#say(`I15: nobody knows who made ${what} of ${short(runId)}`);
  }

  #i16InnocentGoOn(runId: string, reason: string): void {
    if (!this.#options.mayFail(runId))
      this.#say(`I16: ${short(runId)}, which nobody refused anything, is compensated: ${reason}`);
  }

  /** What the declaration said when the call was made: it holds whatever a later deployment declares. */
  #i23PromisesAreRecorded(runId: string, event: Extract<JournalEvent, { t: 'called' }>): void {
    const { step, pivot = false, undoable = false } = event;
    const declared = this.#options.declared(step);
    if (declared === null || (declared.pivot === pivot && declared.undoable === undoable)) return;
    if (this.#options.mayBeLost(step) && declared.pivot === pivot) return void this.unpromised.add(runId + event.call);
    this.#say(`I23: ${event.call} of ${short(runId)} was declared otherwise than its call says`);
  }

  #i22StuckForAReason(runId: string, { why, call }: Extract<JournalEvent, { t: 'stuck' }>): void {
    if (!this.#options.mayBeStuck(runId, why, call)) this.#say(`I22: ${short(runId)} is stuck: ${why}`);
  }

  #seen(runId: string): SeenRun {
    const known = this.#runs.get(runId);
    if (known !== undefined) return known;
    const made: SeenRun = {
      rows: new Map(),
      calls: new Map(),
      signals: new Set(),
      refusedSignals: 0,
      answered: new Set(),
      status: null,
    };
    this.#runs.set(runId, made);
    return made;
  }

  #say(what: string): void {
    if (!this.breaches.includes(what)) this.breaches.push(what);
  }
}
