/**
 * What retention and clients read when the tables of sagas are full: rows of what they are about, never a table from end to end. With plans
 * that were made while the tables were empty, and with new ones.
 */
import type { Client } from 'pg';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Database } from '../../src/postgres/database.ts';
import { pruneSagas } from '../../src/saga/store/postgres/prune-sagas.ts';
import { openPostgresStores, type PostgresStores } from './postgres-stores.ts';

const RUNS = 20_000;
const OLD = 50;
const HOUR_MS = 3_600_000;
let stores: PostgresStores;
let client: Client;

beforeAll(async () => {
  stores = await openPostgresStores();
  client = await stores.database.dedicatedConnection({ onLost: () => {} });
});
afterAll(async () => {
  await client.end();
  await stores.dispose();
});

/** Rows of saga_run, saga_journal and saga_mail that it looks at, wanted or not, in a transaction that is rolled back. */
async function rowsLookedAt(act: () => Promise<unknown>): Promise<number> {
  await client.query('BEGIN');
  const before = await fetched();
  await act();
  const looked = (await fetched()) - before;
  await client.query('ROLLBACK');
  return looked;
}

async function fetched(): Promise<number> {
  const { rows } = await client.query<{ n: string }>(
    `SELECT sum(coalesce(idx_tup_fetch, 0) + seq_tup_read) AS n FROM pg_stat_xact_user_tables
     WHERE schemaname = 'holdfast' AND relname LIKE 'saga%'`,
  );
  return Number(rows[0]?.n);
}

/** A database whose statements run on the client that is watched. */
const watched = (): Database => ({
  ...stores.database,
  query: (text: string, values: readonly unknown[] = []) => client.query(text, [...values]),
});
const prune = () => pruneSagas(watched(), { olderThanMs: HOUR_MS });
const ask = (name: string, sql: string, values: readonly unknown[]) => () =>
  client.query({ name, text: sql, values: [...values] });
const NOBODY = '00000000-0000-4000-8000-000000000000';
const QUESTIONS: readonly (readonly [string, () => Promise<unknown>])[] = [
  ['a run by its key', ask('find', `SELECT holdfast.find_run('ended', $1)`, ['key-77'])],
  ['runs by their ids', ask('read', 'SELECT holdfast.read_runs($1::uuid[])', [[NOBODY]])],
  [
    'a signal',
    ask('signal', `SELECT holdfast.post_saga_mail($1, 'signal', '{"kind":"signal"}', '{running}', false)`, [NOBODY]),
  ],
  ['what has ended long ago', prune],
];

async function lookAtAll(): Promise<Readonly<Record<string, number>>> {
  const looked: Record<string, number> = {};
  for (const [what, question] of QUESTIONS) looked[what] = await rowsLookedAt(question);
  return looked;
}

/** A row or two for each run concerned and table; pruning finds its runs, locks them, and deletes them with their journals. */
function expectFew(looked: Readonly<Record<string, number>>): void {
  const { 'what has ended long ago': pruned, ...asked } = looked;
  expect(Object.entries(asked).filter(([, rows]) => rows >= 10)).toEqual([]);
  expect(pruned).toBeLessThan(10 * OLD);
}

it('clients and retention look at what they are about', async () => {
  await stores.database.query('VACUUM ANALYZE holdfast.saga_run, holdfast.saga_journal, holdfast.saga_mail');
  // So often that a plan for all is made, of empty tables.
  for (let time = 0; time < 7; time += 1) await lookAtAll();
  await stores.test.pool.query(
    `WITH run AS (
       INSERT INTO holdfast.saga_run (id, saga, version, key, status, finished_at)
       SELECT gen_random_uuid(), 'ended', 1, 'key-' || n, 'completed',
         now() - CASE WHEN n % ${RUNS / OLD} = 0 THEN interval '2 hours' ELSE interval '1 minute' END
       FROM generate_series(1, ${RUNS}) AS n RETURNING id)
     INSERT INTO holdfast.saga_journal (saga_id, n, events, at) SELECT id, n, '[]', now() FROM run, generate_series(0, 1) AS n`,
  );
  expectFew(await lookAtAll());
  await stores.database.query('ANALYZE holdfast.saga_run, holdfast.saga_journal, holdfast.saga_mail');
  expectFew(await lookAtAll());
  expect(await pruneSagas(stores.database, { olderThanMs: HOUR_MS })).toBe(OLD);
});
