/**
 * Holds a simulation against the promises of docs/guarantees.md, at the moment of each commit, attempt and effect. Each check is named for
 * its promise. What can only be said when all is over stands in at-the-end.ts.
 */
import type { JournalEvent, RunStatus } from '../../../src/saga/journal/events.ts';
import type { RunCommit } from '../../../src/saga/store/store.ts';
import type { EffectOf } from '../../../src/testing/saga/effects-log.ts';
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
  status: RunStatus | null;
}

export interface JudgeOptions {
  readonly tables: MemoryTables;
  /** By the clock of the store. */
  readonly now: () => number;
  /** What may bring a run down: a plan that asks for it. */
  readonly mayFail: (runId: string) => boolean;
  readonly mayBeStuck: (runId: string) => boolean;
}

export class Judge {
  readonly breaches: string[] = [];
  readonly #options: JudgeOptions;
  readonly #runs = new Map<string, SeenRun>();
  /** Run and call of which a compensation was asked for, or had an effect. */
  readonly #compensating = new Set<string>();
  readonly #compensated = new Set<string>();

  constructor(options: JudgeOptions) {
    this.#options = options;
  }

  /** A worker's commit was accepted. */
  committed(workerId: string, commits: readonly RunCommit[]): void {
    this.#i11CommitsUnderALease(workerId);
    for (const commit of commits) {
      const run = this.#seen(commit.runId);
      this.#i6FinishedStaysFinished(commit, run);
      if (commit.journal === null) continue;
      this.#i10RowsAreWrittenOnce(commit.runId, commit.journal, run);
      for (const event of JSON.parse(commit.journal.events) as readonly JournalEvent[])
        this.#event(commit.runId, run, event);
    }
  }

  /** An attempt is about to leave its worker. */
  attempted(runId: string, call: string, token: number, what: 'done' | 'compensated'): void {
    const { tables, now } = this.#options;
    const run = tables.runs.get(runId);
    const lease = run?.worker === null || run === undefined ? undefined : tables.workers.get(run.worker);
    if (run?.claims !== token || lease === undefined || lease.leaseUntil <= now())
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
    else if (this.#compensated.has(place)) this.#say(`I8: ${call} of ${short(runId)} was done after its compensation`);
  }

  #event(runId: string, run: SeenRun, event: JournalEvent): void {
    switch (event.t) {
      case 'called':
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

  #i16InnocentGoOn(runId: string, reason: string): void {
    if (!this.#options.mayFail(runId))
      this.#say(`I16: ${short(runId)}, which nobody refused anything, is compensated: ${reason}`);
  }

  #i22StuckForAReason(runId: string, { why }: Extract<JournalEvent, { t: 'stuck' }>): void {
    if (why !== 'code' || !this.#options.mayBeStuck(runId)) this.#say(`I22: ${short(runId)} is stuck: ${why}`);
  }

  #seen(runId: string): SeenRun {
    const known = this.#runs.get(runId);
    if (known !== undefined) return known;
    const made: SeenRun = { rows: new Map(), calls: new Map(), signals: new Set(), status: null };
    this.#runs.set(runId, made);
    return made;
  }

  #say(what: string): void {
    if (!this.breaches.includes(what)) this.breaches.push(what);
  }
}

/** A run in few letters. */
export function short(runId: string): string {
  return `run ${runId.startsWith('00000000-0000-7000') ? Number(runId.slice(-12)) : 'child'}`;
}
