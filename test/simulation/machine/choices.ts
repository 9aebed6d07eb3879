/**
 * All that chance decides in a simulation. Each choice has a name and a first answer, which is the one where nothing goes wrong. What is
 * chosen depends on the seed, the name and how often that was asked for, and on nothing else: so a fault can be left out without changing
 * all that comes after it, which is what makes shrinking work.
 */

/** What was chosen other than the first answer, by `name#occurrence`. */
export type Deviations = ReadonlyMap<string, number>;

/** Weights of the answers but the first, which takes what is left of 1. */
export type Odds = readonly number[];

export class Choices {
  readonly deviations = new Map<string, number>();
  readonly #seed: number;
  readonly #given: Deviations | null;
  readonly #counts = new Map<string, number>();
  /** From now on nothing goes wrong. */
  calm = false;

  /** @param given what to choose; null: as the seed has it */
  constructor(seed: number, given: Deviations | null) {
    this.#seed = seed;
    this.#given = given;
  }

  /** The number of the answer; 0: nothing special. */
  choose(name: string, odds: Odds): number {
    const count = (this.#counts.get(name) ?? 0) + 1;
    this.#counts.set(name, count);
    if (this.calm) return 0;
    const place = `${name}#${count}`;
    const chosen = this.#given === null ? drawn(hash(place, this.#seed), odds) : (this.#given.get(place) ?? 0);
    if (chosen !== 0) this.deviations.set(place, chosen);
    return chosen;
  }

  /** In [0, 1), for the jitter of a process: of no interest to anybody who reads the faults. */
  numbersFor(name: string): () => number {
    let state = hash(name, this.#seed);
    return () => {
      state = (state + 0x6d2b79f5) >>> 0;
      return mixed(state) / 4_294_967_296;
    };
  }
}

function drawn(at: number, odds: Odds): number {
  let left = at / 4_294_967_296;
  for (const [index, weight] of odds.entries()) {
    if (left < weight) return index + 1;
    left -= weight;
  }
  return 0;
}

/** FNV-1a with a last mix, 32 bits. */
export function hash(text: string, from: number): number {
  let state = (0x811c9dc5 ^ from) >>> 0;
  for (let index = 0; index < text.length; index += 1) state = Math.imul(state ^ text.charCodeAt(index), 0x01000193);
  return mixed(state >>> 0);
}

function mixed(given: number): number {
  let state = given;
  state = Math.imul(state ^ (state >>> 16), 0x85ebca6b);
  state = Math.imul(state ^ (state >>> 13), 0xc2b2ae35);
  return (state ^ (state >>> 16)) >>> 0;
}
