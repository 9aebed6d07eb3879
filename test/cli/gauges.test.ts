/** Figures for /metrics that cannot be made: a database that is away shows as such, and nothing else is taken for it. */
import { Registry } from 'prom-client';
import { expect, it } from 'vitest';
import { createGauges } from '../../src/cli/daemon/gauges.ts';
import { createWorkerGauges } from '../../src/cli/daemon/worker-gauges.ts';
import type { Database } from '../../src/postgres/database.ts';
import { systemClock } from '../../src/runtime/clock.ts';
import { silentLogger, type Logger } from '../../src/runtime/log.ts';

it.each([
  { what: 'a stack that ran over', error: new RangeError('Maximum call stack size exceeded'), away: false },
  { what: 'a database', error: Object.assign(new Error('refused'), { code: 'ECONNREFUSED' }), away: true },
])('$what', async ({ error, away }) => {
  const said: unknown[] = [];
  const log: Logger = { ...silentLogger, error: (fields) => void said.push((fields as { err: unknown }).err) };
  const registry = new Registry();
  const database = { schema: 'holdfast', query: () => Promise.reject(error) } as unknown as Database;
  const gauges = [
    createGauges({ registry, database, states: () => [], clock: systemClock, log }),
    createWorkerGauges({
      worker: { openBreakers: [{ name: 'far', openMs: 1_500 }] },
      registry,
      database,
      clock: systemClock,
      log,
    }),
  ];
  await Promise.all(gauges.map((each) => each.refresh()));
  const text = await registry.metrics();
  expect(/^holdfast_database_up 0$/m.test(text)).toBe(away);
  expect(text).toMatch(/^holdfast_saga_breaker_open_seconds\{breaker="far"\} 1.5$/m);
  // Once by the relay's, once by the worker's.
  expect(said).toEqual(away ? [] : [error, error]);
});
