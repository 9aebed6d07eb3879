/** The time that the store on PostgreSQL tells: whole milliseconds that have passed, so that no timer goes off early by it. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { SQL_NOW } from '../../src/saga/store/postgres/store-queries.ts';
import { openPostgresStores, type PostgresStores } from './postgres-stores.ts';

let stores: PostgresStores;
beforeAll(async () => {
  stores = await openPostgresStores();
});
afterAll(() => stores.dispose());

it('is never ahead of the clock, nor a millisecond behind it', async () => {
  const { rows } = await stores.database.query<{ ahead: number; behind: number }>(
    `SELECT count(*) FILTER (WHERE told > after)::int AS ahead, count(*) FILTER (WHERE told + 1 <= before)::int AS behind
     FROM (SELECT extract(epoch FROM clock_timestamp()) * 1000 AS before, ${SQL_NOW} AS told,
       extract(epoch FROM clock_timestamp()) * 1000 AS after FROM generate_series(1, 10000) OFFSET 0) AS looks`,
  );
  expect(rows).toEqual([{ ahead: 0, behind: 0 }]);
});
