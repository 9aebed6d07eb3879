/**
 * Measures one contestant of the saga benchmarks in a process and a database of its own, so that none finds what another left
 * behind: neither rows nor compiled code.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { ContestantName } from '../contestants/contestant.ts';
import type { LoopFigures, LoopLength } from './closed-loop.ts';
import { alternate, median, round, type BenchContext } from './figure.ts';
import type { BenchDatabase } from './servers.ts';

export interface ContestTask {
  readonly contestant: ContestantName;
  readonly url: string;
  /** Of Redis; null for those who need none. */
  readonly redisUrl: string | null;
  readonly loop: LoopLength;
}

export interface Entry {
  readonly contestant: ContestantName;
  readonly inflight: number;
  /** Undefined: a fresh database of its own. */
  readonly on?: BenchDatabase | undefined;
}

export interface ContestOptions {
  readonly redis?: boolean;
  readonly rounds?: number;
  readonly between?: () => Promise<void>;
}

/** The medians of an entry's rounds. */
export type Standing = Entry & LoopFigures & { readonly commitsPerRun: number };

/**
 * Measures the entries in turns, the other way round every second time. In the order of the entries. `between` is called after each
 * round but the last: for others that are measured meanwhile.
 */
export async function contest(
  context: BenchContext,
  entries: readonly Entry[],
  { redis = false, rounds = context.quick ? 1 : 3, between }: ContestOptions = {},
): Promise<readonly Standing[]> {
  const measured = new Map<Entry, LoopFigures[]>(entries.map((entry) => [entry, []]));
  for (let index = 0; index < rounds; index += 1) {
    if (index > 0) await between?.();
    for (const entry of alternate(entries, index)) {
      const figures = await measureOne(context, entry, redis);
      measured.get(entry)?.push(figures);
      context.note(
        `${entry.contestant}, ${entry.inflight} in flight, round ${index + 1}: ${round(figures.perSecond)} runs/s, ` +
          `p50 ${round(figures.p50)} ms, p99 ${round(figures.p99)} ms`,
      );
    }
  }
  return entries.map((entry) => standing(entry, measured.get(entry) ?? []));
}

function standing(entry: Entry, all: readonly LoopFigures[]): Standing {
  const middle = (of: (figures: LoopFigures) => number): number => median(all.map(of));
  return {
    ...entry,
    runs: all.reduce((sum, { runs }) => sum + runs, 0),
    perSecond: middle(({ perSecond }) => perSecond),
    p50: middle(({ p50 }) => p50),
    p99: middle(({ p99 }) => p99),
    metered: middle(({ metered }) => metered),
    commitsPerRun: middle(({ metered, runs }) => metered / runs),
  };
}

/** What is said about a standing beside its main figure. `steps`: of one run. */
export function details({ perSecond, p50, p99, runs, inflight }: Standing, steps: number): Record<string, unknown> {
  return {
    runsPerSecond: round(perSecond),
    stepsPerSecond: round(perSecond * steps),
    p50: round(p50),
    p99: round(p99),
    runs,
    inflight,
  };
}

async function measureOne(
  { quick, servers }: BenchContext,
  { contestant, inflight, on }: Entry,
  redis: boolean,
): Promise<LoopFigures> {
  const bench = on ?? (await servers.database());
  try {
    const redisUrl = redis ? (await servers.redis()).url : null;
    const length = quick
      ? { warmUpMs: 100, measureMs: 500, minRuns: inflight }
      : { warmUpMs: 1_000, measureMs: 4_000, minRuns: 3 * inflight };
    return await inProcess({ contestant, url: bench.url, redisUrl, loop: { inflight, ...length } });
  } finally {
    if (on === undefined) await bench.drop();
  }
}

/** Resolves when the process has ended, so that its database can be dropped. */
async function inProcess(task: ContestTask): Promise<LoopFigures> {
  // stdout is for figures.
  const child = fork(fileURLToPath(new URL('../contestant-process.js', import.meta.url)), {
    stdio: ['ignore', 2, 2, 'ipc'],
  });
  let figures: LoopFigures | undefined;
  child.once('message', (got) => {
    figures = got as LoopFigures;
  });
  child.send(task);
  const [code] = (await once(child, 'exit')) as [number | null];
  if (figures === undefined) throw new Error(`${task.contestant} ended with ${String(code)} before it had a figure`);
  return figures;
}
