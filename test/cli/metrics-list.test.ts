/** The table of metrics in docs/operations.md is what relays, workers, consumers and participants really register: names, types, labels. */
import { Registry } from 'prom-client';
import { z } from 'zod';
import { expect, it } from 'vitest';
import { createDoctorGauges } from '../../src/cli/daemon/doctor-gauges.ts';
import { createGauges } from '../../src/cli/daemon/gauges.ts';
import { createWorkerGauges } from '../../src/cli/daemon/worker-gauges.ts';
import { createConsumer } from '../../src/inbox/consumer.ts';
import { message } from '../../src/message/message-type.ts';
import { openDatabase } from '../../src/postgres/database.ts';
import { createRelay } from '../../src/relay/relay.ts';
import { systemClock } from '../../src/runtime/clock.ts';
import { silentLogger } from '../../src/runtime/log.ts';
import { createPromMetrics } from '../../src/runtime/prom-metrics.ts';
import { saga } from '../../src/saga/definition/definition.ts';
import { handle } from '../../src/saga/participant/handle.ts';
import { createParticipant } from '../../src/saga/participant/participant.ts';
import { createWorker } from '../../src/saga/worker/worker.ts';
import { createMemoryTransport } from '../../src/transport/memory.ts';
import { documentedMetrics, undocumented } from '../support/documented-metrics.ts';

it('is complete and right', async () => {
  const registry = new Registry();
  const metrics = createPromMetrics(registry);
  const database = openDatabase({ url: 'postgres://127.0.0.1:1/none' });
  const transport = createMemoryTransport();
  const order = saga({ name: 'order', version: 1, input: z.object({}), steps: {}, run: async () => null });
  const Charge = message('charge', { schema: z.object({}), key: () => 'k' });
  createRelay({ database, metrics, subscriptions: [{ name: 'main', transport, routes: [{ topics: '**', to: 'q' }] }] });
  const worker = createWorker({ database, metrics, sagas: [order], replies: { transport } });
  createConsumer('billing', { database, metrics, transport, handlers: [], ignore: ['**'] });
  createParticipant('bank', { database, metrics, transport, handlers: [handle(Charge, async () => {})] });
  createGauges({ registry, database, states: () => [], clock: systemClock, log: silentLogger });
  createWorkerGauges({ worker, registry, database, clock: systemClock, log: silentLogger });
  createDoctorGauges({ metrics, database, intervalMs: 300_000, options: {}, clock: systemClock, log: silentLogger });
  const made = registry.getMetricsAsArray().map((metric) => {
    const { name, type, labelNames } = metric as unknown as {
      readonly name: string;
      readonly type: string;
      readonly labelNames: readonly string[];
    };
    return { name, type, labels: labelNames.toSorted() };
  });
  const typeOf = new Map(
    [...(await registry.metrics()).matchAll(/^# TYPE (\w+) (\w+)$/gm)].map(([, name, type]) => [name, type]),
  );
  const documented = [...documentedMetrics().values()].map((each) => ({ ...each, labels: each.labels.toSorted() }));
  const byName = (a: { name: string }, b: { name: string }): number => (a.name < b.name ? -1 : 1);
  expect(made.map((each) => ({ ...each, type: typeOf.get(each.name) })).toSorted(byName)).toEqual(
    documented.toSorted(byName),
  );
  await database.close();
});

it('would find out what it has not, or has otherwise', () => {
  expect(
    undocumented(
      [
        '# TYPE holdfast_relay_active counter',
        'holdfast_relay_active{subscription="main"} 1',
        'holdfast_relay_active{subscription="main",shard="0"} 1',
        'holdfast_relay_delay_seconds_bucket{le="1",subscription="main",shard="0"} 1',
        'holdfast_unheard_of 1',
        'process_cpu_seconds_total 1',
      ].join('\n'),
    ),
  ).toEqual([
    '# TYPE holdfast_relay_active counter',
    'holdfast_relay_active{subscription="main"} ',
    'holdfast_unheard_of ',
  ]);
});
