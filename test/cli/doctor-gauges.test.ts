/** What the doctor finds, on /metrics: asked by its own clock, and nothing is left there of what was mended or cannot be asked. */
import type { PoolClient } from 'pg';
import { Registry } from 'prom-client';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { resolveProcess } from '../../src/cli/config/process.ts';
import { createDoctorGauges } from '../../src/cli/daemon/doctor-gauges.ts';
import { openDatabase, type Database } from '../../src/postgres/database.ts';
import { silentLogger } from '../../src/runtime/log.ts';
import { createPromMetrics } from '../../src/runtime/prom-metrics.ts';
import { createManualClock } from '../../src/testing/manual-clock.ts';
import { eventually } from '../support/eventually.ts';
import { createTestDatabase, type TestDatabase } from '../support/servers.ts';

let test: TestDatabase;
beforeAll(async () => {
  test = await createTestDatabase({ migrate: true });
});
afterAll(() => test.drop());

const figures = async (registry: Registry): Promise<readonly string[]> =>
  (await registry.metrics()).split('\n').filter((line) => line.startsWith('holdfast_doctor_findings{'));

it('shows findings by level and check, and lets go of them', async () => {
  const pooled = openDatabase({ pool: test.pool });
  let away = false;
  const database: Database = {
    ...pooled,
    async withConnection<T>(
      fn: (client: PoolClient) => Promise<T>,
      limit?: { readonly timeoutMs?: number | undefined },
    ) {
      if (away) throw Object.assign(new Error('refused'), { code: 'ECONNREFUSED' });
      return pooled.withConnection(fn, limit);
    },
  };
  const registry = new Registry();
  const clock = createManualClock();
  const metrics = createPromMetrics(registry);
  const gauges = createDoctorGauges({ metrics, database, intervalMs: 300_000, options: {}, clock, log: silentLogger });
  await gauges.start();
  expect(await figures(registry)).toEqual([]);
  const asked = async (wanted: RegExp | null): Promise<void> => {
    await clock.whenSleeping();
    await clock.advance(400_000);
    await eventually(`${wanted}`, async () => {
      const lines = await figures(registry);
      return wanted === null ? lines.length === 0 : lines.some((line) => wanted.test(line));
    });
  };
  const missing = /^holdfast_doctor_findings\{level="warn",check="schema.missing"\} 2$/;
  await asked(/check="flow.no-subscription"\} 1$/);
  expect((await figures(registry)).filter((line) => missing.test(line))).toEqual([]);
  await test.pool.query('DROP INDEX holdfast.outbox_xid_seq; DROP INDEX holdfast.saga_run_stuck');
  await asked(missing);
  await test.pool.query('CREATE INDEX outbox_xid_seq ON holdfast.outbox (xid, seq)');
  await test.pool.query(`CREATE INDEX saga_run_stuck ON holdfast.saga_run (id) WHERE status = 'stuck'`);
  await clock.whenSleeping();
  await clock.advance(400_000);
  await eventually('its end', async () => !(await figures(registry)).some((line) => line.includes('schema.missing')));
  away = true;
  await asked(null);
  away = false;
  await asked(/flow.no-subscription/);
  await gauges.stop();
});

it('is asked every five minutes, as often as the configuration says, or never', () => {
  const of = (doctor?: false | { interval?: '1m' | '1s' }) =>
    resolveProcess({ given: {}, config: doctor === undefined ? {} : { doctor }, noHttp: false }).doctor?.intervalMs;
  expect([of(), of({}), of({ interval: '1m' }), of(false)]).toEqual([300_000, 300_000, 60_000, undefined]);
  expect(() => of({ interval: '1s' })).toThrow(/doctor.interval is 1000 ms/);
});
