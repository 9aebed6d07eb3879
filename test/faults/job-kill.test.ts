/**
 * kill -9 of whoever works on a job, before and after each of its commits; another process goes on with it. Each message is acted on once,
 * with its row of the audit, and the job says what was done (I11, I15).
 *
 * Fails, for example, when the position is written in a transaction of its own, when a runner goes on by what it remembers, or when a lease is
 * given out while the one before still works.
 */
import { randomUUID } from 'node:crypto';
import { afterEach, expect, it } from 'vitest';
import type { JobAct } from '../../src/operations/jobs/job.ts';
import { JOB_CRASH_POINTS, workOff } from '../../src/operations/jobs/job-runner.ts';
import { showJob, startJob } from '../../src/operations/jobs/jobs.ts';
import { openDatabase, type Database } from '../../src/postgres/database.ts';
import { systemClock } from '../../src/runtime/clock.ts';
import { eventually } from '../support/eventually.ts';
import { endChildren, inParallel, startChild } from '../support/faults/child.ts';
import type { CrashPlan } from '../support/faults/crash-points.ts';
import type { JobChildSettings } from '../support/faults/job-child.ts';
import { seedRun, STUCK_IN_DOUBT } from '../operations/saga-lab.ts';
import { createTestDatabase } from '../support/servers.ts';

afterEach(endChildren);

/** A chunk is a hundred: four for the relays, two for the consumer; of cancellations, one. */
const BY_RELAY = 230;
const BY_CONSUMER = 120;
const LEASE_MS = 500;
const POINTS = JOB_CRASH_POINTS.flatMap((point) => [`${point}:before`, `${point}:after`]);
const ACTS: readonly JobAct[] = [
  { kind: 'parked.retry', select: {} },
  { kind: 'parked.discard', select: {} },
  { kind: 'saga.cancel', select: {} },
];

type Plan = Omit<CrashPlan, 'signal'> & { readonly act: JobAct; readonly commits: number | null };
const plan = (act: JobAct, point: string, occurrence: number, commits: number | null = null): Plan => ({
  act,
  point,
  occurrence,
  commits,
});
const PLANS: readonly Plan[] = [
  ...ACTS.flatMap((act) => [
    plan(act, 'job.commit:before', 1),
    plan(act, 'job.commit:after', 1),
    plan(act, 'job.commit:before', 2),
    plan(act, 'job.end:before', 1),
    plan(act, 'job.end:after', 1),
  ]),
  ...ACTS.slice(0, 2).flatMap((act) => [plan(act, 'job.commit:after', 3), plan(act, 'job.commit:before', 5)]),
  plan(ACTS[0] as JobAct, 'job.take:before', 1),
  plan(ACTS[0] as JobAct, 'job.take:after', 1),
  plan(ACTS[1] as JobAct, 'job.give-back:before', 1, 2),
  plan(ACTS[1] as JobAct, 'job.give-back:after', 1, 2),
];

it('has a plan for each named point', () => {
  expect([...new Set(PLANS.map(({ point }) => point))].toSorted()).toEqual(POINTS.toSorted());
});

it('acts on each once, wherever the process is killed', async () => {
  const failures: string[] = [];
  await inParallel(3, PLANS, async ({ act, commits, ...crash }) => {
    const name = `${act.kind}, ${crash.point} #${crash.occurrence}`;
    const test = await createTestDatabase({ migrate: true });
    const database = openDatabase({ url: test.url, max: 4 });
    try {
      await fill(database);
      const { id } = await startJob(database, act, { actor: 'tester', reason: 'mended', rate: null });
      const settings: JobChildSettings = {
        url: test.url,
        job: id,
        crash: { ...crash, signal: 'SIGKILL' },
        leaseMs: LEASE_MS,
        commits,
      };
      const child = startChild('job-child.ts', settings);
      const { signal } = await child.exit;
      if (signal !== 'SIGKILL') failures.push(`${name} was never passed\n${child.log}`);
      const parts = { clock: systemClock, random: Math.random, crashPoint: () => {}, leaseMs: LEASE_MS };
      await eventually('another process to go on with the job', async () => {
        try {
          return (await workOff(database, id, {}, parts)).state === 'done';
        } catch {
          // The lease of the one that died lasts yet.
          return false;
        }
      });
      failures.push(...(await breaches(database, id, act)).map((breach) => `${name}: ${breach}`));
    } catch (error) {
      failures.push(`${name}: ${String(error)}`);
    } finally {
      await database.close();
      await test.drop();
    }
  });
  expect(failures).toEqual([]);
}, 900_000);

async function fill(database: Database): Promise<void> {
  await database.query(
    `INSERT INTO holdfast.parked_message (subscription, seq, id, topic, key, lane, state, reason, error)
     SELECT CASE WHEN n % 2 = 0 THEN 'main' ELSE 'other' END, n, gen_random_uuid(), 'order.placed', NULL, 0, 'failed', 'refused', 'Error: no'
     FROM generate_series(1, $1::int) AS n`,
    [BY_RELAY],
  );
  await database.query(
    `INSERT INTO holdfast.parked_delivery (consumer, message_id, topic, key, envelope, state, reason, error)
     SELECT 'billing', gen_random_uuid(), 'order.placed', 'k' || n % 7, '{}', 'failed', 'gave up', 'Error: no'
     FROM generate_series(1, $1::int) AS n`,
    [BY_CONSUMER],
  );
  for (let n = 0; n < 3; n += 1) await seedRun(database, { ...STUCK_IN_DOUBT, id: randomUUID() });
}

/** What is not as it has to be. */
async function breaches(database: Database, id: string, act: JobAct): Promise<readonly string[]> {
  const { done, planned, passedOver, failed, state } = await showJob(database, id);
  const told = JSON.stringify({ done, planned, passedOver, failed, state });
  const expected = act.kind === 'saga.cancel' ? 3 : BY_RELAY + BY_CONSUMER;
  const { rows } = await database.query<{ subject: string; ids: string[] | null }>(
    `SELECT subject, CASE WHEN details ? 'ids' THEN ARRAY(SELECT jsonb_array_elements_text(details -> 'ids')) END AS ids
     FROM holdfast.audit WHERE action = $1 AND details ->> $2 = $3`,
    [act.kind, act.kind === 'saga.cancel' ? 'bulk' : 'job', id],
  );
  const audited = rows.flatMap(({ subject, ids }) => ids ?? [subject]);
  const count = async (sql: string): Promise<number> =>
    Number((await database.query<{ n: string }>(`SELECT count(*)::text AS n FROM ${sql}`)).rows[0]?.n);
  const untouched: Readonly<Record<string, string>> = {
    'parked.retry': `(SELECT next_attempt_at FROM holdfast.parked_message UNION ALL SELECT next_attempt_at FROM holdfast.parked_delivery) AS p WHERE next_attempt_at IS NULL`,
    'parked.discard': '(SELECT 1 FROM holdfast.parked_message UNION ALL SELECT 1 FROM holdfast.parked_delivery) AS p',
    'saga.cancel': 'holdfast.saga_run r WHERE NOT EXISTS (SELECT 1 FROM holdfast.saga_mail m WHERE m.saga_id = r.id)',
  };
  return [
    ...(done === expected && state === 'done' ? [] : [`the job says ${told}`]),
    ...(audited.length === expected && new Set(audited).size === expected
      ? []
      : [`${audited.length} in the audit, ${new Set(audited).size} of them different`]),
    ...((await count(untouched[act.kind] ?? '')) === 0 ? [] : ['some were not acted on']),
    ...(act.kind === 'saga.cancel' && (await count('holdfast.saga_mail')) !== expected ? ['some runs twice'] : []),
  ];
}
