/** Keys, errors and payloads that hold what a terminal obeys: no verb lets it through, as text or as JSON. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openDatabase, type Database } from '../../src/postgres/database.ts';
import { createTestDatabase, type TestDatabase } from '../support/servers.ts';
import { holdfast } from './process.ts';

const KEY = 'o-1\u001B[2J\u001B]0;owned\u0007\u009B31m\u202E';
/** All but line feed and the line ends of help. */
// eslint-disable-next-line no-control-regex
const OBEYED = /[\u0000-\u0009\u000B-\u001F\u007F-\u009F\u202A-\u202E]/;

let test: TestDatabase;
let database: Database;
const RUN = '01900000-0000-7000-8000-000000000001';
beforeAll(async () => {
  test = await createTestDatabase({ migrate: true });
  database = openDatabase({ url: test.url });
  await database.query(`SELECT holdfast.send('order.placed', to_jsonb($1::text), key => $1)`, [KEY]);
  await database.query(`SELECT holdfast.start_runs($1, false)`, [
    JSON.stringify([{ id: RUN, saga: 'place-order', version: 1, key: KEY, input: { note: KEY } }]),
  ]);
  await database.query(
    `INSERT INTO holdfast.parked_message (subscription, seq, id, topic, key, lane, state, reason, error)
     SELECT 'default', seq, id, topic, key, lane, 'failed', 'refused', $1 FROM holdfast.outbox`,
    [`refused: ${KEY}`],
  );
});
afterAll(async () => {
  await database.close();
  await test.drop();
});

describe('what others wrote', () => {
  it.each([
    ['outbox', 'ls'],
    ['outbox', 'show', KEY],
    ['parked', 'ls'],
    ['status'],
    ['doctor'],
    ['saga', 'ls'],
    ['saga', 'show', RUN],
    ['saga', 'show', '--key', KEY],
    ['saga', 'cancel', RUN, '--reason', KEY],
    ['parked', 'discard', '--key', KEY, '--reason', 'test', '--yes'],
  ])('%s %s shows it and does not do it', async (...args) => {
    for (const options of [[], ['--json']]) {
      // oxlint-disable-next-line no-await-in-loop
      const { stdout, stderr } = await holdfast([...args, ...options], { env: { DATABASE_URL: test.url } });
      expect(stdout + stderr).not.toBe('');
      expect(stdout).not.toMatch(OBEYED);
      expect(stderr).not.toMatch(OBEYED);
    }
  });
});
