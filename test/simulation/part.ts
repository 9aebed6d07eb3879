/** A part of the seeds, in a process of its own: those that are named as arguments, the first and how many, and `until-broken`. */
import { trySeeds } from './seeds.ts';

const [first, count, how] = process.argv.slice(2);
const tally = await trySeeds({
  first: Number(first),
  count: Number(count),
  trace: false,
  untilBroken: how === 'until-broken',
  print: (text) => void process.stdout.write(`${text}\n`),
});
process.send?.(tally);
process.disconnect?.();
process.exitCode = tally.broken === 0 ? 0 : 1;
