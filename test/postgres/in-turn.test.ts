/** Statements of several parts of a process on one connection. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { openDatabase, type Database } from '../../src/postgres/database.ts';
import { inTurn } from '../../src/postgres/in-turn.ts';
import { createTestDatabase, type TestDatabase } from '../support/servers.ts';

let test: TestDatabase;
let database: Database;
beforeAll(async () => {
  test = await createTestDatabase();
  database = openDatabase({ url: test.url });
});
afterAll(async () => {
  await database.close();
  await test.drop();
});

it('runs statements given at once one after the other, also behind one that fails, and the driver has nothing to say', async () => {
  const warnings: Error[] = [];
  const warned = (warning: Error) => void warnings.push(warning);
  process.on('warning', warned);
  const client = inTurn(await database.dedicatedConnection({ onLost: () => {} }));
  const settled = await Promise.allSettled([
    client.query('BEGIN'),
    client.query('CREATE TABLE t (n integer)'),
    client.query('INSERT INTO t SELECT generate_series(1, $1::int)', [3]),
    client.query('COMMIT'),
    client.query('SELECT 1 / 0'),
    client.query({ name: 'sum', text: 'SELECT sum(n)::int AS sum FROM t' }),
  ]);
  expect(settled.map(({ status }) => status === 'fulfilled')).toEqual([true, true, true, true, false, true]);
  expect(settled[5]).toMatchObject({ value: { rows: [{ sum: 6 }] } });
  process.off('warning', warned);
  expect(warnings).toEqual([]);
  await client.end();
});

it('rejects what waits when the connection is ended', async () => {
  const client = inTurn(await database.dedicatedConnection({ onLost: () => {} }));
  const sleeping = client.query('SELECT pg_sleep(600)');
  const waiting = client.query('SELECT 1');
  // Sent by now.
  await new Promise((resolve) => {
    setImmediate(resolve);
  });
  const ended = client.end();
  await expect(sleeping).rejects.toThrow(/terminated|closed/i);
  await expect(waiting).rejects.toThrow(/terminated|closed/i);
  await ended;
});
