/**
 * A set of whole numbers from 1 on, kept as intervals: of millions that came nearly in order, a few pairs. Pure.
 */

/** From and to, both in the set, in their order and never touching. */
export type Intervals = readonly (readonly [from: number, to: number])[];

/** Null: it is in the set already. */
export function withNumber(set: Intervals, n: number): Intervals | null {
  // What comes is mostly near the end.
  let at = set.length;
  while (at > 0 && (set[at - 1]?.[0] ?? 0) > n) at -= 1;
  const before = set[at - 1];
  const after = set[at];
  if (before !== undefined && n <= before[1]) return null;
  const joinsBefore = before !== undefined && before[1] === n - 1;
  const joinsAfter = after !== undefined && after[0] === n + 1;
  const merged: readonly [number, number] = [joinsBefore ? before[0] : n, joinsAfter ? after[1] : n];
  return [...set.slice(0, joinsBefore ? at - 1 : at), merged, ...set.slice(joinsAfter ? at + 1 : at)];
}

export function sizeOf(set: Intervals): number {
  return set.reduce((sum, [from, to]) => sum + to - from + 1, 0);
}

/** The greatest one; 0: there is none. */
export function topOf(set: Intervals): number {
  return set.at(-1)?.[1] ?? 0;
}

/** The first ones, up to `upTo`, that are not in the set. */
export function missingIn(set: Intervals, upTo: number, most: number): readonly number[] {
  const missing: number[] = [];
  let next = 1;
  for (const [from, to] of [...set, [upTo + 1, upTo + 1] as const]) {
    for (; next < Math.min(from, upTo + 1); next += 1) {
      if (missing.length === most) return missing;
      missing.push(next);
    }
    next = to + 1;
  }
  return missing;
}
