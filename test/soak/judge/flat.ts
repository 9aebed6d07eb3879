/**
 * Whether something stays as large as it is: the median of the last third against that of the middle one. The first third is for what has to fill
 * up to begin with. A busy machine makes single samples large, not a median. Pure.
 */

export interface Series {
  readonly name: string;
  readonly values: readonly number[];
  /** By how much it may grow, whatever part of it that is: small things move by large parts. */
  readonly slack: number;
}

export interface Growth {
  readonly name: string;
  readonly before: number;
  readonly after: number;
}

const MOST_GROWTH = 1.15;
/** With fewer samples a third says nothing. */
const LEAST_SAMPLES = 12;

/** What has grown. */
export function growing(series: readonly Series[]): readonly Growth[] {
  return series.flatMap(({ name, values, slack }) => {
    if (values.length < LEAST_SAMPLES) return [];
    const third = Math.floor(values.length / 3);
    const before = median(values.slice(-2 * third, -third));
    const after = median(values.slice(-third));
    return after > before * MOST_GROWTH && after > before + slack ? [{ name, before, after }] : [];
  });
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length / 2;
  return ((sorted[Math.ceil(middle) - 1] ?? 0) + (sorted[Math.floor(middle)] ?? 0)) / 2;
}
