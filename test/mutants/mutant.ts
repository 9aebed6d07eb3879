/**
 * A mistake that somebody could make in a line that safety rests on, planted to see that a test near the line notices.
 */
import { createHash } from 'node:crypto';

/** A mistake, and where it is planted. */
export interface Plant {
  /** Unique; the room, then what is wrong. */
  readonly name: string;
  /** From the root of the project. */
  readonly file: string;
  /** What stands there: exactly once in the file. */
  readonly from: string;
  /** What stands there instead. */
  readonly to: string;
  /** Which promise it breaks, for somebody who sees it pass. */
  readonly breaks: string;
}

/** One that tests near the line must notice. */
export interface Mutant extends Plant {
  /** The narrowest test files that must fail. */
  readonly tests: readonly string[];
}

/** The text of the file with the mistake in it. Throws when what it replaces is not there exactly once. */
export function plantedIn(text: string, { name, file, from, to }: Plant): string {
  const [before, after, ...more] = text.split(from);
  if (before === undefined || after === undefined || more.length > 0)
    throw new Error(
      `The mutant ${name} replaces what stands ${after === undefined ? 'nowhere' : 'more than once'} in ${file}.`,
    );
  return before + to + after;
}

/**
 * So many of them, chosen by a text: the same ones for the same text, and over many texts each as often as any other.
 *
 * @param salt such as today's date
 */
export function sampleOf<T extends { readonly name: string }>(
  all: readonly T[],
  count: number,
  salt: string,
): readonly T[] {
  const ranked = all.map((each) => ({ each, rank: createHash('sha256').update(`${salt} ${each.name}`).digest('hex') }));
  return ranked
    .toSorted((a, b) => (a.rank < b.rank ? -1 : 1))
    .slice(0, count)
    .map(({ each }) => each);
}
