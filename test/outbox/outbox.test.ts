/** What the writer writes and what it refuses. Handles and their transactions: handles.test.ts. */
import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { message } from '../../src/message/message-type.ts';
import { laneOf } from '../../src/outbox/lane.ts';
import { createOutbox, item, type OutboxItem, type OutboxOptions } from '../../src/outbox/outbox.ts';
import type { SqlExecutor, TransactionHandle } from '../../src/postgres/executor.ts';
import { client, Keyless, OrderPlaced, outbox, scheduled, server, stored, untold, useOutbox } from './lab.ts';

useOutbox();

describe('send', () => {
  test('stores the message with the transaction, and nothing before the commit', async () => {
    await client.query('BEGIN');
    const { id } = await outbox.send(client, OrderPlaced, { orderId: 'o-1' }, { headers: { tenant: 't' } });
    expect(await stored()).toEqual([]);
    const { rows } = await client.query<{ xid: string }>('SELECT pg_current_xact_id() AS xid');
    await client.query('COMMIT');
    expect(await stored()).toEqual([
      expect.objectContaining({
        id,
        xid: rows[0]?.xid,
        topic: 'order.placed',
        key: 'o-1',
        lane: laneOf('o-1'),
        payload: { orderId: 'o-1' },
        headers: { schemaversion: 1, source: 'orders', headers: { tenant: 't' } },
      }),
    ]);
  });

  test('leaves nothing behind when the transaction or the savepoint rolls back', async () => {
    await client.query('BEGIN');
    await outbox.send(client, OrderPlaced, { orderId: 'gone' });
    await client.query('ROLLBACK');
    await client.query('BEGIN');
    await outbox.send(client, OrderPlaced, { orderId: 'before' });
    await client.query('SAVEPOINT s');
    await outbox.send(client, OrderPlaced, { orderId: 'compensated' });
    await client.query('ROLLBACK TO s');
    await outbox.send(client, OrderPlaced, { orderId: 'after' });
    await client.query('COMMIT');
    expect((await stored()).map((row) => row.key)).toEqual(['before', 'after']);
  });

  test('in a savepoint bears the xid of the whole transaction', async () => {
    await client.query('BEGIN');
    await client.query('SAVEPOINT s');
    await outbox.send(client, OrderPlaced, { orderId: 'inside' });
    await client.query('RELEASE s');
    const { rows } = await client.query<{ xid: string }>('SELECT pg_current_xact_id() AS xid');
    await client.query('COMMIT');
    expect((await stored())[0]?.xid).toBe(rows[0]?.xid);
  });

  test.each(['READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE'])('works under %s', async (isolation) => {
    await client.query(`BEGIN ISOLATION LEVEL ${isolation}`);
    await client.query('SELECT 1');
    await server.pool.query(`SELECT holdfast.send('other', '{}')`);
    await outbox.send(client, OrderPlaced, { orderId: 'o-1' });
    await outbox.send(untold, OrderPlaced, { orderId: 'o-2' });
    await client.query('COMMIT');
    expect((await stored()).map((row) => row.key)).toEqual([null, 'o-1', 'o-2']);
  });

  test('serializable writers do not fail because of each other', async () => {
    const other = await server.pool.connect();
    for (const each of [client, other]) await each.query('BEGIN ISOLATION LEVEL SERIALIZABLE');
    await outbox.send(client, OrderPlaced, { orderId: 'o-1' });
    await outbox.send(other, OrderPlaced, { orderId: 'o-1' });
    for (const each of [client, other]) await each.query('COMMIT');
    other.release();
    expect(await stored()).toHaveLength(2);
  });

  test('PREPARE TRANSACTION works with holdfast.wake = off, even while a relay is asleep', async () => {
    const { rows } = await client.query<{ most: string }>(
      "SELECT current_setting('max_prepared_transactions') AS most",
    );
    await client.query(`SELECT setval('holdfast.relay_asleep', 2)`);
    try {
      await client.query('BEGIN');
      await client.query("SET LOCAL holdfast.wake = 'off'");
      await outbox.send(client, OrderPlaced, { orderId: 'o-1' });
      if (rows[0]?.most === '0') {
        // The server allows none, which it says only after it has found nothing else against it (such as a NOTIFY).
        await expect(client.query("PREPARE TRANSACTION 'p'")).rejects.toMatchObject({ code: '55000' });
        return;
      }
      await client.query("PREPARE TRANSACTION 'p'");
      expect(await stored()).toEqual([]);
      await client.query("COMMIT PREPARED 'p'");
      expect(await stored()).toHaveLength(1);
    } finally {
      await client.query(`SELECT setval('holdfast.relay_asleep', 1)`);
    }
  });

  test('the key: the given one, else that of the type, else none', async () => {
    await client.query('BEGIN');
    await outbox.send(client, OrderPlaced, { orderId: 'o-1' }, { key: 'own' });
    await outbox.send(client, OrderPlaced, { orderId: 'o-1' }, { key: null });
    const { id } = await outbox.send(client, Keyless, null);
    await client.query('COMMIT');
    expect((await stored()).map((row) => row.key)).toEqual(['own', null, null]);
    expect((await stored())[2]).toMatchObject({ lane: laneOf(id), payload: null });
  });

  test('an id of one’s own is kept, and refused the second time', async () => {
    const id = '0190B5A8-6d3c-7000-8000-000000000001';
    await client.query('BEGIN');
    expect(await outbox.send(client, Keyless, 1, { id })).toEqual({ id: id.toLowerCase() });
    await expect(outbox.send(client, Keyless, 2, { id })).rejects.toMatchObject({ code: 'HF_MESSAGE_DUPLICATE' });
    await expect(outbox.send(client, Keyless, 3)).rejects.toThrow(/aborted/);
    await expect(outbox.send(untold, Keyless, 3)).rejects.toMatchObject({ code: 'HF_NOT_IN_TRANSACTION' });
    await client.query('ROLLBACK');
    expect(await stored()).toEqual([]);
  });

  test('an asynchronous schema is awaited', async () => {
    const Slow = message('slow', { schema: z.string().refine(async (text) => text === 'good') });
    await client.query('BEGIN');
    await outbox.send(client, Slow, 'good');
    await expect(outbox.send(client, Slow, 'bad')).rejects.toMatchObject({ code: 'HF_PAYLOAD_INVALID' });
    await client.query('COMMIT');
    expect(await stored()).toHaveLength(1);
  });
});

describe('delayed messages', () => {
  test('wait in a table of their own, for a delay on the clock of the database or a time', async () => {
    await client.query('BEGIN');
    await outbox.send(
      client,
      OrderPlaced,
      { orderId: 'o-1' },
      { delay: '90s', id: '00000000-0000-7000-8000-000000000001' },
    );
    await outbox.send(
      untold,
      OrderPlaced,
      { orderId: 'o-2' },
      { deliverAt: new Date(1.9e12), id: '00000000-0000-7000-8000-000000000002' },
    );
    await client.query('COMMIT');
    expect(await stored()).toEqual([]);
    const [delayed, timed] = await scheduled();
    expect(delayed).toMatchObject({ key: 'o-1', payload: { orderId: 'o-1' } });
    expect(delayed?.seconds).toBeCloseTo(90, 1);
    expect(timed?.due_at).toEqual(new Date(1.9e12));
  });

  test('go back with the transaction, and are refused outside of one', async () => {
    await client.query('BEGIN');
    await outbox.send(client, Keyless, 1, { delay: 1000 });
    await client.query('ROLLBACK');
    await expect(outbox.send(untold, Keyless, 1, { delay: 1000 })).rejects.toMatchObject({
      code: 'HF_NOT_IN_TRANSACTION',
    });
    expect(await scheduled()).toEqual([]);
  });
});

describe('sendAll', () => {
  test('appends in the order given and returns the ids in that order', async () => {
    const orders = Array.from({ length: 50 }, (_, index) =>
      item(OrderPlaced, { orderId: `o-${index}` }, { headers: { n: String(index) } }),
    );
    await client.query('BEGIN');
    const sent = await outbox.sendAll(client, orders);
    await client.query('COMMIT');
    const rows = await stored();
    expect(rows.map((row) => row.id)).toEqual(sent.map(({ id }) => id));
    expect(rows.map((row) => row.key)).toEqual(orders.map((_, index) => `o-${index}`));
    expect(rows[7]).toMatchObject({
      lane: laneOf('o-7'),
      payload: { orderId: 'o-7' },
      headers: { schemaversion: 1, source: 'orders', headers: { n: '7' } },
    });
  });

  test('a batch is one statement, with one text parameter', async () => {
    const statements: (readonly unknown[])[] = [];
    const counting: SqlExecutor = async (_sql, parameters) => {
      statements.push(parameters);
      return [{ answer: true }];
    };
    await outbox.sendAll(counting, [item(Keyless, 1), item(OrderPlaced, { orderId: 'o-1' })]);
    expect(statements).toEqual([[expect.any(String)]]);
    await outbox.sendAll(counting, []);
    expect(statements).toHaveLength(1);
  });

  test('takes delayed and immediate messages together, null payloads and awkward texts', async () => {
    const text = '"quoted" \\ back, new\nline, ünïcödé 💡 ${a} $1';
    await client.query('BEGIN');
    const sent = await outbox.sendAll(untold, [
      item(Keyless, null),
      item(Keyless, 'later', { delay: '1h' }),
      item(Keyless, { [text]: text }, { key: text }),
    ]);
    await client.query('COMMIT');
    expect((await stored()).map((row) => [row.id, row.payload, row.key])).toEqual([
      [sent[0]?.id, null, null],
      [sent[2]?.id, { [text]: text }, text],
    ]);
    expect((await scheduled()).map((row) => row.id)).toEqual([sent[1]?.id]);
  });

  test('one bad message and nothing is written, and the error says which', async () => {
    await client.query('BEGIN');
    await expect(
      outbox.sendAll(client, [item(Keyless, 1), item(Keyless, 1, { delay: 1 }), item(OrderPlaced, { orderId: '' })]),
    ).rejects.toMatchObject({
      code: 'HF_KEY_EMPTY',
    });
    await expect(outbox.sendAll(client, [item(Keyless, 1), item(Keyless, 1, { id: 'no' })])).rejects.toThrow(/item 1/);
    const id = '00000000-0000-7000-8000-000000000001';
    await expect(outbox.sendAll(client, [item(Keyless, 1, { id }), item(Keyless, 2, { id })])).rejects.toMatchObject({
      code: 'HF_MESSAGE_DUPLICATE',
    });
    await expect(outbox.sendAll(client, 'no' as unknown as OutboxItem[])).rejects.toMatchObject({ code: 'HF_CONFIG' });
    await client.query('COMMIT');
    expect(await stored()).toEqual([]);
    expect(await scheduled()).toEqual([]);
  });
});

describe('bad input is refused before the statement, and the transaction goes on', () => {
  const TWIN = { id: '00000000-0000-7000-8000-000000000001' };
  test.each<[string, (tx: TransactionHandle) => Promise<unknown>, string]>([
    [
      'schema mismatch',
      async (tx) => outbox.send(tx, OrderPlaced, { orderId: 1 } as unknown as { orderId: string }),
      'HF_PAYLOAD_INVALID',
    ],
    ['empty key', async (tx) => outbox.send(tx, OrderPlaced, { orderId: 'o-1' }, { key: '' }), 'HF_KEY_EMPTY'],
    ['NUL', async (tx) => outbox.send(tx, OrderPlaced, { orderId: 'o-1', note: 'a\0b' }), 'HF_PAYLOAD_TEXT'],
    ['NUL in the key', async (tx) => outbox.send(tx, Keyless, 1, { key: 'a\0' }), 'HF_PAYLOAD_TEXT'],
    [
      'lone surrogate',
      async (tx) => outbox.send(tx, OrderPlaced, { orderId: 'o-1', note: '\ud83d' }),
      'HF_PAYLOAD_TEXT',
    ],
    ['over 1 MiB', async (tx) => outbox.send(tx, Keyless, 'x'.repeat(1_048_576)), 'HF_PAYLOAD_TOO_LARGE'],
    ['no JSON', async (tx) => outbox.send(tx, Keyless, { at: new Date() }), 'HF_PAYLOAD_NOT_JSON'],
    ['unknown option', async (tx) => outbox.send(tx, Keyless, 1, { dealy: 1 } as object), 'HF_OPTION_UNKNOWN'],
    ['no message type', async (tx) => outbox.send(tx, 'tick' as unknown as typeof Keyless, 1), 'HF_MESSAGE_TYPE'],
    [
      'an id twice',
      async (tx) => outbox.sendAll(tx, [item(Keyless, 1, TWIN), item(Keyless, 2, TWIN)]),
      'HF_MESSAGE_DUPLICATE',
    ],
  ])('%s', async (_name, send, code) => {
    await client.query('BEGIN');
    await expect(send(client)).rejects.toMatchObject({ code });
    await expect(send(untold)).rejects.toMatchObject({ code });
    await outbox.send(client, Keyless, 'still fine');
    await client.query('COMMIT');
    expect((await stored()).map((row) => row.payload)).toEqual(['still fine']);
  });

  test('the limit is in bytes and configurable', async () => {
    const small = createOutbox({ maxBytes: 6 });
    await client.query('BEGIN');
    await small.send(client, Keyless, 'abcd');
    await expect(small.send(client, Keyless, 'äöü')).rejects.toMatchObject({ code: 'HF_PAYLOAD_TOO_LARGE' });
    await client.query('COMMIT');
    expect((await stored())[0]?.headers).toEqual({ schemaversion: 1 });
  });

  test.each<[object, string]>([
    [{ maxBytes: 0 }, 'HF_CONFIG'],
    [{ schema: 'no"name' }, 'HF_CONFIG'],
    [{ source: '' }, 'HF_CONFIG'],
    [{ sorce: 'a' }, 'HF_OPTION_UNKNOWN'],
  ])('createOutbox(%j) throws %s', (options, code) => {
    expect(() => createOutbox(options as OutboxOptions)).toThrow(expect.objectContaining({ code }));
  });
});

describe('trouble of the database is explained', () => {
  test('no tables', async () => {
    await client.query('BEGIN');
    await expect(createOutbox({ schema: 'elsewhere' }).send(client, Keyless, 1)).rejects.toMatchObject({
      code: 'HF_SCHEMA_MISSING',
    });
    await client.query('ROLLBACK');
  });

  test('a read-only transaction', async () => {
    await client.query('BEGIN READ ONLY');
    await expect(outbox.send(client, Keyless, 1)).rejects.toMatchObject({ code: 'HF_DATABASE_READ_ONLY' });
    await client.query('ROLLBACK');
  });

  test('a lost connection', async () => {
    const lost = await server.pool.connect();
    lost.on('error', () => {});
    await lost.query('BEGIN');
    const sending = outbox.send(
      async (sql, parameters) =>
        (await lost.query(sql.replace('SELECT', 'SELECT pg_terminate_backend(pg_backend_pid()),'), [...parameters]))
          .rows,
      Keyless,
      1,
    );
    await expect(sending).rejects.toMatchObject({ code: 'HF_DATABASE_UNAVAILABLE' });
    lost.release(true);
  });
});
