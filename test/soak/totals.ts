/**
 * What a soak has come to, over its legs: kept beside the servers, and written anew while a leg runs, so that one that was killed counts as well.
 */
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { SoakSample } from './sizes.ts';

export interface Leg {
  readonly seed: number;
  /** Of load. */
  readonly seconds: number;
  /** Messages of the flood that were handled, and orders that were judged. */
  readonly messages: number;
  readonly orders: number;
  /** Times that each kind of faults struck. */
  readonly faults: Readonly<Record<string, number>>;
  /** What the processes have counted, such as messages that were dropped because they came twice. */
  readonly counts: Readonly<Record<string, number>>;
  readonly samples: readonly SoakSample[];
  /** Everything that is wrong, besides what the ledgers tell. */
  readonly wrong: readonly string[];
  /** It came to its end, and was judged. */
  readonly isWhole: boolean;
}

export interface Totals {
  /** What goes wrong with orders and messages follows from it. */
  readonly worldSeed: number;
  readonly legs: readonly Leg[];
  /** When this was written, in milliseconds since the epoch. */
  readonly atMs: number;
}

export interface TotalsFile {
  /** Null: it is new. */
  readonly before: Totals | null;
  write(totals: Omit<Totals, 'atMs'>): void;
}

export function openTotals(folder: string | undefined): TotalsFile {
  if (folder === undefined) return { before: null, write: () => undefined };
  mkdirSync(folder, { recursive: true });
  const file = join(folder, 'totals.json');
  return {
    before: existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as Totals) : null,
    write(totals) {
      writeFileSync(`${file}.new`, JSON.stringify({ ...totals, atMs: Date.now() }));
      renameSync(`${file}.new`, file);
    },
  };
}

export interface Sum extends Pick<Leg, 'seconds' | 'messages' | 'orders' | 'faults' | 'counts' | 'wrong'> {
  readonly legs: number;
  /** Legs that were killed. */
  readonly brokenOff: number;
}

/** Pure. */
export function sumOfLegs(legs: readonly Leg[]): Sum {
  return {
    legs: legs.length,
    brokenOff: legs.filter(({ isWhole }) => !isWhole).length,
    seconds: legs.reduce((sum, leg) => sum + leg.seconds, 0),
    messages: legs.reduce((sum, leg) => sum + leg.messages, 0),
    orders: legs.reduce((sum, leg) => sum + leg.orders, 0),
    faults: added(legs.map(({ faults }) => faults)),
    counts: added(legs.map(({ counts }) => counts)),
    wrong: legs.flatMap(({ wrong }) => wrong),
  };
}

function added(counts: readonly Readonly<Record<string, number>>[]): Readonly<Record<string, number>> {
  const sums: Record<string, number> = {};
  for (const [what, count] of counts.flatMap((each) => Object.entries(each))) sums[what] = (sums[what] ?? 0) + count;
  return sums;
}
