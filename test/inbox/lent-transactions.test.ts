/**
 * Transactions of an ORM's or a repository's own inside that of a handler: within it they are savepoints, and none of them ends it.
 */
import { Kysely, PostgresDialect, sql } from 'kysely';
import { Pool, type PoolClient } from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createConsumer } from '../../src/inbox/consumer.ts';
import { on } from '../../src/inbox/handlers/handler.ts';
import type { Row } from '../../src/postgres/executor.ts';
import { openDatabase } from '../../src/postgres/database.ts';
import { createMemoryTransport } from '../../src/transport/memory.ts';
import { clean, delivery, openLab, Placed, wire, type Lab } from './lab.ts';

let lab: Lab;
beforeAll(async () => {
  lab = await openLab();
});
beforeEach(() => clean(lab));
afterAll(() => lab.dispose());

const write = (tx: { query: PoolClient['query'] }, id: string, note: string): Promise<unknown> =>
  tx.query('INSERT INTO effect (id, note) VALUES ($1, $2)', [id, note]);
const notes = async (): Promise<readonly string[]> => (await lab.effects()).map(({ note }) => note);

/** Hands each message to `handle` once; resolves with what is parked. */
async function handleOnce(handle: (tx: PoolClient, id: string) => unknown): Promise<string | null> {
  const shipping = lab.make({
    retry: { attempts: 1 },
    handlers: [on(Placed, async (_order, { tx, message }) => void (await handle(tx, message.id)))],
  });
  const sent = wire();
  expect(await shipping.handle(delivery(sent))).toEqual({ kind: 'done' });
  return (await lab.parked(sent.id))[0]?.error ?? null;
}

/** As drizzle, Knex and repositories written by hand open one. */
async function inner(tx: PoolClient, fn: () => Promise<unknown>, begin = 'begin'): Promise<void> {
  await tx.query({ text: begin, values: [] });
  try {
    await fn();
    await tx.query({ name: 'end', text: 'commit' });
  } catch (error) {
    await tx.query({ text: 'rollback' });
    throw error;
  }
}

describe('a transaction inside', () => {
  it('does not commit the mark: what the handler does before and after it fails or succeeds as a whole', async () => {
    const error = await handleOnce(async (tx, id) => {
      await inner(tx, () => write(tx, id, 'inner'));
      throw new Error('after the inner transaction');
    });
    expect(error).toMatch(/after the inner transaction/);
    expect(await notes()).toEqual([]);
    await handleOnce(async (tx, id) => {
      await inner(tx, () => write(tx, id, 'inner'), 'START TRANSACTION ISOLATION LEVEL READ COMMITTED;');
      await write(tx, id, 'outer');
    });
    expect(await notes()).toEqual(['inner', 'outer']);
    expect(await lab.count('inbox')).toBe(2);
  });

  it('is rolled back alone, two deep as well, also after a statement has failed in it', async () => {
    await handleOnce(async (tx, id) => {
      await write(tx, id, 'outer');
      await inner(tx, async () => {
        await write(tx, id, 'kept');
        await inner(tx, async () => {
          await write(tx, id, 'compensated');
          await tx.query('SELECT 1 / 0');
        }).catch(() => {});
      });
      await inner(tx, async () => {
        await write(tx, id, 'compensated too');
        throw new Error('on purpose');
      }).catch(() => {});
    });
    expect(await notes()).toEqual(['outer', 'kept']);
  });

  it('may stand in one text with its statements, with callbacks, and be told of the command it asked for', async () => {
    const commands: unknown[] = [];
    await handleOnce(async (tx, id) => {
      await tx.query(`BEGIN; INSERT INTO effect (id, note) VALUES ('${id}', 'text; COMMIT'); COMMIT`);
      commands.push((await tx.query('BEGIN')).command);
      await new Promise<void>((resolve, reject) => {
        tx.query('ROLLBACK', (error, result) => {
          commands.push(result.command);
          if (error === undefined || error === null) resolve();
          else reject(error);
        });
      });
    });
    expect(await notes()).toEqual(['text; COMMIT']);
    expect(commands).toEqual(['BEGIN', 'ROLLBACK']);
  });

  it('reads only when it says so, and what comes after it writes', async () => {
    const error = await handleOnce(async (tx, id) => {
      await inner(tx, () => tx.query('SELECT 1'), 'BEGIN READ ONLY');
      await write(tx, id, 'after');
    });
    expect(error).toBeNull();
    expect(await notes()).toEqual(['after']);
  });

  it('of Kysely, on the client it was lent', async () => {
    await handleOnce(async (tx, id) => {
      const client = { query: tx.query.bind(tx), release: () => {} };
      const db = new Kysely<object>({
        dialect: new PostgresDialect({ pool: { connect: async () => client, end: async () => {}, options: {} } }),
      });
      const add = (note: string): Promise<unknown> =>
        db.transaction().execute((trx) => sql`INSERT INTO effect (id, note) VALUES (${id}, ${note})`.execute(trx));
      await add('one');
      await db
        .transaction()
        .execute(async (trx) => {
          await sql`INSERT INTO effect (id, note) VALUES (${id}, 'two')`.execute(trx);
          throw new Error('on purpose');
        })
        .catch(() => {});
    });
    expect(await notes()).toEqual(['one']);
  });
});

describe('the transaction outside', () => {
  it.each([
    'COMMIT',
    'rollback',
    '/* x */ END',
    'SELECT 1; COMMIT',
    'BEGIN; COMMIT; COMMIT',
    "PREPARE TRANSACTION 'p'",
    'BEGIN ISOLATION LEVEL SERIALIZABLE',
  ])('is not ended by %j, also when the handler swallows the error: parked with what to do', async (text) => {
    const error = await handleOnce(async (tx, id) => {
      await write(tx, id, 'before');
      await tx.query(text).catch(() => {});
      await write(tx, id, 'after');
    });
    expect(error).toMatch(/HF_PERMANENT.*(Return to commit|isolation level)/s);
    expect(await notes()).toEqual([]);
  });

  it('nor by a callback, a cursor, or a transaction that is left open', async () => {
    expect(
      await handleOnce((tx) => new Promise<void>((_resolve, reject) => tx.query('COMMIT', (error) => reject(error)))),
    ).toMatch(/Return to commit/);
    const cursor = { text: 'COMMIT', submit() {} };
    expect(await handleOnce((tx) => tx.query(cursor as never))).toMatch(/HF_PERMANENT/);
    expect(await handleOnce((tx) => tx.query('BEGIN'))).toMatch(/neither committed nor rolled back/);
    expect(await handleOnce((tx) => tx.query('SET TRANSACTION READ ONLY'))).toMatch(/READ ONLY/);
  });
});

describe('a runner', () => {
  const make = (
    pool: Pool,
    transaction: 'real' | 'none',
    handle: (tx: PoolClient, id: string) => Promise<unknown>,
    own = false,
  ) =>
    createConsumer<PoolClient>('shipping', {
      runner: {
        async transaction(fn) {
          const client = await pool.connect();
          try {
            if (transaction === 'real') await client.query('BEGIN');
            const result = await fn(own ? ({ query: client.query.bind(client) } as PoolClient) : client);
            if (transaction === 'real') await client.query('COMMIT');
            return result;
          } catch (error) {
            if (transaction === 'real') await client.query('ROLLBACK');
            throw error;
          } finally {
            client.release();
          }
        },
        execute: async (tx, text, parameters) => (await tx.query(text, [...parameters])).rows as readonly Row[],
      },
      transport: createMemoryTransport(),
      random: () => 0,
      retry: { attempts: 1 },
      handlers: (onTx) => [onTx(Placed, async (_order, { tx, message }) => void (await handle(tx, message.id)))],
    });

  it('that opens no transaction is refused before anything is written, and its messages go back', async () => {
    let ran = 0;
    const pool = new Pool({ connectionString: lab.test.url, max: 2 });
    const shipping = make(pool, 'none', async () => void (ran += 1));
    await expect(shipping.start()).rejects.toMatchObject({ code: 'HF_CONFIG' });
    const stopping = AbortSignal.abort();
    expect(await shipping.handle(delivery(wire(), { signal: stopping }))).toMatchObject({ kind: 'later' });
    expect([ran, await lab.count('inbox')]).toEqual([0, 0]);
    await pool.end();
  });

  it('with a client of node-postgres lends it like our own', async () => {
    const pool = new Pool({ connectionString: lab.test.url, max: 2 });
    const shipping = make(pool, 'real', async (tx, id) => {
      await inner(tx, () => write(tx, id, 'inner'));
      throw new Error('after it');
    });
    const sent = wire();
    await shipping.handle(delivery(sent));
    expect(await notes()).toEqual([]);
    expect((await lab.parked(sent.id))[0]?.error).toMatch(/after it/);
    await pool.end();
  });

  it.each(['throws', 'returns'])(
    'whose transaction the handler ended where nobody could see it, and then %s, parks the message in spite of its mark',
    async (end) => {
      const pool = new Pool({ connectionString: lab.test.url, max: 2 });
      const shipping = make(
        pool,
        'real',
        async (tx, id) => {
          await write(tx, id, 'committed');
          await tx.query('COMMIT');
          if (end === 'throws') throw new Error('the second effect is gone');
        },
        true,
      );
      const sent = wire();
      await shipping.handle(delivery(sent));
      expect((await lab.parked(sent.id))[0]?.error).toMatch(/ended the transaction/);
      await pool.end();
    },
  );
});

describe('what a handler changes of the session', () => {
  it.each([
    [
      'search_path',
      'CREATE SCHEMA tenant_b; SET search_path = tenant_b',
      "current_setting('search_path')",
      '"$user", public',
    ],
    ['role', 'SET ROLE pg_monitor', 'current_user', null],
    [
      'temporary tables',
      'CREATE TEMP TABLE effect (id uuid, note text)',
      "to_regclass('effect')::oid = to_regclass('public.effect')::oid",
      'true',
    ],
    [
      'locks',
      'SELECT pg_advisory_lock(42)',
      "(SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid())",
      '0',
    ],
    ['LISTEN', 'LISTEN gossip', '(SELECT count(*) FROM pg_listening_channels())', '0'],
    ['prepared statements', 'PREPARE q AS SELECT 1', '(SELECT count(*) FROM pg_prepared_statements)', '0'],
  ])('is not there for the next: %s', async (_what, change, look, expected) => {
    const database = openDatabase({ url: lab.test.url, max: 1 });
    const seen: unknown[] = [];
    const shipping = lab.make({
      database,
      concurrency: 1,
      handlers: [
        on(Placed, async (order, { tx }) => {
          if (order.n === 0) await tx.query(change);
          seen.push((await tx.query(`SELECT (${look})::text AS seen`)).rows[0]?.seen);
        }),
      ],
    });
    for (const n of [1, 0, 2]) await shipping.handle(delivery(wire({ data: { orderId: 'o', n } })));
    expect(seen[2]).toBe(expected ?? seen[0]);
    await lab.test.pool.query('DROP SCHEMA IF EXISTS tenant_b');
    await database.close();
  });

  it('costs those nothing that change none: one connection serves them all', async () => {
    const database = openDatabase({ url: lab.test.url, max: 1 });
    const pids = new Set<unknown>();
    const shipping = lab.make({
      database,
      handlers: [
        on(Placed, async (_order, { tx }) => {
          await tx.query("SET LOCAL search_path = public; UPDATE effect SET note = 'SET x; LISTEN y'");
          pids.add((await tx.query('SELECT pg_backend_pid() AS pid')).rows[0]?.pid);
        }),
      ],
    });
    for (let n = 0; n < 3; n += 1) await shipping.handle(delivery(wire()));
    expect(pids.size).toBe(1);
    await database.close();
  });
});
