/**
 * What is said about options that cannot be used. Options nobody knows are refused, so that a typo is an error at start and not a
 * silent default.
 */
import { HoldfastError, type ErrorCode } from '../errors.ts';

/** The error for a call or a declaration that cannot be meant so, as one sentence: `where` (the call or the option) and `what` it has. */
export function badOption(where: string, what: string, advice: string, code: ErrorCode = 'HF_CONFIG'): HoldfastError {
  return new HoldfastError(code, `${where} ${what}.`, { advice });
}

/**
 * @param where what the options are for, such as `createRelay` or `relay.retry`
 * @throws HoldfastError HF_OPTION_UNKNOWN for the first key of `options` that is not in `known`
 */
export function refuseUnknownOptions(options: object, known: readonly string[], where: string): void {
  for (const key of Object.keys(options)) {
    if (known.includes(key)) continue;
    const near = didYouMean(key, known);
    throw new HoldfastError('HF_OPTION_UNKNOWN', `${where} has no option ${JSON.stringify(key)}.`, {
      advice: near === undefined ? `Known options: ${known.join(', ')}.` : `Did you mean ${JSON.stringify(near)}?`,
      details: { where, option: key },
    });
  }
}

/** The candidate nearest to `word`, when one is near enough to be a typo; undefined otherwise. */
export function didYouMean(word: string, candidates: readonly string[]): string | undefined {
  let best: string | undefined;
  // At most a third of the letters wrong, and always one: more is a guess, not a correction.
  let bestDistance = Math.max(1, Math.floor(word.length / 3)) + 1;
  for (const candidate of candidates) {
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase());
    if (distance < bestDistance) [best, bestDistance] = [candidate, distance];
  }
  return best;
}

/** Edits (insert, delete, replace, swap of neighbours) from one word to another. */
function editDistance(from: string, to: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: to.length + 1 }, (_, column) => column);
  for (let row = 1; row <= from.length; row += 1) {
    const current = [row];
    for (let column = 1; column <= to.length; column += 1) {
      const replaced = (last[column - 1] ?? 0) + (from[row - 1] === to[column - 1] ? 0 : 1);
      let least = Math.min(replaced, (last[column] ?? 0) + 1, (current[column - 1] ?? 0) + 1);
      if (row > 1 && column > 1 && from[row - 1] === to[column - 2] && from[row - 2] === to[column - 1]) {
        least = Math.min(least, (beforeLast[column - 2] ?? 0) + 1);
      }
      current.push(least);
    }
    [beforeLast, last] = [last, current];
  }
  return last[to.length] ?? 0;
}
