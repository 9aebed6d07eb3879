/**
 * The commits of a worker, on a store that answers as the test says: what goes into one, what waits, and how a run is given back.
 */
import { describe, expect, it } from 'vitest';
import { HoldfastError } from '../../src/errors.ts';
import { silentLogger } from '../../src/runtime/log.ts';
import { CommitQueue, type Committed } from '../../src/saga/engine/commit-queue.ts';
import { DEFAULT_JOURNAL_LIMITS } from '../../src/saga/journal/growth.ts';
import { Run } from '../../src/saga/run/run.ts';
import type { Saga } from '../../src/saga/definition/definition.ts';
import { GroupCommitError } from '../../src/saga/store/commit-error.ts';
import type { RunCommit, WorkerStore } from '../../src/saga/store/store.ts';
import { trip } from './trip-saga.ts';

const idOf = (n: number): string => `01890a5d-ac96-774b-bcce-${String(n).padStart(12, '0')}`;
const settled = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));
const ERROR = new Error('refused');

/** A run with something to commit. */
function runOf(n: number, bytes = 1): Run {
  const settings = { maxBytes: 1_000_000, replyTo: 'replies', ...DEFAULT_JOURNAL_LIMITS };
  const run = new Run(trip as unknown as Saga, { id: idOf(n), claims: 1, parent: null }, null, settings);
  run.record({ t: 'signal', name: 'go', payload: 'x'.repeat(bytes) }, 1_000);
  return run;
}

interface Asked {
  readonly commits: readonly RunCommit[];
  answer(error?: Error): Promise<void>;
}

/** A queue whose commits wait until the test answers them. */
function queueOf({ isOver = () => false } = {}) {
  const asked: Asked[] = [];
  const seen = { committed: [] as Committed[], nothing: 0, freed: 0, broken: [] as unknown[], letGo: [] as string[] };
  let pauses = 0;
  const store = {
    commit: (_worker: string, commits: readonly RunCommit[]) =>
      new Promise<void>((resolve, reject) => {
        const answer = (error?: Error): Promise<void> => {
          if (error === undefined) resolve();
          else reject(error);
          return settled();
        };
        asked.push({ commits, answer });
      }),
    letGo: async (_worker: string, ids: readonly string[]) => void seen.letGo.push(...ids),
  } as unknown as WorkerStore;
  const queue = new CommitQueue({
    store,
    workerId: 'w',
    log: silentLogger,
    pass: () => true,
    pause: async () => void (pauses += 1),
    releaseOf: () => (isOver() ? { wakeAt: null } : null),
    onNothing: () => void (seen.nothing += 1),
    onCommitted: (committed) => void seen.committed.push(committed),
    onBatch: () => {},
    onFreed: () => void (seen.freed += 1),
    onBroken: (error) => void seen.broken.push(error),
  });
  const add = (...runs: readonly Run[]): void => {
    for (const run of runs) queue.add(run);
    queue.commitSoon();
  };
  return { queue, asked, seen, add, pauses: () => pauses };
}

describe('a commit', () => {
  it('has each run once, and a run that is in one already, or whose code is being told something, waits', async () => {
    const { queue, asked, add } = queueOf();
    const [one, told] = [runOf(1), runOf(2)];
    Object.assign(told, { inHand: true });
    queue.add(one);
    add(one, told);
    expect(asked.map(({ commits }) => commits.map(({ runId }) => runId))).toEqual([[one.id]]);
    one.record({ t: 'signal', name: 'go' }, 2_000);
    for (let n = 100; n < 200; n += 1) queue.add(runOf(n));
    add(one);
    expect(asked[1]?.commits.some(({ runId }) => runId === one.id)).toBe(false);
    await asked[0]?.answer();
    Object.assign(told, { inHand: false });
    await asked[1]?.answer();
    queue.commitSoon();
    expect(asked[2]?.commits.map(({ runId }) => runId).toSorted()).toEqual([one.id, told.id]);
  });

  it('takes no further run when it has 16 MiB', () => {
    const { asked, add } = queueOf();
    const mebibytes = 1024 * 1024;
    add(runOf(1, 9 * mebibytes), runOf(2, 9 * mebibytes), runOf(3));
    expect(asked[0]?.commits).toHaveLength(2);
  });

  it('of whose runs one is refused is one of the others, each told what became of it', async () => {
    const { asked, seen, add } = queueOf();
    const [good, bad] = [runOf(1), runOf(2)];
    add(good, bad);
    await asked[0]?.answer(new GroupCommitError(new Map([[bad.id, ERROR]])));
    expect(seen.committed.map(({ run, failure }) => [run.id, failure])).toEqual([
      [good.id, undefined],
      [bad.id, ERROR],
    ]);
    expect(seen.broken).toEqual([]);
  });

  it('of which nothing is known breaks the worker', async () => {
    const { asked, seen, add } = queueOf();
    add(runOf(1));
    await asked[0]?.answer(ERROR);
    expect(seen).toMatchObject({ committed: [], broken: [ERROR] });
  });
});

describe('who waits for a run to be quiet', () => {
  const waiting = async (queue: CommitQueue, run: Run) => {
    const told = { quiet: false };
    void queue.quiet(run).then(() => (told.quiet = true));
    await settled();
    return told;
  };

  it('is told when its commit is answered', async () => {
    const { queue, asked } = queueOf();
    const run = runOf(1);
    const told = await waiting(queue, run);
    expect(told.quiet).toBe(false);
    await asked[0]?.answer();
    expect(told.quiet).toBe(true);
  });

  it('is told when the run leaves, and when the worker dies', async () => {
    const { queue, asked } = queueOf();
    const [leaves, stays] = [runOf(1), runOf(2)];
    const [first, second] = [await waiting(queue, leaves), await waiting(queue, stays)];
    expect(asked).toHaveLength(1);
    leaves.evict();
    queue.drop(leaves);
    await settled();
    expect([first.quiet, second.quiet]).toEqual([true, false]);
    queue.die();
    await settled();
    expect(second.quiet).toBe(true);
  });
});

describe('a run that is given back', () => {
  const why = { now: 1_000, delayMs: 0, error: ERROR, refused: null, stuck: null };

  it('is given back after the commit of it that is in flight, and others may take it up at once', async () => {
    const { queue, asked, seen, add } = queueOf();
    const run = runOf(1);
    add(run);
    run.evict();
    queue.release(run, why);
    await settled();
    expect(asked).toHaveLength(1);
    await asked[0]?.answer();
    expect(asked[1]?.commits).toMatchObject([{ runId: run.id, update: { release: { wakeAt: 1_000 } } }]);
    await asked[1]?.answer();
    expect(seen.freed).toBe(1);
  });

  it('is asked for again until the store has let it go, unless the lease is over', async () => {
    const { queue, asked, pauses, seen } = queueOf();
    const run = runOf(1);
    run.evict();
    queue.release(run, { ...why, delayMs: 30_000 });
    await asked[0]?.answer(new Error('away'));
    expect(pauses()).toBe(1);
    await asked[1]?.answer(new HoldfastError('HF_LEASE_LOST', 'over'));
    expect([asked.length, pauses(), seen.freed]).toEqual([2, 1, 0]);
  });

  it('is let go without a word when what it says of itself is refused', async () => {
    const { queue, asked, seen } = queueOf();
    const run = runOf(1);
    run.evict();
    queue.release(run, why);
    await asked[0]?.answer(new GroupCommitError(new Map([[run.id, ERROR]])));
    expect(seen.letGo).toEqual([run.id]);
  });
});
