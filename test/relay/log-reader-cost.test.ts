/** What a poll of the log costs the database: it must not grow with the log. */
import { afterAll, beforeAll, expect, it, onTestFinished } from 'vitest';
import type { Client } from 'pg';
import { openDatabase, type Database } from '../../src/postgres/database.ts';
import type { Cursor } from '../../src/relay/log/cursor.ts';
import { createLogReader, LOG_READER_SETTINGS, type LogReader } from '../../src/relay/log/log-reader.ts';
import { createTestDatabase, type TestDatabase } from '../support/servers.ts';

const ROWS = 5_000;
let test: TestDatabase;
let database: Database;
let client: Client;
let reader: LogReader;

beforeAll(async () => {
  test = await createTestDatabase({ migrate: true });
  database = openDatabase({ url: test.url });
  client = await database.dedicatedConnection({ onLost: () => {} });
  await client.query(LOG_READER_SETTINGS);
  reader = createLogReader(client, 'holdfast', { topics: undefined, shard: 0, shards: 1 });
});
afterAll(async () => {
  await client.end();
  await database.close();
  await test.drop();
});

/** Rows of the outbox that reading from there looks at, wanted or not. */
async function rowsLookedAt(cursor: Cursor): Promise<{ found: number; lookedAt: number }> {
  await client.query('BEGIN');
  // Counts of earlier transactions may still be in it.
  const before = await fetched();
  const { entries } = await reader.read(cursor, 100);
  const lookedAt = (await fetched()) - before;
  await client.query('COMMIT');
  return { found: entries.length, lookedAt };
}

async function fetched(): Promise<number> {
  const { rows } = await client.query<{ fetched: string }>(
    `SELECT idx_tup_fetch + seq_tup_read AS fetched FROM pg_stat_xact_user_tables WHERE schemaname = 'holdfast' AND relname = 'outbox'`,
  );
  return Number(rows[0]?.fetched);
}

it.each([
  ['without statistics', ''],
  ['with statistics', 'ANALYZE holdfast.outbox'],
])('a poll at the end of a long log looks at no row of it, a late one is found alone (%s)', async (_, prepare) => {
  const late = await database.dedicatedConnection({ onLost: () => {} });
  onTestFinished(() => late.end());
  await late.query('BEGIN');
  await late.query(`SELECT holdfast.send('late', '{}')`);
  for (let transaction = 0; transaction < 5; transaction += 1) {
    await database.query(`SELECT holdfast.send('early', '{}') FROM generate_series(1, $1)`, [ROWS / 5]);
  }
  if (prepare !== '') await database.query(prepare);
  const { rows } = await database.query<{ snapshot: string; high: string }>(
    'SELECT pg_current_snapshot()::text AS snapshot, (SELECT max(seq) FROM holdfast.outbox) AS high',
  );
  const end = { snapshot: String(rows[0]?.snapshot), high: Number(rows[0]?.high), catchup: null, floor: 0 };
  expect(await rowsLookedAt(end)).toEqual({ found: 0, lookedAt: 0 });
  await late.query('COMMIT');
  const after = await rowsLookedAt(end);
  expect(after.found).toBe(1);
  expect(after.lookedAt).toBeLessThan(10);
});
