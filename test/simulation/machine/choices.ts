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
  readonly #asked = new Map<string, { count: number; readonly begun: number }>();
  /** From now on nothing goes wrong. */
  calm = false;

  /** @param given what to choose; null: as the seed has it */
  constructor(seed: number, given: Deviations | null) {
    this.#seed = seed;
    this.#given = given;
  }

  /** The number of the answer; 0: nothing special. */
  choose(name: string, odds: Odds): number {
    if (this.calm) return 0;
    let asked = this.#asked.get(name);
    if (asked === undefined) this.#asked.set(name, (asked = { count: 0, begun: begunHash(`${name}#`, this.#seed) }));
    asked.count += 1;
    // Hundreds of times for each that is noted, so its text is made only then.
    const chosen =
      this.#given === null
        ? drawn(endedHash(`${asked.count}`, asked.begun), odds)
        : (this.#given.get(`${name}#${asked.count}`) ?? 0);
    if (chosen !== 0) this.deviations.set(`${name}#${asked.count}`, chosen);
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
  for (let index = 0; index < odds.length; index += 1) {
    const weight = odds[index] ?? 0;
    if (left < weight) return index + 1;
    left -= weight;
  }
  return 0;
}

/** FNV-1a with a last mix, 32 bits. */
export function hash(text: string, from: number): number {
  return mixed(begunHash(text, from) >>> 0);
}

function begunHash(text: string, from: number): number {
  return goneOn(text, (0x811c9dc5 ^ from) >>> 0);
}

/** Of what was begun with other text before. */
function endedHash(text: string, begun: number): number {
  return mixed(goneOn(text, begun) >>> 0);
}

function goneOn(text: string, from: number): number {
  let state = from;
  for (let index = 0; index < text.length; index += 1) state = Math.imul(state ^ text.charCodeAt(index), 0x01000193);
  return state;
}

function mixed(given: number): number {
  let state = given;
  state = Math.imul(state ^ (state >>> 16), 0x85ebca6b);
  state = Math.imul(state ^ (state >>> 13), 0xc2b2ae35);
  return (state ^ (state >>> 16)) >>> 0;
}
