/**
 * What a benchmark is, and the figures it gives.
 */
import type { Servers } from './servers.ts';

/** One line of the output. See docs/benchmarks.md. */
export interface Figure {
  readonly bench: string;
  readonly value: number;
  readonly unit: 'msg/s' | 'runs/s' | 'statements/s' | 'ms' | 'ms/s' | 'us' | 's' | 'MB';
  /** What `value` is held against: a rival measured in the same run, or a limit. */
  readonly against: string;
  readonly againstValue: number;
  /** value / againstValue, and what it should be. */
  readonly ratio: number;
  readonly target: string;
  readonly met: boolean;
  /** More about the same run. */
  readonly [more: string]: unknown;
}

export interface BenchContext {
  /** Small sizes and one round: shows that it works, not how fast it is. */
  readonly quick: boolean;
  /** A round trip to PostgreSQL that is added to the machine's own; 0 without. */
  readonly rttMs: number;
  /** Of `steady`: how long it takes, and messages a second. Undefined: as its target says. */
  readonly minutes?: number | undefined;
  readonly perSecond?: number | undefined;
  /** Of `growth`: the part of the rows that its target names. Undefined: all. */
  readonly scale?: number | undefined;
  readonly servers: Servers;
  /** For people: to stderr. */
  readonly note: (text: string) => void;
}

/** Figures that come out of one experiment. */
export interface Benchmark {
  readonly names: readonly string[];
  /** Runs as much of the experiment as the `wanted` ones of its names need. */
  run(context: BenchContext, wanted: ReadonlySet<string>): Promise<readonly Figure[]>;
}

export interface Comparison {
  readonly bench: string;
  readonly value: number;
  readonly unit: Figure['unit'];
  readonly against: string;
  readonly againstValue: number;
  /** What the ratio should be at least, or at most. */
  readonly target: { readonly atLeast: number } | { readonly atMost: number };
}

/** The figure of a comparison, rounded for reading. */
export function figure({ target, ...compared }: Comparison, more: Readonly<Record<string, unknown>> = {}): Figure {
  const ratio = round(compared.value / compared.againstValue);
  const met = 'atLeast' in target ? ratio >= target.atLeast : ratio <= target.atMost;
  return {
    ...compared,
    value: round(compared.value),
    againstValue: round(compared.againstValue),
    ratio,
    target: 'atLeast' in target ? `>= ${target.atLeast}` : `<= ${target.atMost}`,
    met,
    ...more,
  };
}

/** Three significant places after the point for small numbers, none for large ones. */
export function round(value: number): number {
  return Math.abs(value) >= 1000 ? Math.round(value) : Math.round(value * 1000) / 1000;
}

export function median(values: readonly number[]): number {
  return percentile(values, 0.5);
}

/** Nearest rank; of an even count, the middle is the mean of the two middle ones. */
export function percentile(values: readonly number[], part: number): number {
  if (values.length === 0) throw new TypeError('no values');
  const sorted = values.toSorted((a, b) => a - b);
  const place = part * (sorted.length - 1);
  const at = (index: number): number => sorted[index] as number;
  const below = at(Math.floor(place));
  return below + (at(Math.ceil(place)) - below) * (place - Math.floor(place));
}

/** The contestants in their order, the other way round every second time: what drifts hits all alike. */
export function alternate<T>(contestants: readonly T[], roundIndex: number): readonly T[] {
  return roundIndex % 2 === 0 ? contestants : contestants.toReversed();
}
