/**
 * What every peer runs: three steps that do nothing, each with a small JSON value that the library has to remember.
 */

export const STEPS = ['reserve', 'charge', 'ship'];

/** `step(name, fn)` is the durable step of the library. */
export async function threeSteps(step, n) {
  let total = 0;
  for (const name of STEPS) {
    const { cents } = await step(name, async () => ({ name, run: n, cents: 1 }));
    total += cents;
  }
  return { run: n, total };
}

/** A result that is not the one of run n is no result. */
export function check(result, n) {
  if (result?.run !== n || result.total !== STEPS.length)
    throw new Error(`run ${n} returned ${JSON.stringify(result)}`);
}
