/**
 * Metrics, thin enough that a library user without Prometheus pays nothing. Modules make their metrics once, at start,
 * with the label names fixed; the command line gives them prom-client, everyone else noopMetrics.
 */
import { Counter as PromCounter, Gauge as PromGauge, Histogram as PromHistogram, type Registry } from 'prom-client';
import { HoldfastError } from '../errors.ts';

/** One value for every label name; `{}` for a metric without labels. */
export type Labels<Name extends string> = Readonly<Record<Name, string>>;

export interface Counter<Name extends string = never> {
  /** `by` defaults to 1. */
  inc(labels: Labels<Name>, by?: number): void;
}

export interface Gauge<Name extends string = never> {
  set(labels: Labels<Name>, value: number): void;
  /** Takes the series off the page, for what this process no longer holds. */
  remove(labels: Labels<Name>): void;
}

export interface Histogram<Name extends string = never> {
  observe(labels: Labels<Name>, value: number): void;
}

/** Names begin with `holdfast_` and end in their unit (`_seconds`, `_bytes`) or `_total`. Asking for a name again gives the same metric. */
export interface Metrics {
  counter<Name extends string = never>(name: string, help: string, labels?: readonly Name[]): Counter<Name>;
  gauge<Name extends string = never>(name: string, help: string, labels?: readonly Name[]): Gauge<Name>;
  /** `buckets` are upper bounds, ascending. */
  histogram<Name extends string = never>(name: string, help: string, labels: readonly Name[], buckets: readonly number[]): Histogram<Name>;
}

const nothing = (): void => undefined;

export const noopMetrics: Metrics = {
  counter: () => ({ inc: nothing }),
  gauge: () => ({ set: nothing, remove: nothing }),
  histogram: () => ({ observe: nothing }),
};

/** Metrics in a prom-client registry. */
export function promMetrics(registry: Registry): Metrics {
  const known = <Metric>(name: string, kind: new (...args: never) => Metric): Metric | undefined => {
    if (!name.startsWith('holdfast_')) throw new HoldfastError('HF_CONFIG', `Metric ${name} does not begin with holdfast_.`);
    const found = registry.getSingleMetric(name);
    if (found === undefined || found instanceof kind) return found as Metric | undefined;
    throw new HoldfastError('HF_CONFIG', `Metric ${name} is registered already as another kind.`, { advice: 'Give Holdfast a registry of its own.' });
  };
  return {
    counter<Name extends string>(name: string, help: string, labels: readonly Name[] = []): Counter<Name> {
      const counter = known<PromCounter<Name>>(name, PromCounter) ?? new PromCounter<Name>({ name, help, labelNames: labels, registers: [registry] });
      return { inc: (values, by = 1) => counter.inc(values, by) };
    },
    gauge<Name extends string>(name: string, help: string, labels: readonly Name[] = []): Gauge<Name> {
      const gauge = known<PromGauge<Name>>(name, PromGauge) ?? new PromGauge<Name>({ name, help, labelNames: labels, registers: [registry] });
      return { set: (values, value) => gauge.set(values, value), remove: (values) => gauge.remove(values) };
    },
    histogram<Name extends string>(name: string, help: string, labels: readonly Name[], buckets: readonly number[]): Histogram<Name> {
      const histogram =
        known<PromHistogram<Name>>(name, PromHistogram) ?? new PromHistogram<Name>({ name, help, labelNames: labels, buckets: [...buckets], registers: [registry] });
      return { observe: (values, value) => histogram.observe(values, value) };
    },
  };
}
