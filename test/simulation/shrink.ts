/**
 * Finds the few faults among many that it takes to break a promise: leaves out ever smaller parts of them for as long as it still breaks
 * (delta debugging, after Zeller and Hildebrandt).
 */

/**
 * @param breaks whether the promise is still broken with these alone
 * @param mostTries no more than so many
 * @returns items of which none can be left out by itself, unless the tries did not suffice
 */
export async function shrink<T>(
  items: readonly T[],
  breaks: (left: readonly T[]) => Promise<boolean>,
  mostTries = 1_000,
): Promise<readonly T[]> {
  let left = items;
  let parts = 2;
  let tries = 0;
  while (left.length > 0 && tries < mostTries) {
    const size = Math.ceil(left.length / parts);
    let found: readonly T[] | null = null;
    for (let from = 0; from < left.length && found === null && tries < mostTries; from += size) {
      const without = [...left.slice(0, from), ...left.slice(from + size)];
      tries += 1;
      // One after the other: they take the place of the timers of the process.
      // oxlint-disable-next-line no-await-in-loop
      if (await breaks(without)) found = without;
    }
    if (found !== null) {
      left = found;
      parts = Math.max(2, parts - 1);
    } else if (size === 1) return left;
    else parts = Math.min(left.length, parts * 2);
  }
  return left;
}
