/**
 * `npm run simulate`: the machine of many processes, for one seed or for many.
 *
 *   npm run simulate -- --seed 7                 one seed
 *   npm run simulate -- --seed 7 --trace         with all that happens in it
 *   npm run simulate -- --seed 1 --count 20000   so many from there on, on all processors; --jobs 1 on one
 *   npm run simulate -- --until-broken           no further than the first seed that breaks a promise, which is not shrunk
 *   npm run simulate -- --mutants saga/lease     plants mistakes whose name begins so (default: all), and says at which of the seeds each
 *                                                is noticed; --count 500 by default
 *
 * A seed that breaks a promise is shrunk and shown. Ends with 1 if there was one.
 */
import { fork } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { describeFailure } from './failing-seed.ts';
import { MISTAKES } from './mistakes/list.ts';
import { measure, promisesOf } from './mistakes/measure.ts';
import { simulate } from './world.ts';

/** What came of some seeds. */
interface Tally {
  readonly seeds: number;
  readonly broken: number;
  readonly events: number;
  readonly simulatedMs: number;
}

/** That many failing seeds are shown; with more, it is most likely one mistake. */
const MOST_SHOWN = 3;
/** How often is said that it goes on. */
const SEEDS_A_WORD = 50;
/** Fewer seeds than this are not worth a process. */
const LEAST_A_JOB = 50;

/** So many seeds must suffice for a mistake, unless another number is asked for. */
const SEEDS_A_MISTAKE = 500;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seed: { type: 'string', default: '1' },
    count: { type: 'string' },
    trace: { type: 'boolean', default: false },
    jobs: { type: 'string', default: String(availableParallelism()) },
    'until-broken': { type: 'boolean', default: false },
    mutants: { type: 'boolean', default: false },
  },
});
const first = Number(values.seed);
const count = Number(values.count ?? (values.mutants ? SEEDS_A_MISTAKE : 1));
if (!Number.isSafeInteger(first) || !Number.isSafeInteger(count) || count < 1)
  throw new Error('--seed and --count are whole numbers, --count at least 1.');
const jobs = Math.max(1, Math.min(Number(values.jobs), values.mutants ? Infinity : Math.floor(count / LEAST_A_JOB)));

if (values.mutants) await plantMistakes();
else await tryPromises();

async function tryPromises(): Promise<void> {
  const began = performance.now();
  const tallies =
    jobs === 1 ? [await simulateAll()] : await Promise.all(Array.from({ length: jobs }, (_, n) => inChild(n)));
  if (process.send !== undefined) {
    process.send(tallies[0]);
    process.disconnect();
    return;
  }
  const sum = (of: keyof Tally): number => tallies.reduce((total, tally) => total + tally[of], 0);
  const tookS = (performance.now() - began) / 1_000;
  const hours = (sum('simulatedMs') / 3_600_000).toFixed(1);
  console.log(
    `${sum('seeds')} seeds from ${first} on, ${sum('broken')} broke a promise; ${Math.round(sum('events') / sum('seeds'))} events each, ` +
      `${hours} simulated hours in ${tookS.toFixed(1)} s, ${((tookS * 1_000) / sum('seeds')).toFixed(1)} ms a seed.`,
  );
  process.exitCode = sum('broken') === 0 ? 0 : 1;
}

/** As rows of the table in docs/guarantees.md. */
async function plantMistakes(): Promise<void> {
  const mistakes = MISTAKES.filter(
    ({ name }) => positionals.length === 0 || positionals.some((start) => name.startsWith(start)),
  );
  let noticed = 0;
  await measure({ mistakes, first, count, jobs }, ({ mistake, seeds, said }) => {
    if (seeds !== null) noticed += 1;
    console.log(`| ${mistake.name} | ${seeds === null ? said : promisesOf(said) || said} | ${seeds ?? ''} |`);
  });
  console.log(`${noticed} of ${mistakes.length} mistakes are noticed within ${count} seeds from ${first} on.`);
}

async function simulateAll(): Promise<Tally> {
  const tally = { seeds: 0, broken: 0, events: 0, simulatedMs: 0 };
  for (let seed = first; seed < first + count; seed += 1) {
    // One after the other: each takes the place of the timers of the process.
    // oxlint-disable-next-line no-await-in-loop
    const result = await simulate({ seed, trace: values.trace });
    tally.seeds += 1;
    if (values['until-broken'] && tally.seeds % SEEDS_A_WORD === 0) console.error(`${tally.seeds} seeds are through`);
    tally.events += result.events;
    tally.simulatedMs += result.elapsedMs;
    for (const line of result.lines) console.log(line);
    if (result.breaches.length === 0) continue;
    tally.broken += 1;
    if (values['until-broken']) {
      console.log(`seed ${seed}: ${result.breaches.join('; ')}`);
      break;
    }
    // oxlint-disable-next-line no-await-in-loop
    console.log(
      tally.broken > MOST_SHOWN ? `seed ${seed}: ${result.breaches.join('; ')}` : await describeFailure(result),
    );
  }
  return tally;
}

/** A part of the seeds, in a process of its own. */
function inChild(index: number): Promise<Tally> {
  const from = first + Math.floor((count * index) / jobs);
  const to = first + Math.floor((count * (index + 1)) / jobs);
  const child = fork(fileURLToPath(import.meta.url), [`--seed=${from}`, `--count=${to - from}`, '--jobs=1']);
  return new Promise((resolve, reject) => {
    child.once('message', (tally) => resolve(tally as Tally));
    child.once('exit', (code) => reject(new Error(`A part of the simulation ended with ${code}.`)));
  });
}
