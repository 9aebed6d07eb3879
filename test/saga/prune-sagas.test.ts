/** Retention takes what ended long ago, whole, however much it is, and nothing that is still needed. */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { systemClock } from '../../src/runtime/clock.ts';
import { silentLogger } from '../../src/runtime/log.ts';
import { pruneSagas } from '../../src/saga/store/postgres/prune-sagas.ts';
import { createSagaPruneLoop, sagaPruneRounds } from '../../src/saga/worker/prune-loop.ts';
import { eventually } from '../support/eventually.ts';
import { LEASE_MS, commitOf, journalRow, newRun, startOf, uniqueSaga, update } from '../conformance/saga-store-kit.ts';
import { openPostgresStores, type PostgresStores } from './postgres-stores.ts';

let stores: PostgresStores;
beforeAll(async () => {
  stores = await openPostgresStores();
});
afterAll(() => stores.dispose());

const HOUR_MS = 3_600_000;

it('deletes old ended runs with journal and mail, and no child of a parent that goes on', async () => {
  const saga = uniqueSaga();
  const worker = randomUUID();
  await stores.worker.register({ id: worker, name: 'test', sagas: [saga], leaseMs: LEASE_MS });
  const [ended, open, recent] = [startOf(saga), startOf(saga), startOf(saga)];
  const child = startOf(saga, newRun(saga, { parent: { id: open.runId, call: 'pay' } }));
  await stores.worker.commit(worker, [ended, open, recent, child]);
  await stores.worker.commit(
    worker,
    [ended, recent, child].map(({ runId }) => commitOf(runId, { journal: journalRow(1), update: update('completed') })),
  );
  await stores.client.postRunMessage(null, ended.runId, { kind: 'undo' }, ['completed']);
  await stores.test.pool.query(
    `UPDATE holdfast.saga_run SET finished_at = now() - interval '2 hours' WHERE id = ANY ($1) AND finished_at IS NOT NULL`,
    [[ended.runId, child.runId]],
  );
  const options = { olderThanMs: HOUR_MS, limit: 100 };
  expect(await pruneSagas(stores.database, { ...options, limit: 0 })).toBe(0);
  expect(await pruneSagas(stores.database, { ...options, signal: AbortSignal.abort() })).toBe(0);
  expect(await pruneSagas(stores.database, options)).toBe(1);
  const left = await stores.client.read([ended.runId, open.runId, recent.runId, child.runId]);
  expect(left.map(({ id }) => id)).toEqual([open.runId, recent.runId, child.runId]);
  expect(await stores.client.journal(ended.runId)).toEqual([]);
  expect(await stores.mailCount(ended.runId)).toBe(0);
  await stores.worker.commit(worker, [commitOf(open.runId, { update: update('completed') })]);
  expect(await pruneSagas(stores.database, options)).toBe(1);
});

it('keeps a run that a worker still has in its hands', async () => {
  const saga = uniqueSaga();
  const worker = randomUUID();
  await stores.worker.register({ id: worker, name: 'test', sagas: [saga], leaseMs: LEASE_MS });
  const run = startOf(saga);
  await stores.worker.commit(worker, [run]);
  const hold = (by: string | null) =>
    stores.test.pool.query(
      `UPDATE holdfast.saga_run SET status = 'completed', finished_at = now() - interval '2 hours', worker = $2 WHERE id = $1`,
      [run.runId, by],
    );
  await hold(worker);
  expect(await pruneSagas(stores.database, { olderThanMs: HOUR_MS })).toBe(0);
  await hold(null);
  expect(await pruneSagas(stores.database, { olderThanMs: HOUR_MS })).toBe(1);
});

async function insertEnded(rows: number): Promise<void> {
  await stores.test.pool.query(
    `WITH ended AS (
       INSERT INTO holdfast.saga_run (id, saga, version, status, finished_at)
       SELECT gen_random_uuid(), 'ended', 1, 'completed', now() - interval '2 hours' FROM generate_series(1, $1::int) RETURNING id)
     INSERT INTO holdfast.saga_journal (saga_id, n, events, at) SELECT id, 0, '[]', now() FROM ended`,
    [rows],
  );
}

async function countEnded(): Promise<number> {
  const { rows } = await stores.test.pool.query<{ n: number }>(
    `SELECT count(*)::int AS n FROM holdfast.saga_run WHERE saga = 'ended'`,
  );
  return rows[0]?.n ?? 0;
}

const pruneLoop = () =>
  createSagaPruneLoop({ database: stores.database, clock: systemClock, log: silentLogger, retentionMs: HOUR_MS });

it('takes all that is old enough in one round, by however many workers at once', async () => {
  // More than a round took once, whatever the rate at which runs ended.
  await insertEnded(25_000);
  await Promise.all([pruneLoop().tick(), pruneLoop().tick()]);
  expect(await countEnded()).toBe(0);
});

it('does not keep a worker from stopping: the rest goes next time', async () => {
  await insertEnded(25_000);
  const loop = pruneLoop();
  await loop.start();
  await eventually('it has begun', async () => (await countEnded()) < 25_000);
  await loop.stop();
  const left = await countEnded();
  expect(left).toBeGreaterThan(0);
  await loop.tick();
  expect(await countEnded()).toBe(0);
});

it('comes back sooner when runs are kept briefly', () => {
  expect(sagaPruneRounds(30 * 24 * HOUR_MS).mostMs).toBe(600_000);
  expect(sagaPruneRounds(60_000).mostMs).toBe(3_000);
});
