/**
 * Metrics on prom-client, for the daemon's /metrics. A file of its own, so that a service that embeds Holdfast without
 * Prometheus does not load it.
 */
import {
  collectDefaultMetrics,
  Counter as PromCounter,
  Gauge as PromGauge,
  Histogram as PromHistogram,
  type Registry,
} from 'prom-client';
import { HoldfastError } from '../errors.ts';
import type { Counter, Gauge, Histogram, Metrics } from './metrics.ts';

/**
 * Figures of the process and of Node itself. prom-client counts handles, requests and resources in gauges that are named as if they were
 * counters (`_total`), which Prometheus' own check complains of; the same figures by type are there without them.
 *
 * @example
 * const registry = new Registry();
 * collectProcessMetrics(registry);
 */
export function collectProcessMetrics(registry: Registry): void {
  collectDefaultMetrics({ register: registry });
  for (const metric of registry.getMetricsAsArray()) {
    if (metric instanceof PromGauge && metric.name.endsWith('_total')) registry.removeSingleMetric(metric.name);
  }
}

/**
 * Metrics in a prom-client registry.
 *
 * @example
 * const registry = new Registry();
 * const worker = createWorker({ database, sagas: [placeOrder], metrics: createPromMetrics(registry) });
 * console.log(await registry.metrics());
 */
export function createPromMetrics(registry: Registry): Metrics {
  const known = <Metric>(name: string, kind: new (...args: never) => Metric): Metric | undefined => {
    if (!name.startsWith('holdfast_'))
      throw new HoldfastError('HF_CONFIG', `Metric ${name} does not begin with holdfast_.`);
    const found = registry.getSingleMetric(name);
    if (found === undefined || found instanceof kind) return found;
    throw new HoldfastError('HF_CONFIG', `Metric ${name} is registered already as another kind.`, {
      advice: 'Give Holdfast a registry of its own.',
    });
  };
  return {
    counter<Name extends string>(name: string, help: string, labels: readonly Name[] = []): Counter<Name> {
      const counter =
        known<PromCounter<Name>>(name, PromCounter) ??
        new PromCounter<Name>({ name, help, labelNames: labels, registers: [registry] });
      return { inc: (values, by = 1) => counter.inc(values, by) };
    },
    gauge<Name extends string>(name: string, help: string, labels: readonly Name[] = []): Gauge<Name> {
      const gauge =
        known<PromGauge<Name>>(name, PromGauge) ??
        new PromGauge<Name>({ name, help, labelNames: labels, registers: [registry] });
      return { set: (values, value) => gauge.set(values, value), remove: (values) => gauge.remove(values) };
    },
    histogram<Name extends string>(
      name: string,
      help: string,
      labels: readonly Name[],
      buckets: readonly number[],
    ): Histogram<Name> {
      const histogram =
        known<PromHistogram<Name>>(name, PromHistogram) ??
        new PromHistogram<Name>({ name, help, labelNames: labels, buckets: [...buckets], registers: [registry] });
      return { observe: (values, value) => histogram.observe(values, value) };
    },
  };
}
