/**
 * Tries mistakes, in batches first, and then alone those of which a batch could not say that they were noticed. Tells of each.
 */
import { findOrStartPostgres } from '../../src/servers/postgres.ts';
import { findOrStartRedis } from '../../src/servers/redis.ts';
import { sourceFiles } from '../house/source-files.ts';
import { suiteOf } from '../support/suites.ts';
import { tryBatch, type BatchOptions } from './batch.ts';
import { batchesOf, groupsOf, verdictsOf } from './batches.ts';
import { importersOf } from './importers.ts';
import type { Mutant } from './mutant.ts';
import { copyProject } from './project-copy.ts';
import { createWorkspace, type Workspace } from './workspace.ts';

/** Of a mistake alone. Tests that hang have noticed something as well. */
const ALONE_LIMIT_MS = 240_000;
/** Of one test file in a batch. */
const BATCH_LIMIT_MS = 90_000;

export interface TryOptions {
  /** How many processes at once. */
  readonly jobs: number;
  /** Begins none afterwards. */
  readonly minutes: number;
  /** No batches. */
  readonly alone: boolean;
  /** Told line by line. */
  readonly tell: (line: string) => void;
}

interface Attempted {
  readonly noticed: Mutant[];
  readonly unnoticed: Mutant[];
  /** Test files that fail without a mistake: they notice none. */
  readonly broken: Set<string>;
}

/** True when each was noticed that there was time for. */
export async function tryAll(mutants: readonly Mutant[], options: TryOptions): Promise<boolean> {
  const startedMs = performance.now();
  const untilMs = startedMs + options.minutes * 60_000;
  const [postgres, redis] = await Promise.all([findOrStartPostgres(), findOrStartRedis()]);
  const env = { HOLDFAST_TEST_DATABASE_URL: postgres.adminUrl, HOLDFAST_TEST_REDIS_URL: redis.url };
  const attempted: Attempted = { noticed: [], unnoticed: [], broken: new Set() };
  try {
    const left = options.alone ? mutants : await tryTogether(mutants, attempted, { ...options, env, untilMs });
    await tryAlone(left, attempted, { ...options, env, untilMs });
  } finally {
    await Promise.all([postgres.dispose(), redis.dispose()]);
  }
  const { noticed, unnoticed, broken } = attempted;
  const tried = noticed.length + unnoticed.length;
  const tookS = Math.round((performance.now() - startedMs) / 1_000);
  options.tell(`${noticed.length} of ${tried} mutants were noticed, in ${tookS} s.`);
  for (const test of broken) options.tell(`${test} fails without a mutant.`);
  if (tried < mutants.length && broken.size === 0)
    options.tell(`There was no time for ${mutants.length - tried} more.`);
  return unnoticed.length === 0 && broken.size === 0 && tried > 0;
}

interface Means extends TryOptions {
  readonly env: Readonly<Record<string, string>>;
  /** As of performance.now(). */
  readonly untilMs: number;
}

/** Resolves with those that are to be tried alone. */
async function tryTogether(mutants: readonly Mutant[], attempted: Attempted, means: Means): Promise<readonly Mutant[]> {
  const project = copyProject();
  const files = sourceFiles('src', 'test', 'demo', '.ci', 'sagas', 'examples', 'bench');
  const byPath = new Map(files.map((file) => [file.path, file]));
  const options: BatchOptions = {
    project,
    reached: importersOf(files),
    needsServers: (test) => suiteOf(test, byPath) !== 'unit',
    env: means.env,
    limitMs: BATCH_LIMIT_MS,
    untilMs: means.untilMs,
  };
  const alone: Mutant[] = [];
  const batches = [...batchesOf(groupsOf(mutants), means.jobs)];
  try {
    await inTurn(means, async () => {
      const batch = batches.shift();
      if (batch === undefined) return false;
      const verdicts = verdictsOf(await tryBatch(batch, options));
      for (const mutant of verdicts.noticed) means.tell(`noticed ${mutant.name}`);
      attempted.noticed.push(...verdicts.noticed);
      alone.push(...verdicts.alone);
      batches.push(...batchesOf(verdicts.again, 1));
      return true;
    });
  } finally {
    project.remove();
  }
  return alone;
}

/** Each in a process of its own, and each test file without a mistake before. */
async function tryAlone(mutants: readonly Mutant[], attempted: Attempted, means: Means): Promise<void> {
  const waiting = [...mutants];
  const workspaces: Workspace[] = [];
  const passing = new Map<string, Promise<boolean>>();
  try {
    await inTurn(means, async (job) => {
      const mutant = waiting.shift();
      if (mutant === undefined) return false;
      workspaces[job] ??= createWorkspace({ env: means.env, timeoutMs: ALONE_LIMIT_MS });
      const workspace = workspaces[job];
      for (const test of mutant.tests)
        if (!passing.has(test)) passing.set(test, passesAsItIs(workspace, test, means.tell));
      const all = await Promise.all(mutant.tests.map(async (test) => ({ test, passes: await passing.get(test) })));
      const broken = all.filter(({ passes }) => passes !== true);
      for (const { test } of broken) attempted.broken.add(test);
      if (broken.length === 0) await tryOne(mutant, workspace, { attempted, tell: means.tell });
      return true;
    });
  } finally {
    for (const workspace of workspaces) workspace.remove();
  }
}

interface Telling {
  readonly attempted: Attempted;
  readonly tell: TryOptions['tell'];
}

async function tryOne(mutant: Mutant, workspace: Workspace, { attempted, tell }: Telling): Promise<void> {
  const startedMs = performance.now();
  const { outcome } = await workspace.runWith(mutant);
  const noticed = outcome === 'failed' || outcome === 'too long';
  (noticed ? attempted.noticed : attempted.unnoticed).push(mutant);
  const tookS = ((performance.now() - startedMs) / 1_000).toFixed(1);
  tell(`${noticed ? 'noticed' : 'PASSED '} ${mutant.name} (alone: ${outcome}, ${tookS} s)`);
  if (!noticed) tell(`        ${mutant.file}: ${mutant.breaks}`);
}

async function passesAsItIs(workspace: Workspace, test: string, tell: TryOptions['tell']): Promise<boolean> {
  const { outcome, output } = await workspace.run([test]);
  if (outcome !== 'passed') tell(`Without a mutant, ${test} is ${outcome}:\n${output}`);
  return outcome === 'passed';
}

/** `work` over and over in each job, until it says that there is no more, or the time is over. */
async function inTurn({ jobs, untilMs }: Means, work: (job: number) => Promise<boolean>): Promise<void> {
  const oneJob = async (job: number): Promise<void> => {
    // One after the other in each job.
    // oxlint-disable-next-line no-await-in-loop
    while (performance.now() < untilMs && (await work(job)));
  };
  await Promise.all(Array.from({ length: jobs }, (_, job) => oneJob(job)));
}
