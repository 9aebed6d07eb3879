import { Kysely, PostgresDialect } from 'kysely';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { openTransaction, toExecutor, type TransactionHandle } from '../../src/postgres/executor.ts';
import { eventually } from '../support/eventually.ts';
import { createTestDatabase, type TestDatabase } from '../support/servers.ts';

let server: TestDatabase;
let client: pg.Client;
let kysely: Kysely<Record<string, never>>;

beforeAll(async () => {
  server = await createTestDatabase();
  kysely = new Kysely({
    dialect: new PostgresDialect({ pool: new pg.Pool({ connectionString: server.url, max: 2 }) }),
  });
});
afterAll(async () => {
  await kysely.destroy();
  await server.drop();
});
beforeEach(async () => {
  client = new pg.Client(server.url);
  await client.connect();
});
afterEach(async () => {
  await client.end();
});

const NOT_IN_TRANSACTION = expect.objectContaining({ code: 'HF_NOT_IN_TRANSACTION' });

describe('a client of node-postgres', () => {
  test('runs statements with parameters in its transaction', async () => {
    await client.query('BEGIN');
    expect(await toExecutor(client)('SELECT $1::int + 1 AS sum', [41])).toEqual([{ sum: 42 }]);
    expect(openTransaction(client).showsTransaction()).toBe(true);
  });

  test('is refused when idle, before BEGIN and after COMMIT', async () => {
    expect(() => toExecutor(client)).toThrow(NOT_IN_TRANSACTION);
    await client.query('BEGIN');
    await client.query('COMMIT');
    expect(() => toExecutor(client)).toThrow(NOT_IN_TRANSACTION);
  });

  test('is refused when its transaction is aborted, and says so', async () => {
    await client.query('BEGIN');
    await client.query('SELECT 1/0').catch(() => undefined);
    // The driver rejects at the error, a moment before the server says that it is ready and in what state.
    await eventually('the state of the transaction', async () => client.getTransactionStatus() === 'E');
    expect(() => toExecutor(client)).toThrow(/aborted/);
    await client.query('ROLLBACK');
  });

  test('shows nothing while a statement is under way, which may be BEGIN or COMMIT', async () => {
    const begin = client.query('BEGIN');
    expect(openTransaction(client).showsTransaction()).toBe(false);
    await begin;
    const commit = client.query('COMMIT');
    expect(openTransaction(client).showsTransaction()).toBe(false);
    await commit;
  });

  test('shows nothing when the driver is too old to tell', () => {
    const old = { query: async () => ({ rows: [] }), escapeIdentifier: (text: string) => text };
    expect(openTransaction(old).showsTransaction()).toBe(false);
  });

  test('from a pool is fine, and the pool itself is refused', async () => {
    const pooled = await server.pool.connect();
    await pooled.query('BEGIN');
    expect(openTransaction(pooled).showsTransaction()).toBe(true);
    await pooled.query('ROLLBACK');
    pooled.release();
    expect(() => toExecutor(server.pool as unknown as TransactionHandle)).toThrow(/pool\.connect\(\)/);
  });
});

describe('Kysely', () => {
  test('a Transaction runs statements, also with plugins and another schema', async () => {
    await kysely.transaction().execute(async (trx) => {
      expect(await toExecutor(trx.withSchema('other'))('SELECT $1::text AS text', ['hello'])).toEqual([
        { text: 'hello' },
      ]);
    });
  });

  test('a ControlledTransaction does so until it has ended', async () => {
    const committed = await kysely.startTransaction().execute();
    expect(await toExecutor(committed)('SELECT 1 AS one', [])).toEqual([{ one: 1 }]);
    await committed.commit().execute();
    expect(() => toExecutor(committed)).toThrow(/already committed/);

    const rolledBack = await kysely.startTransaction().execute();
    await rolledBack.rollback().execute();
    expect(() => toExecutor(rolledBack)).toThrow(/already rolled back/);
  });

  test('an instance that is no transaction is refused', () => {
    expect(() => toExecutor(kysely as unknown as TransactionHandle)).toThrow(NOT_IN_TRANSACTION);
  });
});

test('a function is taken as it is, and shows nothing', async () => {
  const execute = async (): Promise<readonly { one: number }[]> => [{ one: 1 }];
  expect(toExecutor(execute)).toBe(execute);
  expect(openTransaction(execute).showsTransaction()).toBe(false);
});

test.each([undefined, null, 'tx', 1, {}, new Date(), { query: 'no function' }])('%j is of no known kind', (handle) => {
  expect(() => toExecutor(handle as unknown as TransactionHandle)).toThrow(
    expect.objectContaining({ code: 'HF_TX_UNSUPPORTED' }),
  );
});
