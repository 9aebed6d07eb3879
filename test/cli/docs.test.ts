/** docs/operations.md tells of every flag, variable, metric and exit code that there is. */
import { readFileSync } from 'node:fs';
import { Registry } from 'prom-client';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { ALL } from '../../src/cli/config/options.ts';
import { createGauges } from '../../src/cli/daemon/gauges.ts';
import { createWorkerGauges } from '../../src/cli/daemon/worker-gauges.ts';
import { EXIT } from '../../src/cli/exit-codes.ts';
import { openDatabase } from '../../src/postgres/database.ts';
import { createRelayMetrics } from '../../src/relay/metrics.ts';
import { systemClock } from '../../src/runtime/clock.ts';
import { promMetrics } from '../../src/runtime/prom-metrics.ts';
import { saga } from '../../src/saga/definition.ts';
import { createWorker } from '../../src/saga/worker.ts';

const page = readFileSync(new URL('../../docs/operations.md', import.meta.url), 'utf8');

describe('docs/operations.md', () => {
  it.each(Object.values(ALL).map(({ flag, env }) => [flag.split(' ')[0] ?? '', env] as const))(
    'has %s',
    (flag, env) => {
      for (const name of [flag, ...env]) expect(page).toMatch(new RegExp(`\`${name}[ \`]`));
    },
  );

  it('has every metric, and no other', async () => {
    const registry = new Registry();
    createRelayMetrics(promMetrics(registry));
    createGauges({
      registry,
      database: openDatabase({ url: 'postgres://nowhere/x' }),
      states: () => [],
      clock: systemClock,
    });
    const database = openDatabase({ url: 'postgres://nowhere/x' });
    createWorkerGauges({ registry, database, clock: systemClock });
    const flow = saga({ name: 'flow', input: z.unknown(), steps: {}, run: async () => {} });
    createWorker({ database, sagas: [flow], metrics: promMetrics(registry) });
    const metrics = registry.getMetricsAsArray().map(({ name }) => name);
    const documented = [...page.matchAll(/^\| `(holdfast_\w+)` \|/gm)].map(([, name]) => name);
    expect(new Set(documented)).toEqual(new Set(metrics));
  });

  it('has every exit code', () => {
    const documented = [...page.matchAll(/^\| (\d+) \|/gm)].map(([, code]) => Number(code));
    expect(documented).toEqual(Object.values(EXIT));
  });
});
