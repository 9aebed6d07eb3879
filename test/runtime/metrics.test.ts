import { Registry } from 'prom-client';
import { expect, test } from 'vitest';
import { silentLogger } from '../../src/runtime/log.ts';
import { noopMetrics } from '../../src/runtime/metrics.ts';
import { safeMetrics } from '../../src/runtime/observers.ts';
import { collectProcessMetrics, createPromMetrics } from '../../src/runtime/prom-metrics.ts';

test('counters, gauges and histograms come out as Prometheus text', async () => {
  const registry = new Registry();
  const metrics = createPromMetrics(registry);
  const published = metrics.counter('holdfast_published_total', 'Messages published.', ['subscription']);
  published.inc({ subscription: 'main' });
  published.inc({ subscription: 'main' }, 4);
  metrics.counter('holdfast_ticks_total', 'Ticks.').inc({});
  const lag = metrics.gauge('holdfast_lag_seconds', 'Lag.', ['subscription']);
  lag.set({ subscription: 'main' }, 2.5);
  lag.set({ subscription: 'gone' }, 1);
  lag.remove({ subscription: 'gone' });
  metrics.histogram('holdfast_batch_messages', 'Batch size.', [], [1, 10]).observe({}, 3);
  const text = await registry.metrics();
  expect(text).toContain('holdfast_published_total{subscription="main"} 5');
  expect(text).toContain('holdfast_ticks_total 1');
  expect(text).toContain('holdfast_lag_seconds{subscription="main"} 2.5');
  expect(text).not.toContain('gone');
  expect(text).toContain('holdfast_batch_messages_bucket{le="10"} 1');
  expect(text).toContain('holdfast_batch_messages_bucket{le="1"} 0');
});

test('asking for a name again gives the same metric; another kind or another prefix is refused', async () => {
  const registry = new Registry();
  const metrics = createPromMetrics(registry);
  metrics.counter('holdfast_a_total', 'A.').inc({});
  createPromMetrics(registry).counter('holdfast_a_total', 'A.').inc({});
  expect(await registry.metrics()).toContain('holdfast_a_total 2');
  expect(() => metrics.gauge('holdfast_a_total', 'A.')).toThrowError(expect.objectContaining({ code: 'HF_CONFIG' }));
  expect(() => metrics.gauge('lag', 'Lag.')).toThrowError(expect.objectContaining({ code: 'HF_CONFIG' }));
});

test('no gauge of the process is named as if it were a counter', async () => {
  const registry = new Registry();
  collectProcessMetrics(registry);
  const metrics = await registry.getMetricsAsJSON();
  expect(metrics.length).toBeGreaterThan(20);
  for (const { name, type } of metrics) {
    if (name.endsWith('_total')) expect([name, String(type)]).toEqual([name, 'counter']);
    else expect([name, String(type)]).not.toEqual([name, 'counter']);
  }
});

test('labels made from data do not grow the page without an end; nothing goes uncounted', async () => {
  const registry = new Registry();
  const metrics = safeMetrics(createPromMetrics(registry), silentLogger);
  const messages = metrics.counter('holdfast_messages_total', 'Messages.', ['topic']);
  const seconds = metrics.histogram('holdfast_seconds', 'Time.', ['topic'], [1, 10]);
  for (let n = 0; n < 20_000; n += 1) {
    messages.inc({ topic: `order.${n}` });
    seconds.observe({ topic: `order.${n}` }, 2);
  }
  messages.inc({ topic: 'order.1' });
  const text = await registry.metrics();
  expect(text.match(/^holdfast_messages_total/gm)).toHaveLength(1_001);
  expect(text).toContain('holdfast_messages_total{topic="order.1"} 2');
  expect(text).toContain('holdfast_messages_total{topic="other"} 19000');
  expect(text).toContain('holdfast_seconds_count{topic="other"} 19000');
});

test('noopMetrics takes everything', () => {
  expect(() => {
    noopMetrics.counter('holdfast_a_total', 'A.', ['x']).inc({ x: '1' });
    noopMetrics.gauge('holdfast_b', 'B.').set({}, 1);
    noopMetrics.gauge('holdfast_b', 'B.').remove({});
    noopMetrics.histogram('holdfast_c', 'C.', [], [1]).observe({}, 1);
  }).not.toThrow();
});
