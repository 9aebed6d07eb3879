/**
 * Metrics, thin enough that a library user without Prometheus pays nothing. Modules make their metrics once, at start,
 * with the label names fixed; the command line gives them prom-client (prom-metrics.ts), everyone else noopMetrics.
 */

/** One value for every label name; `{}` for a metric without labels. */
export type Labels<Name extends string> = Readonly<Record<Name, string>>;

/** Counts up. See {@link Metrics}. */
export interface Counter<Name extends string = never> {
  /** `by` defaults to 1. */
  inc(labels: Labels<Name>, by?: number): void;
}

/** A value that goes up and down. See {@link Metrics}. */
export interface Gauge<Name extends string = never> {
  set(labels: Labels<Name>, value: number): void;
  /** Takes the series off the page, for what this process no longer holds. */
  remove(labels: Labels<Name>): void;
}

/** Counts values by size. See {@link Metrics}. */
export interface Histogram<Name extends string = never> {
  observe(labels: Labels<Name>, value: number): void;
}

/** Names begin with `holdfast_` and end in their unit (`_seconds`, `_bytes`) or `_total`. Asking for a name again gives the same metric. */
export interface Metrics {
  counter<Name extends string = never>(name: string, help: string, labels?: readonly Name[]): Counter<Name>;
  gauge<Name extends string = never>(name: string, help: string, labels?: readonly Name[]): Gauge<Name>;
  /** `buckets` are upper bounds, ascending. */
  histogram<Name extends string = never>(
    name: string,
    help: string,
    labels: readonly Name[],
    buckets: readonly number[],
  ): Histogram<Name>;
}

/** Buckets of how long messages were under way: from what is nothing to what is a backlog of hours. */
export const DELAY_SECONDS: readonly number[] = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1_800, 7_200,
];

const nothing = (): void => undefined;

export const noopMetrics: Metrics = {
  counter: () => ({ inc: nothing }),
  gauge: () => ({ set: nothing, remove: nothing }),
  histogram: () => ({ observe: nothing }),
};
