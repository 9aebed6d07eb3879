import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { isStorableText } from '../../src/message/text.ts';
import { LANES, laneOf } from '../../src/outbox/lane.ts';
import { createTestDatabase, type TestDatabase } from '../support/servers.ts';

let server: TestDatabase;
beforeAll(async () => {
  server = await createTestDatabase({ migrate: true });
});
afterAll(async () => {
  await server.drop();
});

test('the lane is the same in JavaScript and in SQL, and one of 1024', async () => {
  const keys = fc.sample(fc.string({ unit: 'binary', minLength: 1 }).filter(isStorableText), 500);
  const { rows } = await server.pool.query<{ lane: number }>(
    'SELECT holdfast.lane_of(key) AS lane FROM unnest($1::text[]) WITH ORDINALITY AS k (key, n) ORDER BY n',
    [keys],
  );
  expect(keys.map(laneOf)).toEqual(rows.map((row) => row.lane));
  expect(rows.every((row) => row.lane >= 0 && row.lane < LANES)).toBe(true);
  expect(new Set(keys.map(laneOf)).size).toBeGreaterThan(100);
});

test('the lane of a key never changes', () => {
  expect([laneOf('o-1'), laneOf('ключ')]).toEqual([189, 483]);
});
