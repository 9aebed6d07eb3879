/**
 * What the judge holds of the flood: of each stream the numbers that were handled. A number that comes twice, or out of its order where order was
 * asked for, speaks at once; one that does not come, when all is quiet. Pure.
 */
import { missingIn, sizeOf, topOf, withNumber, type Intervals } from './intervals.ts';

export interface StreamsState {
  readonly seen: Readonly<Record<string, Intervals>>;
  readonly twice: number;
  readonly outOfOrder: number;
  /** What was wrong, the first of it. */
  readonly wrong: readonly string[];
}

export interface Handled {
  readonly stream: string;
  readonly n: number;
}

export const NO_STREAMS: StreamsState = { seen: {}, twice: 0, outOfOrder: 0, wrong: [] };

/** Sentences that are kept: with more it is most likely one mistake. */
export const MOST_SENTENCES = 20;

/** @param handled in the order of their commits, as far as they are of one stream */
export function takeHandled(
  state: StreamsState,
  handled: readonly Handled[],
  isOrdered: (stream: string) => boolean,
): StreamsState {
  const seen: Record<string, Intervals> = { ...state.seen };
  let { twice, outOfOrder } = state;
  const wrong = [...state.wrong];
  const say = (text: string): void => void (wrong.length < MOST_SENTENCES && wrong.push(text));
  for (const { stream, n } of handled) {
    const before = seen[stream] ?? [];
    const after = withNumber(before, n);
    if (after === null) {
      twice += 1;
      say(`${stream}: message ${n} was handled twice`);
      continue;
    }
    seen[stream] = after;
    if (isOrdered(stream) && n !== topOf(before) + 1) {
      outOfOrder += 1;
      say(`${stream}: message ${n} was handled after message ${topOf(before)}`);
    }
  }
  return { seen, twice, outOfOrder, wrong };
}

export function handledOf({ seen }: Pick<StreamsState, 'seen'>): number {
  return Object.values(seen).reduce((sum, set) => sum + sizeOf(set), 0);
}

export interface Missing {
  readonly count: number;
  readonly ofStream: ReadonlyMap<string, number>;
  /** The first of them. */
  readonly sentences: readonly string[];
}

/** @param sent how far each stream has come */
export function missingMessages({ seen }: Pick<StreamsState, 'seen'>, sent: ReadonlyMap<string, number>): Missing {
  let count = 0;
  const ofStream = new Map<string, number>();
  const sentences: string[] = [];
  for (const [stream, upTo] of sent) {
    const set = seen[stream] ?? [];
    const lacking = upTo - sizeOf(set);
    if (lacking === 0) continue;
    count += Math.max(0, lacking);
    if (lacking > 0) ofStream.set(stream, lacking);
    if (lacking < 0) sentences.push(`${stream}: message ${topOf(set)} was handled, and ${upTo} have been sent`);
    for (const n of missingIn(set, upTo, 3)) sentences.push(`${stream}: message ${n} of ${upTo} was not handled`);
  }
  return { count, ofStream, sentences: sentences.slice(0, MOST_SENTENCES) };
}

/** Whether nothing up to these numbers is missing. */
export function isHandledUpTo({ seen }: Pick<StreamsState, 'seen'>, sent: ReadonlyMap<string, number>): boolean {
  return [...sent].every(([stream, n]) => n === 0 || (seen[stream]?.[0]?.[0] === 1 && n <= seen[stream][0][1]));
}

/** Handled beyond what has been sent: of a transaction that was rolled back. */
export function ghostsIn({ seen }: Pick<StreamsState, 'seen'>, sent: ReadonlyMap<string, number>): readonly string[] {
  return Object.entries(seen).flatMap(([stream, set]) => {
    const upTo = sent.get(stream) ?? 0;
    return topOf(set) > upTo ? [`${stream}: message ${topOf(set)} was handled, and ${upTo} have been sent`] : [];
  });
}
