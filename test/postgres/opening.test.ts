/**
 * BEGIN sent with the first statement of whoever is lent the client: one exchange, and never a statement outside of the transaction.
 */
import pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { lendUnopened, type LentClient } from '../../src/postgres/lent-client.ts';
import { Pipeline } from '../../src/postgres/pipeline.ts';
import { startTcpProxy, type TcpProxy } from '../support/faults/tcp-proxy.ts';
import { createTestDatabase, type TestDatabase } from '../support/servers.ts';

let test: TestDatabase;
let proxy: TcpProxy;
let pool: pg.Pool;
let client: pg.PoolClient;
let pipeline: Pipeline;
let lent: LentClient<pg.PoolClient>;
/** Pieces that went to the server. */
let sent: string[] = [];

beforeAll(async () => {
  test = await createTestDatabase();
  proxy = await startTcpProxy(test.url);
  await test.pool.query('CREATE TABLE note (text text PRIMARY KEY)');
});
beforeEach(async () => {
  pool = new pg.Pool({ connectionString: proxy.url, max: 1 });
  pool.on('error', () => {});
  client = await pool.connect();
  client.on('error', () => {});
  sent = [];
  proxy.judge = (bytes) => {
    sent.push(bytes.toString('latin1'));
    return 'pass';
  };
  lendWith(['BEGIN', 'SET LOCAL statement_timeout = 7000']);
});
afterEach(async () => {
  client.release(true);
  await pool.end();
  await test.pool.query('TRUNCATE note');
});
afterAll(async () => {
  await proxy.close();
  await test.drop();
});

function lendWith(begin: readonly string[]): void {
  pipeline = new Pipeline(client);
  lent = lendUnopened(client, pipeline, begin);
}
const notes = async (): Promise<readonly string[]> =>
  (await test.pool.query<{ text: string }>('SELECT text FROM note ORDER BY text')).rows.map(({ text }) => text);
const insert = 'INSERT INTO note VALUES ($1) RETURNING text';
const status = (): string | null => client.getTransactionStatus();

/** What makes BEGIN fail, as a stray cancel would. */
const FAILING = ['BEGIN WORK WRONG'];

describe('the first statement', () => {
  it.each([
    ['a text with values', () => lent.tx.query(insert, ['one'])],
    ['a text', () => lent.tx.query("INSERT INTO note VALUES ('one') RETURNING text;")],
    ['a configuration', () => lent.tx.query({ text: insert, values: ['one'] })],
    ['a callback', () => new Promise((done, no) => lent.tx.query(insert, ['one'], (e, r) => (e ? no(e) : done(r))))],
  ])('goes with BEGIN, in one piece, and its result is its own (%s)', async (_how, ask) => {
    expect(await ask()).toMatchObject({ command: 'INSERT', rowCount: 1, rows: [{ text: 'one' }] });
    expect(sent).toHaveLength(1);
    expect(status()).toBe('T');
    expect((await lent.tx.query('SHOW statement_timeout')).rows).toEqual([{ statement_timeout: '7s' }]);
    expect(await notes()).toEqual([]);
    await client.query('COMMIT');
    expect(await notes()).toEqual(['one']);
    expect(pipeline.end()).toBe(true);
  });

  it.each([
    ['several in one text', () => lent.tx.query("INSERT INTO note VALUES ('one'); INSERT INTO note VALUES ('two')")],
    ['a prepared one', () => lent.tx.query({ name: 'first', text: insert, values: ['one'] })],
    [
      'one with a time limit',
      () => lent.tx.query({ text: "INSERT INTO note VALUES ('one')", query_timeout: 9_000 } as pg.QueryConfig),
    ],
    [
      'one that submits itself',
      () => new Promise((done) => lent.tx.query(new pg.Query(insert, ['one'], done as never))),
    ],
    ['nothing', () => lent.tx.query('')],
  ])('waits for BEGIN when it is %s', async (_what, ask) => {
    await ask();
    expect(sent[0]).toMatch(/BEGIN/);
    expect(sent[0]).not.toMatch(/note/);
    expect(status()).toBe('T');
    await client.query('ROLLBACK');
    expect(await notes()).toEqual([]);
  });

  it('may be BEGIN, which is a savepoint, and the transaction is shown as open before', async () => {
    expect(lent.tx.getTransactionStatus()).toBe('T');
    await lent.tx.query('BEGIN');
    await lent.tx.query(insert, ['one']);
    await lent.tx.query('ROLLBACK');
    await lent.tx.query(insert, ['two']);
    await client.query('COMMIT');
    expect(await notes()).toEqual(['two']);
  });

  it('may fail: what comes behind it is refused by the server, and nothing is committed', async () => {
    const [bad, behind] = await Promise.allSettled([lent.tx.query('SELECT 1 / 0'), lent.tx.query(insert, ['one'])]);
    expect(bad).toMatchObject({ status: 'rejected', reason: { code: '22012' } });
    expect(behind).toMatchObject({ status: 'rejected', reason: { code: '25P02' } });
    expect(lent.opening?.failure).toBe(null);
    expect(await client.query('COMMIT')).toMatchObject({ command: 'ROLLBACK' });
    expect(await notes()).toEqual([]);
  });

  it('leaves those behind it in their order', async () => {
    const all = ['a', 'b', 'c'].map((text) => lent.tx.query(insert, [text]));
    expect((await Promise.all(all)).map(({ rows }) => rows[0])).toEqual([{ text: 'a' }, { text: 'b' }, { text: 'c' }]);
    await client.query('COMMIT');
    expect(await notes()).toEqual(['a', 'b', 'c']);
  });
});

describe('a BEGIN that fails', () => {
  it('has nothing of the guest happen, neither what goes with it nor what is sent behind it', async () => {
    lendWith(FAILING);
    const asked = [lent.tx.query(insert, ['with']), lent.tx.query(insert, ['behind'])];
    expect((await Promise.allSettled(asked)).map((each) => each.status === 'rejected' && each.reason.code)).toEqual([
      '42601',
      '42601',
    ]);
    await lent.opening?.settled();
    expect(lent.opening?.failure).toMatchObject({ code: '42601' });
    await expect(lent.tx.query(insert, ['later'])).rejects.toMatchObject({ code: '42601' });
    await client.query('ROLLBACK');
    expect(await notes()).toEqual([]);
  });

  it('has nothing happen of what cannot go with it either', async () => {
    lendWith(FAILING);
    await expect(lent.tx.query("INSERT INTO note VALUES ('a'); SELECT 1")).rejects.toMatchObject({ code: '42601' });
    expect(await notes()).toEqual([]);
  });

  it('is known before the host sends anything, when the guest does not wait', async () => {
    lendWith(FAILING);
    lent.tx.query(insert, ['with']).catch(() => {});
    await lent.opening?.settled();
    expect(lent.opening?.failure).toMatchObject({ code: '42601' });
  });

  it('is a connection that breaks', async () => {
    proxy.judge = () => 'before';
    const asked = lent.tx.query(insert, ['one']);
    await expect(asked).rejects.toThrow(/terminated|reset/i);
    proxy.judge = () => 'pass';
    await lent.opening?.settled();
    expect(lent.opening?.failure).toBeInstanceOf(Error);
    expect(await notes()).toEqual([]);
  });
});

it('sends nothing for a guest that asks for nothing, and refuses what was still to be sent', async () => {
  expect(lent.opening?.isUnsent).toBe(true);
  lent.tx.query(insert, ['one']).catch(() => {});
  const held = lent.tx.query(insert, ['two']);
  lent.takeBack();
  await expect(held).rejects.toThrow(/handler is over/);
  expect(lent.trouble()?.message).toMatch(/had not been sent/);
  await client.query('ROLLBACK');
});
