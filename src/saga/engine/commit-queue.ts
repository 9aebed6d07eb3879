/**
 * The commits of a worker: many runs in one, as soon as the one before is back. No timer holds anything up.
 */
import { HoldfastError, isHoldfastError } from '../../errors.ts';
import { describeError } from '../../runtime/describe-error.ts';
import type { Logger } from '../../runtime/log.ts';
import { recordError } from '../journal/recorded-error.ts';
import type { Intent } from '../run/run-events.ts';
import { handBackRow, type GivenBack } from '../decide/hand-back.ts';
import type { HandedReply } from '../run/handed-reply.ts';
import type { Run } from '../run/run.ts';
import type { RunCommit, WorkerStore } from '../store/store.ts';

/** What became of one run's part in a commit. */
export interface Committed {
  readonly run: Run;
  readonly commit: RunCommit;
  /** What may begin now. */
  readonly intents: readonly Intent[];
  /** Replies that were handed in and are taken in by it. */
  readonly handed: readonly HandedReply[];
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
  /** The wait before something is tried again that has failed so often. */
  readonly pause: (failures: number) => Promise<void>;
  /** When the run is to be claimed again, if it leaves memory now; null: it stays. */
  readonly releaseOf: (run: Run) => { readonly wakeAt: number | null } | null;
  /** It had nothing to commit and stays. */
  readonly onNothing: (run: Run) => void;
  readonly onCommitted: (committed: Committed) => void;
  readonly onBatch: (runs: number) => void;
  /** A run was given back, and can be taken up again. */
  readonly onFreed: () => void;
  readonly onBroken: (error: unknown) => void;
}

/** Most runs in one commit: beyond that the next one had better begin. */
const MOST_IN_COMMIT = 500;
/** What a commit may have in it, in characters of its journal and its messages, before it takes no further run. */
const MOST_BYTES_IN_COMMIT = 16 * 1024 * 1024;
/**
 * Least runs in each of two commits that overlap. While the database works on the one, the code of the other goes on; but each waits for
 * the disk and costs the server 0.2 ms, whatever is in it, which fewer runs do not repay.
 */
const WORTH_OVERLAPPING = 64;

export class CommitQueue {
  readonly #options: CommitQueueOptions;
  /** In the order in which they came; those that are no longer `toCommit` are passed over. */
  #dirty: Run[] = [];
  #toCommit = 0;
  readonly #quiet = new Map<Run, (() => void)[]>();
  #underWay = 0;
  #runsUnderWay = 0;
  #dead = false;

  constructor(options: CommitQueueOptions) {
    this.#options = options;
  }

  /** The run has something to commit, or may leave memory. */
  add(run: Run): void {
    if (run.toCommit) return;
    markOf(run).toCommit = true;
    this.#dirty.push(run);
    this.#toCommit += 1;
  }

  drop(run: Run): void {
    this.#taken(run);
    this.#wakeQuiet(run);
  }

  #taken(run: Run): void {
    if (!run.toCommit) return;
    markOf(run).toCommit = false;
    this.#toCommit -= 1;
  }

  die(): void {
    this.#dead = true;
    this.#dirty = [];
    this.#toCommit = 0;
    for (const run of this.#quiet.keys()) this.#wakeQuiet(run);
  }

  /** Resolves once nothing of the run is in commit or in a transaction, or waits for one. */
  async quiet(run: Run): Promise<void> {
    // What is in hand may be told to the code before it is recorded, and so stands before what comes now.
    while (run.isUnsettled && !run.isEvicted && !this.#dead) {
      this.add(run);
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
    while (this.#underWay < 2 && this.#toCommit > 0 && !this.#dead) {
      const size = this.#toCommit;
      // What is much smaller than the commit under way waits for it: otherwise halves become quarters.
      if (this.#underWay > 0 && size < Math.max(WORTH_OVERLAPPING, this.#runsUnderWay / 2)) return;
      const most = this.#underWay === 0 && size >= 2 * WORTH_OVERLAPPING ? Math.ceil(size / 2) : size;
      if (!this.#commitSome(Math.min(most, MOST_IN_COMMIT))) return;
    }
  }

  /** Returns whether there was anything to commit. */
  #commitSome(most: number): boolean {
    const batch: Committed[] = [];
    let bytes = 0;
    const dirty = this.#dirty;
    this.#dirty = [];
    for (const run of dirty) {
      if (!run.toCommit) continue;
      // A run has one commit in flight at a time: the order of its journal is that in which its code was told.
      if (batch.length >= most || bytes >= MOST_BYTES_IN_COMMIT || run.isWriting || run.inHand) {
        this.#dirty.push(run);
        continue;
      }
      this.#taken(run);
      const release = this.#options.releaseOf(run);
      if (release === null && !run.dirty) {
        this.#options.onNothing(run);
        this.#wakeQuiet(run);
        continue;
      }
      const commit = run.flush(release);
      run.beginCommit(release !== null);
      bytes += commit.journal?.events.length ?? 0;
      for (const message of commit.messages) bytes += message.length;
      const handed = run.takeHanded();
      batch.push({ run, commit, intents: takeIntents(run), handed, left: release !== null, failure: undefined });
    }
    if (batch.length === 0) return false;
    this.#underWay += 1;
    this.#runsUnderWay += batch.length;
    this.#commit(batch.map(({ commit }) => commit)).then(
      (failures) => {
        this.#underWay -= 1;
        this.#runsUnderWay -= batch.length;
        for (const each of batch) {
          const failure = failures.get(each.run.id);
          // One that is given away is here no longer.
          if (failure !== undefined || each.run.stage !== 'releasing') each.run.endWrite();
          if (failure === undefined) this.#sayGrowth(each);
          this.#options.onCommitted(failure === undefined ? each : { ...each, failure });
          each.run.tellWritten();
          this.#wakeQuiet(each.run);
        }
        this.#options.onBatch(batch.length);
      },
      (error: unknown) => this.#options.onBroken(error),
    );
    return true;
  }

  #sayGrowth({ run, commit }: Committed): void {
    const percent = commit.update?.growth ?? 0;
    if (percent < 50) return;
    const { events, bytes } = run.size;
    const what = { run: run.id, saga: run.saga.name, events, bytes, percent };
    this.#options.log.warn(what, 'the journal of a run comes near to what it may hold; at 100 percent it is stuck');
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

  /**
   * Gives a run back that is out of memory already, to be claimed again after a while: after the commit of it that is under way, whose
   * row it would otherwise change at the same time, or not find yet.
   */
  release(run: Run, why: GivenBack): void {
    run.whenWritten(() => {
      void this.#releaseUntilKnown(run, why);
    });
  }

  /** Nobody else can take the run up before the store has let it go, so it is asked until it has, or the worker is dead. */
  async #releaseUntilKnown(run: Run, why: GivenBack): Promise<void> {
    const { store, workerId, log, pause } = this.#options;
    for (let failures = 0; !this.#dead;) {
      try {
        const refused = await this.#releaseNow(run, why);
        // What it says of itself is refused. Without it, it is free all the same.
        if (refused !== undefined) await store.letGo(workerId, [run.id], why.delayMs);
        if (why.delayMs === 0) this.#options.onFreed();
        return;
      } catch (error) {
        if (isHoldfastError(error, 'HF_LEASE_LOST')) return;
        failures += 1;
        log.warn(
          { run: run.id, failures, error: describeError(error) },
          'a run could not be given back yet; trying again',
        );
        await pause(failures);
      }
    }
  }

  /** Why the store refuses this very commit; rejects when nothing is known. */
  async #releaseNow(run: Run, { now, delayMs, error, refused, stuck }: GivenBack): Promise<Error | undefined> {
    const update = {
      status: stuck === null ? run.status : ('stuck' as const),
      reason: run.stored.reason,
      pivoted: run.stored.pivoted,
      release: { wakeAt: stuck === null ? now + delayMs : null },
      result: null,
      error: JSON.stringify(stuck ?? recordError(error)),
    };
    const journal = handBackRow(run, refused, stuck, now);
    const nothing = { start: null, journal, runMessagesDone: [], runMessages: [], children: [], messages: [] };
    try {
      await this.#options.store.commit(this.#options.workerId, [{ runId: run.id, ...nothing, update }]);
      return undefined;
    } catch (failure) {
      if (!isGroupFailure(failure)) throw failure;
      return failure.failures.get(run.id);
    }
  }
}

/** What this file alone writes of a run. */
function markOf(run: Run): { toCommit: boolean } {
  return run;
}

/** What begins once the commit is there. */
export function takeIntents(run: Run): Intent[] {
  const { intents } = run;
  run.intents = [];
  return intents;
}

/** What a store rejects with when it could commit some of a group, and which not. */
function isGroupFailure(error: unknown): error is { readonly failures: ReadonlyMap<string, Error> } {
  return error instanceof Error && 'failures' in error && error.failures instanceof Map;
}

function dead(): HoldfastError {
  return new HoldfastError('HF_STOPPED', 'The worker is dead.');
}
