/**
 * Where the workers of one run die: planned by the points that a run without a death has passed, and found again by counting.
 */
import type { Random } from './random.ts';

export interface Deaths {
  /** At this point, when it is passed for so many times. */
  readonly point: string;
  readonly occurrence: number;
  /** Another one dies so many points after the first, or where the first one died, should its heir come there. */
  readonly again?: number | 'there';
}

/** What reference-child.ts is told. */
export interface ReferenceChildSettings {
  readonly url: string;
  readonly ledger: string;
  /** The name of the scenario. */
  readonly scenario: string;
  /** The run. */
  readonly id: string;
  readonly death: Deaths;
}

/** So many points, at most, are passed in a recovery that the run would not have passed without it. */
const OF_RECOVERY = 6;

/** A death at each of them. */
export function everyDeath(points: readonly string[]): readonly Deaths[] {
  return points.map((point, index) => ({ point, occurrence: countOf(points.slice(0, index + 1), point) }));
}

/**
 * Some of them: at each kind of point the first and the last time that it is passed, and others, which every run of the tests draws
 * anew, until there are so many.
 */
export function sampleOfDeaths(points: readonly string[], size: number, random: Random): readonly Deaths[] {
  const all = everyDeath(points);
  const chosen = new Set<Deaths>();
  for (const point of new Set(points)) {
    const here = all.filter((death) => death.point === point);
    for (const death of [here[0], here.at(-1)]) if (death !== undefined) chosen.add(death);
  }
  while (chosen.size < Math.min(size, all.length)) chosen.add(random.pick(all));
  return [...chosen];
}

/** At each of them, and again there: what a recovery repeats is lost twice. */
export function everyDeathTwice(points: readonly string[]): readonly Deaths[] {
  return everyDeath(points).map((death) => ({ ...death, again: 'there' }));
}

/** Some of them. */
export function sampleOfDeathsTwice(points: readonly string[], size: number, random: Random): readonly Deaths[] {
  const all = everyDeathTwice(points);
  return Array.from({ length: size }, () => random.pick(all));
}

/** Two deaths in a run: the first anywhere, the second anywhere after it. */
export function sampleOfTwo(points: readonly string[], size: number, random: Random): readonly Deaths[] {
  const firsts = everyDeath(points);
  return Array.from({ length: size }, () => {
    const index = random.whole(0, firsts.length - 1);
    return { ...(firsts[index] as Deaths), again: random.whole(1, points.length - index + OF_RECOVERY) };
  });
}

/** Told of every point that is passed, whichever worker passes it; says whether that one dies there. Notes both. */
export function counter(deaths: Deaths | null): {
  readonly points: string[];
  readonly died: string[];
  readonly diesAt: (point: string) => boolean;
} {
  const points: string[] = [];
  const died: string[] = [];
  let secondAt = Infinity;
  return {
    points,
    died,
    diesAt(point) {
      points.push(point);
      const first =
        deaths !== null && died.length === 0 && point === deaths.point && countOf(points, point) === deaths.occurrence;
      if (first && typeof deaths.again === 'number') secondAt = points.length + deaths.again;
      const there = deaths?.again === 'there' && died.length === 1 && point === deaths.point;
      const dies = first || there || points.length === secondAt;
      if (dies) died.push(point);
      return dies;
    },
  };
}

function countOf(points: readonly string[], point: string): number {
  return points.filter((each) => each === point).length;
}
