/** What the runner of node-postgres gives back to the pool, and what it bears while a handler thinks. */
import { Pool } from 'pg';
import { afterAll, beforeAll, expect, it, onTestFinished } from 'vitest';
import { nodePostgresRunner } from '../../src/adapters/node-postgres.ts';
import { createTestDatabase, type TestDatabase } from '../support/servers.ts';

let test: TestDatabase;
beforeAll(async () => {
  test = await createTestDatabase();
});
afterAll(() => test.drop());

function poolOf(settings: object = {}): Pool {
  const pool = new Pool({ connectionString: test.url, max: 1, ...settings });
  pool.on('error', () => {});
  onTestFinished(() => pool.end());
  return pool;
}

it('a connection whose transaction may still be open serves nobody else', async () => {
  // The statement goes on at the server, and so ROLLBACK waits behind it for longer than anybody waits for ROLLBACK.
  const pool = poolOf({ query_timeout: 300 });
  await expect(nodePostgresRunner(pool).transaction((tx) => tx.query('SELECT pg_sleep(3)'))).rejects.toThrow('timeout');
  expect((await pool.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }]);
});

it('a connection that is cut while a handler thinks fails its transaction, and ends no process', async () => {
  const runner = nodePostgresRunner(poolOf());
  const cut = runner.transaction(async (tx) => {
    const { rows } = await tx.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
    const gone = new Promise((resolve) => void tx.once('end', resolve));
    await test.pool.query('SELECT pg_terminate_backend($1)', [rows[0]?.pid]);
    await gone;
  });
  await expect(cut).rejects.toThrow();
  expect(await runner.transaction(async (tx) => (await tx.query('SELECT 1 AS one')).rows)).toEqual([{ one: 1 }]);
});
