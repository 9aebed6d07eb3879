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
import { parseArgs } from 'node:util';
import { ROOT } from '../house/source-files.ts';
import { MISTAKES } from './mistakes/list.ts';
import { measure, promisesOf } from './mistakes/measure.ts';
import { compilePart, type CompiledPart } from './parts.ts';
import { trySeeds, type Tally } from './seeds.ts';

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
const most = values.mutants ? Infinity : values.trace || values['until-broken'] ? 1 : Math.floor(count / LEAST_A_JOB);
const jobs = Math.max(1, Math.min(Number(values.jobs), most));

if (values.mutants) await plantMistakes();
else await tryPromises();

async function tryPromises(): Promise<void> {
  const began = performance.now();
  const print = (text: string): void => console.log(text);
  const options = { first, count, trace: values.trace, untilBroken: values['until-broken'], print };
  const tallies = jobs === 1 ? [await trySeeds(options)] : await inParts();
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
  // In the order in which they are asked for.
  const mistakes =
    positionals.length === 0
      ? MISTAKES
      : [...new Set(positionals.flatMap((start) => MISTAKES.filter(({ name }) => name.startsWith(start))))];
  let noticed = 0;
  await measure({ mistakes, first, count, jobs }, ({ mistake, seeds, said }) => {
    if (seeds !== null) noticed += 1;
    console.log(`| ${mistake.name} | ${seeds === null ? said : promisesOf(said) || said} | ${seeds ?? ''} |`);
  });
  console.log(`${noticed} of ${mistakes.length} mistakes are noticed within ${count} seeds from ${first} on.`);
}

async function inParts(): Promise<readonly Tally[]> {
  const part = await compilePart(ROOT);
  try {
    return await Promise.all(Array.from({ length: jobs }, (_, index) => inChild(part, index)));
  } finally {
    await part.dispose();
  }
}

/** A part of the seeds, in a process of its own. */
function inChild({ path }: CompiledPart, index: number): Promise<Tally> {
  const from = first + Math.floor((count * index) / jobs);
  const to = first + Math.floor((count * (index + 1)) / jobs);
  const child = fork(path, [String(from), String(to - from)], { execArgv: [] });
  return new Promise((resolve, reject) => {
    child.once('message', (tally) => resolve(tally as Tally));
    child.once('exit', (code) => reject(new Error(`A part of the simulation ended with ${code}.`)));
  });
}
