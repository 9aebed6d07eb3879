/**
 * The commits of a worker: many runs in one, as soon as the one before is back. No timer holds anything up. Used by the engine.
 */
import { HoldfastError } from '../errors.ts';
import { describeError } from '../runtime/describe-error.ts';
import type { Logger } from '../runtime/log.ts';
import { recordError } from './recorded-error.ts';
import type { Effect } from './facts.ts';
import type { Run } from './run.ts';
import type { RunCommit, WorkerStore } from './store.ts';

/** What became of one run's part in a commit. */
export interface Committed {
  readonly run: Run;
  readonly commit: RunCommit;
  /** What may begin now. */
  readonly effects: readonly Effect[];
  /** It has left this worker's memory with the commit. */
  readonly left: boolean;
  /** Nothing of it was written; all others are. */
  readonly failure: Error | undefined;
}

export interface CommitQueueOptions {
  readonly store: WorkerStore;
  readonly workerId: string;
  readonly log: Logger;
  readonly pass: (point: string) => boolean;
  /** When the run is to be claimed again, if it leaves memory now; null: it stays. */
  readonly releaseOf: (run: Run) => { readonly wakeAt: number | null } | null;
  /** It had nothing to commit and stays. */
  readonly onNothing: (run: Run) => void;
  readonly onCommitted: (committed: Committed) => void;
  readonly onBatch: (runs: number) => void;
  readonly onBroken: (error: unknown) => void;
}

/** Most runs in one commit: beyond that the next one had better begin. */
const MOST_IN_COMMIT = 500;
/** Runs to commit from which on two commits that overlap are better than one. */
const WORTH_HALVING = 32;
/**
 * The second of two must be at least this part of the first: what is smaller waits for the first to come back. Otherwise halves become
 * quarters, and each of them waits for the disk.
 */
const WORTH_A_COMMIT = 0.5;

export class CommitQueue {
  readonly #options: CommitQueueOptions;
  readonly #dirty = new Set<Run>();
  readonly #quiet = new Map<Run, (() => void)[]>();
  #underWay = 0;
  #runsUnderWay = 0;
  #dead = false;

  constructor(options: CommitQueueOptions) {
    this.#options = options;
  }

  /** The run has something to commit, or may leave memory. */
  add(run: Run): void {
    this.#dirty.add(run);
  }

  drop(run: Run): void {
    this.#dirty.delete(run);
    this.#wakeQuiet(run);
  }

  die(): void {
    this.#dead = true;
    this.#dirty.clear();
    for (const run of this.#quiet.keys()) this.#wakeQuiet(run);
  }

  /** Resolves once nothing of the run is in commit, or waits for one. */
  async quiet(run: Run): Promise<void> {
    // What is in hand may be told to the code before it is recorded, and so stands before what comes now.
    while ((run.dirty || run.committing || run.inHand) && !run.gone && !this.#dead) {
      this.#dirty.add(run);
      const woken = new Promise<void>((resolve) => this.#quiet.set(run, [...(this.#quiet.get(run) ?? []), resolve]));
      this.commitSoon();
      await woken;
    }
  }

  #wakeQuiet(run: Run): void {
    const waiting = this.#quiet.get(run);
    this.#quiet.delete(run);
    for (const resolve of waiting ?? []) resolve();
  }

  commitSoon(): void {
    // Two at a time: while the database works on one half of the runs, the code of the other half goes on.
    while (this.#underWay < 2 && this.#dirty.size > 0 && !this.#dead) {
      const { size } = this.#dirty;
      if (this.#underWay > 0 && size < this.#runsUnderWay * WORTH_A_COMMIT) return;
      const most = this.#underWay === 0 && size >= WORTH_HALVING ? Math.ceil(size / 2) : size;
      if (!this.#commitSome(Math.min(most, MOST_IN_COMMIT))) return;
    }
  }

  /** Returns whether there was anything to commit. */
  #commitSome(most: number): boolean {
    const batch: Omit<Committed, 'failure'>[] = [];
    for (const run of this.#dirty) {
      // A run has one commit in flight at a time: the order of its journal is that in which its code was told.
      if (run.committing || run.transacting || run.inHand) continue;
      this.#dirty.delete(run);
      const release = this.#options.releaseOf(run);
      if (release === null && !run.dirty) {
        this.#options.onNothing(run);
        this.#wakeQuiet(run);
        continue;
      }
      const commit = run.flush(release);
      run.committing = true;
      run.leaving = release !== null;
      batch.push({ run, commit, effects: takeEffects(run), left: release !== null });
      if (batch.length >= most) break;
    }
    if (batch.length === 0) return false;
    this.#underWay += 1;
    this.#runsUnderWay += batch.length;
    this.#commit(batch.map(({ commit }) => commit)).then(
      (failures) => {
        this.#underWay -= 1;
        this.#runsUnderWay -= batch.length;
        for (const each of batch) {
          each.run.committing = false;
          each.run.leaving = false;
          this.#options.onCommitted({ ...each, failure: failures.get(each.run.id) });
          this.#wakeQuiet(each.run);
        }
        this.#options.onBatch(batch.length);
      },
      (error: unknown) => this.#options.onBroken(error),
    );
    return true;
  }

  /** The runs the store refuses, with its reasons; rejects when nothing is known of any. */
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

  /** Gives a run back that is out of memory already, to be claimed again from then on. */
  release(run: Run, wakeAt: number, why: unknown): void {
    const { store, workerId, log } = this.#options;
    const update = {
      status: run.status,
      reason: run.reasonStored,
      pivoted: run.pivotStored,
      release: { wakeAt },
      result: null,
      error: JSON.stringify(recordError(why)),
    };
    const nothing = { start: null, journal: null, mailDone: [], mail: [], children: [], messages: [] };
    store.commit(workerId, [{ runId: run.id, ...nothing, update }]).catch((error: unknown) => {
      log.warn(
        { run: run.id, error: describeError(error) },
        'a run could not be given back; its worker must end first',
      );
    });
  }
}

/** What begins once the commit is there. */
export function takeEffects(run: Run): Effect[] {
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
