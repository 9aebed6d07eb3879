/**
 * `npm run test:mutants`: plants one mistake after the other, and runs the tests that must notice it.
 *
 *   npm run test:mutants                     all of them
 *   npm run test:mutants -- relay saga/undo  those whose name begins so
 *   npm run test:mutants -- --sample 20      so many, others each day; --salt TEXT for those of another text than today's date
 *   npm run test:mutants -- --minutes 2      begins no further one when that time is over, and says how many are left
 *   npm run test:mutants -- --jobs 2         so many at once (default: one a processor)
 *   npm run test:mutants -- --list           names them
 *
 * Ends with 1 if a mistake was not noticed, or if the tests fail without one.
 */
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { findOrStartPostgres } from '../../src/servers/postgres.ts';
import { findOrStartRedis } from '../../src/servers/redis.ts';
import { MUTANTS } from './list/all.ts';
import { sampleOf, type Mutant } from './mutant.ts';
import { createWorkspace, type TestRun, type Workspace } from './workspace.ts';

const TIMEOUT_MS = 240_000;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    sample: { type: 'string' },
    salt: { type: 'string', default: new Date().toISOString().slice(0, 10) },
    minutes: { type: 'string', default: 'Infinity' },
    jobs: { type: 'string', default: String(availableParallelism()) },
    list: { type: 'boolean', default: false },
  },
});

const named =
  positionals.length === 0
    ? MUTANTS
    : MUTANTS.filter(({ name }) => positionals.some((start) => name.startsWith(start)));
const chosen = values.sample === undefined ? named : sampleOf(named, Number(values.sample), values.salt);
if (chosen.length === 0) {
  console.error(`No mutant is named ${positionals.join(', ')}. See --list.`);
  process.exitCode = 1;
} else if (values.list) for (const { name, breaks } of chosen) console.log(`${name}: ${breaks}`);
else process.exitCode = (await tryAll(chosen)) ? 0 : 1;

/** True when each was noticed. */
async function tryAll(mutants: readonly Mutant[]): Promise<boolean> {
  const startedMs = performance.now();
  const [postgres, redis] = await Promise.all([findOrStartPostgres(), findOrStartRedis()]);
  const env = { HOLDFAST_TEST_DATABASE_URL: postgres.adminUrl, HOLDFAST_TEST_REDIS_URL: redis.url };
  const jobs = Math.min(Math.max(1, Number(values.jobs)), mutants.length);
  const workspaces = Array.from({ length: jobs }, () => createWorkspace({ env, timeoutMs: TIMEOUT_MS }));
  try {
    if (values.sample !== undefined)
      console.log(`A sample of ${mutants.length} for ${values.salt}; --salt ${values.salt} repeats it.`);
    if (!(await passAsTheyAre(workspaces, mutants))) return false;
    const { tried, unnoticed } = await plantAll(workspaces, mutants, startedMs + Number(values.minutes) * 60_000);
    const tookS = Math.round((performance.now() - startedMs) / 1_000);
    console.log(`${tried - unnoticed.length} of ${tried} mutants were noticed, in ${tookS} s.`);
    if (tried < mutants.length) console.log(`There was no time for ${mutants.length - tried} more.`);
    return unnoticed.length === 0 && tried > 0;
  } finally {
    for (const workspace of workspaces) workspace.remove();
    await Promise.all([postgres.dispose(), redis.dispose()]);
  }
}

/** A test that fails without a mistake notices none. */
async function passAsTheyAre(workspaces: readonly Workspace[], mutants: readonly Mutant[]): Promise<boolean> {
  const tests = [...new Set(mutants.flatMap((mutant) => mutant.tests))].toSorted();
  const parts = workspaces.map((workspace, index) => ({
    workspace,
    tests: tests.filter((_, position) => position % workspaces.length === index),
  }));
  const runs = await Promise.all(
    parts.flatMap((part) => (part.tests.length === 0 ? [] : [part.workspace.run(part.tests)])),
  );
  const bad = runs.filter(({ outcome }) => outcome !== 'passed');
  for (const { outcome, output } of bad) console.error(`Without a mutant, the tests are ${outcome}:\n${output}`);
  if (bad.length === 0) console.log(`${tests.length} test files pass without a mutant.`);
  return bad.length === 0;
}

/** Resolves with how many there was time for, and those of them that passed. */
async function plantAll(workspaces: readonly Workspace[], mutants: readonly Mutant[], untilMs: number) {
  let tried = 0;
  const unnoticed: Mutant[] = [];
  const work = async (workspace: Workspace): Promise<void> => {
    for (let startedMs = performance.now(); startedMs < untilMs; startedMs = performance.now()) {
      const mutant = mutants[tried];
      if (mutant === undefined) return;
      tried += 1;
      // One after the other in each workspace.
      // oxlint-disable-next-line no-await-in-loop
      const { outcome } = await workspace.runWith(mutant);
      if (!noticed(outcome)) unnoticed.push(mutant);
      const tookS = ((performance.now() - startedMs) / 1_000).toFixed(1);
      console.log(`${noticed(outcome) ? 'noticed' : 'PASSED '} ${mutant.name} (${outcome}, ${tookS} s)`);
      if (!noticed(outcome)) console.log(`        ${mutant.file}: ${mutant.breaks}`);
    }
  };
  await Promise.all(workspaces.map(work));
  return { tried, unnoticed };
}

function noticed(outcome: TestRun): boolean {
  return outcome === 'failed' || outcome === 'too long';
}
