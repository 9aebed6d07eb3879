/** What commits, claims and collecting mail cost the database: they must not grow with the runs that are there. */
import { randomUUID } from 'node:crypto';
import type { Client } from 'pg';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { commitStatement } from '../../src/saga/store/postgres/group-commit.ts';
import { commitOf, journalRow, LEASE_MS, startOf, uniqueSaga, update } from '../conformance/saga-store-kit.ts';
import { openPostgresStores, type PostgresStores } from './postgres-stores.ts';

const RUNS = 20_000;
const GROUP = 20;
const saga = uniqueSaga();
const worker = randomUUID();
let stores: PostgresStores;
let client: Client;

beforeAll(async () => {
  stores = await openPostgresStores();
  client = await stores.database.dedicatedConnection({ onLost: () => {} });
  await stores.worker.register({ id: worker, name: 'test', sagas: [saga], leaseMs: 10 * LEASE_MS });
});
afterAll(async () => {
  await client.end();
  await stores.dispose();
});

/** Rows of saga_run, saga_journal and saga_mail that it looks at, wanted or not. */
async function rowsLookedAt(act: () => Promise<unknown>): Promise<number> {
  await client.query('BEGIN');
  const before = await fetched();
  await act();
  const looked = (await fetched()) - before;
  await client.query('COMMIT');
  return looked;
}

async function fetched(): Promise<number> {
  const { rows } = await client.query<{ n: string }>(
    `SELECT sum(coalesce(idx_tup_fetch, 0) + seq_tup_read) AS n FROM pg_stat_xact_user_tables
     WHERE schemaname = 'holdfast' AND relname LIKE 'saga%'`,
  );
  return Number(rows[0]?.n);
}

async function round(): Promise<readonly number[]> {
  const starts = Array.from({ length: GROUP }, () => startOf(saga));
  const send = (runs: Parameters<typeof commitStatement>[2]) => () =>
    client.query(commitStatement('holdfast', worker, runs));
  const started = await rowsLookedAt(send(starts));
  const ended = await rowsLookedAt(
    send(starts.map(({ runId }) => commitOf(runId, { journal: journalRow(1), update: update('completed') }))),
  );
  await stores.client.start(
    null,
    Array.from({ length: 5 }, () => ({ ...saga, id: randomUUID(), key: null, input: '1', deadlineMs: null })),
  );
  const claimed = await rowsLookedAt(() =>
    client.query('SELECT * FROM holdfast.claim_runs($1, $2, $3, $4)', [worker, [saga.saga], [1], [5]]),
  );
  const collected = await rowsLookedAt(() =>
    client.query('SELECT * FROM holdfast.pending_saga_mail($1, $2, $3, $4, 100)', [worker, [saga.saga], [1], []]),
  );
  return [started, ended, claimed, collected];
}

it('looks at a few rows for each run concerned, with plans made while the tables were empty, and with new ones', async () => {
  await stores.database.query('VACUUM ANALYZE holdfast.saga_run, holdfast.saga_journal, holdfast.saga_mail');
  await round();
  await stores.test.pool.query(
    `INSERT INTO holdfast.saga_run (id, saga, version, status, worker) SELECT gen_random_uuid(), $1, 1, 'running', $2 FROM generate_series(1, $3)`,
    [saga.saga, worker, RUNS],
  );
  await stores.test.pool.query(
    `INSERT INTO holdfast.saga_journal (saga_id, n, events, at) SELECT id, 0, '[]', now() FROM holdfast.saga_run WHERE status = 'running' AND claims = 0`,
  );
  const bound = 4 * GROUP;
  for (const each of await round()) expect(each).toBeLessThan(bound);
  await stores.database.query('ANALYZE holdfast.saga_run, holdfast.saga_journal, holdfast.saga_mail');
  await client.query('DISCARD PLANS');
  for (const each of await round()) expect(each).toBeLessThan(bound);
});

it('has no statement compiled: where plans are forbidden by a price, the price would ask for it', async () => {
  const { rows } = await stores.database.query<{ name: string; settings: readonly string[] }>(
    `SELECT proname AS name, proconfig AS settings FROM pg_proc WHERE pronamespace = 'holdfast'::regnamespace
       AND 'enable_seqscan=off' = ANY (proconfig)`,
  );
  expect(rows.map(({ name }) => name)).toContain('send_saga_mail');
  expect(rows.filter(({ settings }) => !settings.includes('jit=off'))).toEqual([]);
});
