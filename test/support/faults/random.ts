/**
 * Randomness that can be had again: every random choice of the fault-injection tests comes from a seed, which stands in the failure's text.
 * HOLDFAST_SEED repeats a run.
 */
import { randomInt } from 'node:crypto';
import { seededRandom } from '../../../src/testing/seeded-random.ts';

export interface Random {
  readonly seed: number;
  /** In [0, 1). */
  next(): number;
  /** A whole number in [from, to]. */
  whole(from: number, to: number): number;
  pick<T>(values: readonly T[]): T;
  chance(probability: number): boolean;
  /** Another stream, the same for the same name. */
  fork(name: string): Random;
}

export function createRandom(seed: number): Random {
  const random: Random = {
    seed,
    next: seededRandom(seed),
    whole: (from, to) => from + Math.floor(random.next() * (to - from + 1)),
    pick: <T>(values: readonly T[]): T => values[random.whole(0, values.length - 1)] as T,
    chance: (probability) => random.next() < probability,
    fork(name) {
      let hash = seed ^ 0x811c9dc5;
      for (let i = 0; i < name.length; i += 1) hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193);
      return createRandom(hash >>> 0);
    },
  };
  return random;
}

export function seedOfRun(): number {
  const given = process.env['HOLDFAST_SEED'];
  return given === undefined || given === '' ? randomInt(2 ** 31) : Number(given);
}

/** Runs a scenario on the run's seed, or a given one, and puts the seed into whatever it fails with. */
export async function seeded(scenario: (random: Random) => Promise<void>, seed = seedOfRun()): Promise<void> {
  try {
    await scenario(createRandom(seed));
  } catch (error) {
    if (error instanceof Error) error.message = `HOLDFAST_SEED=${seed}: ${error.message}`;
    throw error;
  }
}
