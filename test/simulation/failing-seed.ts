/**
 * What is shown of a seed that broke a promise: which, how it is repeated, and the shortest course of events that breaks it as well.
 */
import { shrink } from './shrink.ts';
import { simulate, type SimulationResult } from './world.ts';

/** The letter and number of a promise, from what is said of its breach. */
function promiseOf(breach: string): string {
  return breach.split(':')[0] ?? '';
}

/** The result with the fewest deviations that still breaks the same promise, with its trace. */
export async function shortest({ seed, breaches, deviations }: SimulationResult): Promise<SimulationResult> {
  const promises = new Set(breaches.map(promiseOf));
  const breaks = async (left: readonly (readonly [string, number])[]): Promise<boolean> => {
    const again = await simulate({ seed, deviations: new Map(left) });
    return again.breaches.some((breach) => promises.has(promiseOf(breach)));
  };
  const least = await shrink([...deviations], breaks);
  return simulate({ seed, deviations: new Map(least), trace: true });
}

export async function describeFailure(result: SimulationResult): Promise<string> {
  const small = await shortest(result);
  return [
    `seed ${result.seed}: ${result.breaches.join('; ')}`,
    `  repeat it: npm run simulate -- --seed ${result.seed}`,
    `  ${small.deviations.size} of ${result.deviations.size} choices suffice, and then: ${small.breaches.join('; ')}`,
    ...[...small.deviations].map(([place, chosen]) => `    ${place}: ${chosen}`),
    ...small.lines.map((line) => `  ${line}`),
  ].join('\n');
}
