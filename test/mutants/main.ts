/**
 * `npm run test:mutants`: plants mistakes, and runs the tests that must notice each.
 *
 *   npm run test:mutants                     all of them
 *   npm run test:mutants -- relay saga/undo  those whose name begins so
 *   npm run test:mutants -- --sample 20      so many, others each day; --salt TEXT for those of another text than today's date
 *   npm run test:mutants -- --minutes 2      begins no further one when that time is over, and says how many are left
 *   npm run test:mutants -- --jobs 2         so many at once (default: one a processor)
 *   npm run test:mutants -- --list           names them
 *
 *   npm run test:mutants -- --alone          each in a process of its own, which takes many times as long
 *
 * Ends with 1 if a mistake was not noticed, or if the tests fail without one.
 */
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { MUTANTS } from './list/all.ts';
import { sampleOf } from './mutant.ts';
import { tryAll } from './try-all.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    sample: { type: 'string' },
    salt: { type: 'string', default: new Date().toISOString().slice(0, 10) },
    minutes: { type: 'string', default: 'Infinity' },
    jobs: { type: 'string', default: String(availableParallelism()) },
    alone: { type: 'boolean', default: false },
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
else {
  if (values.sample !== undefined)
    console.log(`A sample of ${chosen.length} for ${values.salt}; --salt ${values.salt} repeats it.`);
  const all = await tryAll(chosen, {
    jobs: Math.max(1, Number(values.jobs)),
    minutes: Number(values.minutes),
    alone: values.alone,
    tell: (line) => console.log(line),
  });
  process.exitCode = all ? 0 : 1;
}
