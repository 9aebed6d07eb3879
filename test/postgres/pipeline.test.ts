/**
 * Statements that do not wait for the answers before: what is sent when, what cannot share the connection, and that nothing of it is
 * left on the connection.
 */
import pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { lend } from '../../src/postgres/lent-client.ts';
import { Pipeline } from '../../src/postgres/pipeline.ts';
import { createTestDatabase, type TestDatabase } from '../support/servers.ts';
import { startTcpProxy, type TcpProxy } from '../support/faults/tcp-proxy.ts';

let test: TestDatabase;
let proxy: TcpProxy;
let pool: pg.Pool;
let client: pg.PoolClient;
const warned: string[] = [];

const onWarning = (warning: Error): void => void warned.push(warning.message);

beforeAll(async () => {
  test = await createTestDatabase();
  proxy = await startTcpProxy(test.url);
  await test.pool.query('CREATE TABLE note (text text PRIMARY KEY)');
});
beforeEach(async () => {
  warned.length = 0;
  process.on('warning', onWarning);
  pool = new pg.Pool({ connectionString: proxy.url, max: 1 });
  pool.on('error', () => {});
  client = await pool.connect();
  client.on('error', () => {});
});
afterEach(async () => {
  await new Promise(setImmediate);
  process.off('warning', onWarning);
  client.release(true);
  await pool.end();
  await test.pool.query('TRUNCATE note');
});
afterAll(async () => {
  await proxy.close();
  await test.drop();
});

/** How many of `statements` went out before the first answer. */
async function sentAtOnce(act: () => readonly Promise<unknown>[]): Promise<number> {
  const { connection } = client as unknown as { connection: { sync(): void; query(text: string): void } };
  const sent = [vi.spyOn(connection, 'sync'), vi.spyOn(connection, 'query')];
  const answers = act();
  const count = sent.reduce((sum, { mock }) => sum + mock.calls.length, 0);
  await Promise.allSettled(answers);
  for (const spy of sent) spy.mockRestore();
  return count;
}

const three = (): readonly Promise<unknown>[] => [
  client.query('BEGIN'),
  client.query('INSERT INTO note VALUES ($1)', ['one']),
  client.query('COMMIT'),
];

/** As pg-cursor: reads some rows, keeps its portal open, and reads on. */
function cursor(text: string, events: string[]): pg.Query & { readonly over: Promise<void> } {
  let resolve = (): void => {};
  const promise = new Promise<void>((done) => (resolve = done));
  const query = new pg.Query({ text, rows: 2 } as never, [] as never) as unknown as pg.Query;
  query.on('row', (row: { n: number }) => events.push(`row ${row.n}`));
  query.on('end', () => resolve());
  query.on('error', (error: Error) => {
    events.push(error.message);
    resolve();
  });
  return Object.assign(query, { over: promise });
}

describe('a pipeline', () => {
  it('sends without waiting, and leaves the client as it was', async () => {
    const pipeline = new Pipeline(client);
    expect(pipeline.isOn).toBe(true);
    expect(await sentAtOnce(three)).toBe(3);
    expect(pipeline.end()).toBe(true);
    expect(client.pipeline).toBe(false);
    await test.pool.query('TRUNCATE note');
    process.off('warning', onWarning);
    expect(await sentAtOnce(() => [client.query('SELECT 1'), client.query('SELECT 2')])).toBe(1);
  });

  it('answers COMMIT with ROLLBACK behind a statement that has failed', async () => {
    await test.pool.query("INSERT INTO note VALUES ('one')");
    const pipeline = new Pipeline(client);
    const insert = { text: 'INSERT INTO note VALUES ($1)', values: ['one'] };
    const results = await sendInOrder(client, pipeline, ['BEGIN', insert, 'COMMIT']);
    expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
    expect(results[2]).toMatchObject({ value: { command: 'ROLLBACK' } });
    expect(pipeline.end()).toBe(true);
  });

  it('cannot be ended while several are without an answer: that connection must serve nobody else', async () => {
    const pipeline = new Pipeline(client);
    const answers = [client.query('SELECT pg_sleep(0.1)'), client.query('SELECT 1'), client.query('SELECT 2')];
    expect(pipeline.end()).toBe(false);
    await Promise.all(answers);
    expect(pipeline.end()).toBe(true);
    expect((await client.query('SELECT 3 AS n')).rows).toEqual([{ n: 3 }]);
  });

  it('is none with a driver that has no such mode, or a connection with a time limit: one waits for the other, unwarned', async () => {
    Reflect.deleteProperty(client, 'pipeline');
    const old = new Pipeline(client);
    expect(old.isOn).toBe(false);
    const results = await sendInOrder(client, old, ['BEGIN', "INSERT INTO note VALUES ('one')", 'COMMIT']);
    expect(results.map((each) => each.status === 'fulfilled' && each.value.command)).toEqual([
      'BEGIN',
      'INSERT',
      'COMMIT',
    ]);
    expect(old.end()).toBe(true);
    expect('pipeline' in client).toBe(false);
    const limited = new pg.Client({ connectionString: test.url, query_timeout: 60_000 });
    await limited.connect();
    expect(new Pipeline(limited).isOn).toBe(false);
    await limited.end();
    expect(warned).toEqual([]);
  });

  it('rejects all that is under way when the connection is cut', async () => {
    const pipeline = new Pipeline(client);
    const answers = Promise.allSettled([
      client.query('BEGIN'),
      client.query('SELECT pg_sleep(30)'),
      client.query('COMMIT'),
    ]);
    proxy.cutAll();
    expect((await answers).map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected']);
    expect(pipeline.end()).toBe(true);
    await expect(client.query('SELECT 1')).rejects.toThrow(/not queryable/);
  });
});

describe('a client lent with its pipeline', () => {
  it('sends what is asked for at the same time at once, unwarned', async () => {
    const { tx } = lend(client, new Pipeline(client));
    expect(
      await sentAtOnce(() => ['a', 'b', 'c'].map((text) => tx.query('INSERT INTO note VALUES ($1)', [text]))),
    ).toBe(3);
    expect(warned).toEqual([]);
  });

  it('lets a cursor have the connection to itself, in its turn, and those behind it wait', async () => {
    const events: string[] = [];
    const pipeline = new Pipeline(client);
    const lent = lend(client, pipeline);
    const { tx } = lent;
    await client.query('BEGIN');
    const before = ['one', 'two'].map((text) =>
      tx.query('INSERT INTO note VALUES ($1)', [text]).then(() => events.push(text)),
    );
    const reading = cursor(
      'SELECT count(*)::int + i AS n FROM note, generate_series(1, 5) AS i GROUP BY i ORDER BY 1',
      events,
    );
    expect(tx.query(reading)).toBe(reading);
    const behind = tx.query("INSERT INTO note VALUES ('three') RETURNING text").then(() => events.push('three'));
    tx.query({ text: 'SELECT 1', values: [] }, () => events.push('called back'));
    await Promise.all([...before, reading.over, behind]);
    await client.query('COMMIT');
    expect(events).toEqual(['one', 'two', 'row 3', 'row 4', 'row 5', 'row 6', 'row 7', 'three', 'called back']);
    expect(pipeline.isOn).toBe(false);
    lent.takeBack();
    expect(pipeline.end()).toBe(true);
  });

  it('keeps the time limit of a statement to that statement', async () => {
    const { tx } = lend(client, new Pipeline(client));
    await tx.query('SELECT 1');
    const limited = { text: 'SELECT pg_sleep(0.5)', query_timeout: 50 };
    await expect(tx.query(limited)).rejects.toThrow(/timeout/);
    expect((await tx.query('SELECT 2 AS n')).rows).toEqual([{ n: 2 }]);
  });

  it('never sends what still waited behind a cursor when it was taken back, and says that nothing may be committed', async () => {
    const pipeline = new Pipeline(client);
    const lent = lend(client, pipeline);
    await client.query('BEGIN');
    const sent = [lent.tx.query("INSERT INTO note VALUES ('sent')"), lent.tx.query('SELECT pg_sleep(0.1)')];
    lent.tx.query(cursor('SELECT 1 AS n', []));
    const late = lent.tx.query("INSERT INTO note VALUES ('late')");
    lent.takeBack();
    await expect(late).rejects.toThrow(/The handler is over/);
    expect(lent.trouble()?.message).toMatch(/had not been sent/);
    await client.query('ROLLBACK');
    await Promise.all(sent);
    expect(pipeline.end()).toBe(true);
    expect((await test.pool.query('SELECT * FROM note')).rows).toEqual([]);
  });

  it('refuses what waited behind a cursor when the connection is cut', async () => {
    const pipeline = new Pipeline(client);
    const { tx } = lend(client, pipeline);
    const events: string[] = [];
    const sent = Promise.allSettled([tx.query('SELECT pg_sleep(30)'), tx.query('SELECT 1')]);
    const reading = cursor('SELECT 1 AS n', events);
    tx.query(reading);
    const late = tx.query('SELECT 2');
    late.catch(() => {});
    proxy.cutAll();
    await sent;
    await expect(late).rejects.toThrow(/not queryable/);
    await reading.over;
    expect(events).toHaveLength(1);
  });
});

/** Sends statements one behind the other, waiting for answers only where the pipeline is not on, and resolves with what became of each. */
async function sendInOrder(
  on: pg.Client,
  pipeline: Pipeline,
  statements: readonly (string | pg.QueryConfig)[],
): Promise<readonly PromiseSettledResult<pg.QueryResult>[]> {
  const send = (statement: string | pg.QueryConfig): Promise<pg.QueryResult> => on.query(statement as string);
  if (pipeline.isOn) return Promise.allSettled(statements.map(send));
  const results: PromiseSettledResult<pg.QueryResult>[] = [];
  for (const statement of statements) results.push(...(await Promise.allSettled([send(statement)])));
  return results;
}
