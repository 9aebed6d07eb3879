/** The migration that sets storage parameters leaves those that an operator has set, and waits for nobody who reads or writes. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { openDatabase, type Database } from '../../src/postgres/database.ts';
import { migrate } from '../../src/postgres/migrator.ts';
import { createTestDatabase, type TestDatabase } from '../support/servers.ts';

let test: TestDatabase;
let database: Database;
beforeAll(async () => {
  test = await createTestDatabase();
  database = openDatabase({ pool: test.pool });
  await migrate(database, { to: BEFORE });
});
afterAll(() => test.drop());

/** The version before the one that sets them. */
const BEFORE = 9;

async function optionsOf(table: string): Promise<readonly string[]> {
  const { rows } = await test.pool.query<{ options: string[] | null }>(
    'SELECT reloptions AS options FROM pg_class WHERE oid = $1::regclass',
    [`holdfast.${table}`],
  );
  return (rows[0]?.options ?? []).toSorted();
}

it('sets what nobody has set, under load', async () => {
  await test.pool.query('ALTER TABLE holdfast.outbox SET (autovacuum_vacuum_scale_factor = 0.5)');
  const writer = await test.pool.connect();
  try {
    // As any service that is in the middle of a transaction.
    await writer.query(
      `BEGIN; SELECT holdfast.send('note.taken', '{}'); LOCK TABLE holdfast.saga_run IN ROW EXCLUSIVE MODE`,
    );
    await migrate(database, { to: BEFORE + 1 });
    await writer.query('COMMIT');
  } finally {
    writer.release();
  }
  expect(await optionsOf('outbox')).toEqual([
    'autovacuum_vacuum_cost_limit=2000',
    'autovacuum_vacuum_scale_factor=0.5',
  ]);
  expect(await optionsOf('saga_run')).toEqual([
    'autovacuum_vacuum_cost_limit=2000',
    'autovacuum_vacuum_scale_factor=0.05',
    'fillfactor=80',
  ]);
  expect(await optionsOf('key_head')).toEqual(['fillfactor=70']);
});
