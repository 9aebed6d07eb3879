/**
 * Many processes on one clock, a network of chance, and every promise that can be judged there. `npm run simulate` does the same with as
 * many seeds as wanted.
 */
import { describe, expect, it } from 'vitest';
import { describeFailure } from './failing-seed.ts';
import { shrink } from './shrink.ts';
import { simulate } from './world.ts';

/** The same in each run of the tests; the continuous integration takes others each day beside them. */
const SEEDS = 150;

describe('a simulation', () => {
  it(`keeps its promises under the faults of ${SEEDS} seeds`, async () => {
    for (let seed = 1; seed <= SEEDS; seed += 1) {
      // One after the other: each takes the place of the timers of the process.
      // oxlint-disable-next-line no-await-in-loop
      const result = await simulate({ seed });
      // oxlint-disable-next-line no-await-in-loop
      if (result.breaches.length > 0) expect.fail(await describeFailure(result));
    }
  });

  it('goes the same way each time for one seed, and another way for another', async () => {
    const [one, again, other] = [
      await simulate({ seed: 11 }),
      await simulate({ seed: 11 }),
      await simulate({ seed: 12 }),
    ];
    expect(again).toEqual(one);
    expect(other.hash).not.toBe(one.hash);
  });

  it('goes the same way when it is told what the seed has chosen', async () => {
    const one = await simulate({ seed: 17, trace: true });
    const told = await simulate({ seed: 17, deviations: one.deviations, trace: true });
    expect(told).toEqual(one);
  });
});

describe('shrinking', () => {
  it('leaves what is needed', async () => {
    const items = Array.from({ length: 100 }, (_, n) => n);
    const needed = [3, 57, 58];
    const left = await shrink(items, async (some) => needed.every((each) => some.includes(each)));
    expect(left).toEqual(needed);
  });

  it('leaves nothing where nothing is needed, and ends when its tries are used up', async () => {
    expect(await shrink([1, 2, 3], async () => true)).toEqual([]);
    let tries = 0;
    await shrink(
      Array.from({ length: 1_000 }, (_, n) => n),
      async () => (tries += 1) > 1_000_000,
      20,
    );
    expect(tries).toBe(20);
  });
});
