/**
 * Tries a batch: makes a variant for each mistake and each control, and has a process run the tests.
 */
import { fork } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ROOT } from '../house/source-files.ts';
import type { BatchNews, BatchOrder } from './batch-child.ts';
import type { Batch, BatchReport, Group, Trial } from './batches.ts';
import type { Mutant } from './mutant.ts';
import { createVariant, type Project, type Variant } from './variants.ts';

const CHILD = fileURLToPath(new URL('batch-child.ts', import.meta.url));

/** Until vitest and its servers are there. */
const START_LIMIT_MS = 180_000;

export interface BatchOptions {
  readonly project: Project;
  /** What a mistake in a file reaches, as of importers.ts. */
  readonly reached: (file: string) => ReadonlySet<string>;
  readonly needsServers: (test: string) => boolean;
  readonly env: Readonly<Record<string, string>>;
  /** When nothing is told for so long, the batch is ended: one test file takes less. */
  readonly limitMs: number;
  /** Ended as well when it is over. */
  readonly untilMs: number;
}

/** One test file in one variant. */
interface Placed extends Variant {
  readonly group: Group;
  /** `null`: the control. */
  readonly mutant: Mutant | null;
}

/** Resolves with what the batch has found out, which may be nothing. */
export async function tryBatch(batch: Batch, options: BatchOptions): Promise<BatchReport> {
  const folder = mkdtempSync(`${options.project.folder}-batch-`);
  try {
    const placed = batch.flatMap((group, at) => placeGroup(group, join(folder, String(at)), options.reached));
    for (const each of placed) createVariant(options.project, each, each.mutant);
    const order: BatchOrder = {
      folder,
      project: options.project.folder,
      variants: placed.map((each) => ({ folder: each.folder, own: [...each.own] })),
      tests: placed.map(testOf),
      servers: batch.some(({ test }) => options.needsServers(test)),
    };
    const { trials, under, outOfTime } = await watched(order, options);
    const trialOf = (each: Placed): Trial | null => trials.get(testOf(each)) ?? null;
    return {
      groups: batch.map((group) => {
        const those = placed.filter((each) => each.group === group);
        const control = those.find(({ mutant }) => mutant === null);
        return {
          group,
          control: control === undefined ? null : trialOf(control),
          trials: new Map(
            those.flatMap((each) => {
              const trial = trialOf(each);
              return each.mutant === null || trial === null ? [] : [[each.mutant.name, trial] as const];
            }),
          ),
        };
      }),
      stoppedAt: placed.find((each) => testOf(each) === under)?.mutant ?? null,
      outOfTime,
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The mutants, and at the end the control, which loads by itself whatever one of them does. */
function placeGroup(group: Group, folder: string, reached: BatchOptions['reached']): readonly Placed[] {
  const mutants = group.mutants.map((mutant, at) => ({
    group,
    mutant,
    folder: join(folder, String(at)),
    own: reached(mutant.file),
  }));
  const own = new Set(mutants.flatMap((each) => [...each.own]));
  return [...mutants, { group, mutant: null, folder: join(folder, 'control'), own }];
}

function testOf({ folder, group }: Placed): string {
  return join(folder, group.test);
}

interface Watched {
  /** What became of each test file. */
  readonly trials: ReadonlyMap<string, Trial>;
  /** The one that was under way when the process ended. */
  readonly under: string | null;
  readonly outOfTime: boolean;
}

function watched(order: BatchOrder, { env, limitMs, untilMs }: BatchOptions): Promise<Watched> {
  return new Promise((resolve) => {
    const trials = new Map<string, Trial>();
    let under: string | null = null;
    let outOfTime = false;
    const child = fork(CHILD, [], {
      cwd: ROOT,
      execArgv: ['--import', 'tsx'],
      env: { ...process.env, ...env },
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
      // A group of its own: what the tests have started ends with it.
      detached: true,
    });
    let isGone = false;
    const end = (): void => {
      if (child.pid !== undefined && !isGone) process.kill(-child.pid, 'SIGKILL');
    };
    let hung = setTimeout(end, START_LIMIT_MS);
    const over = Number.isFinite(untilMs)
      ? setTimeout(() => {
          outOfTime = true;
          end();
        }, untilMs - performance.now())
      : undefined;
    child.on('message', (news: BatchNews | 'over') => {
      if (news === 'over') return;
      clearTimeout(hung);
      if (!isGone) hung = setTimeout(end, limitMs);
      if ('begins' in news) under = news.begins;
      else {
        under = null;
        trials.set(news.ended, news.trial);
      }
    });
    const gone = new Promise<void>((done) => {
      child.once('exit', () => {
        isGone = true;
        done();
      });
    });
    // What was told last may be heard after the end.
    const heard = new Promise<void>((done) => void child.once('disconnect', done));
    void Promise.all([gone, heard]).then(() => {
      clearTimeout(hung);
      clearTimeout(over);
      resolve({ trials, under, outOfTime });
    });
    child.send(order);
  });
}
