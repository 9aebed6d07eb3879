/**
 * The SQL functions of migrations/0001_outbox.sql: what the relay's algorithm depends on, and the door for other languages.
 */

import type pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { decodePayload } from '../../src/message/decode.ts';
import { decodeEnvelope, encodeWire, type LogRow } from '../../src/message/envelope.ts';
import { message } from '../../src/message/message-type.ts';
import { laneOf } from '../../src/outbox/lane.ts';
import { eventually } from '../support/eventually.ts';
import { createTestDatabase, type TestDatabase } from '../support/servers.ts';

let server: TestDatabase;

beforeAll(async () => {
  server = await createTestDatabase({ migrate: true });
});
afterAll(async () => {
  await server.drop();
});
beforeEach(async () => {
  await server.pool.query('TRUNCATE holdfast.outbox');
});

const ID = '00000000-0000-7000-8000-000000000001';

describe('the xid is assigned before the seq is drawn', () => {
  test.each([
    ['write_message', `SELECT holdfast.write_message('${ID}', 'tick', NULL, 0::smallint, '1', '{}', false)`],
    ['write_outbox', `SELECT holdfast.write_outbox('[{"id":"${ID}","topic":"tick","payload":1}]', false)`],
    ['send', `SELECT holdfast.send('tick', '1')`],
  ])('by %s', async (_name, statement) => {
    const holder = await server.pool.connect();
    const writer = await server.pool.connect();
    try {
      // Keeps everybody from drawing a seq.
      await holder.query('BEGIN');
      await holder.query('ALTER SEQUENCE holdfast.outbox_seq_seq CACHE 1');
      const { rows } = await writer.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
      await writer.query('BEGIN');
      const writing = writer.query(statement);
      writing.catch(() => {});
      const state = await eventually('the writer to stand before the sequence', async () =>
        waitingFor(rows[0]?.pid, 'holdfast.outbox_seq_seq'),
      );
      expect(state.xid).not.toBeNull();
      await holder.query('ROLLBACK');
      await writing;
      await writer.query('COMMIT');
      const stored = await server.pool.query<{ low: string }>(
        'SELECT xid::text::bigint & 4294967295 AS low FROM holdfast.outbox',
      );
      expect(stored.rows[0]?.low).toBe(state.xid);
    } finally {
      // Closed, not returned: whatever state they are in after a failure, they must not hold up the tests that follow.
      holder.release(true);
      writer.release(true);
    }
  });

  async function waitingFor(pid: number | undefined, relation: string): Promise<{ xid: string | null } | undefined> {
    const { rows } = await server.pool.query<{ xid: string | null }>(
      `SELECT a.backend_xid::text AS xid FROM pg_locks l JOIN pg_stat_activity a USING (pid)
       WHERE l.pid = $1 AND NOT l.granted AND l.relation = $2::regclass`,
      [pid, relation],
    );
    return rows[0];
  }
});

describe('require_transaction', () => {
  test('writes nothing and says so while the transaction has written nothing', async () => {
    const statement = `SELECT holdfast.write_message(gen_random_uuid(), 'tick', NULL, 0::smallint, '1', '{}', true) AS written`;
    const client = await server.pool.connect();
    const written = async (): Promise<unknown> =>
      (await client.query<{ written: boolean }>(statement)).rows[0]?.written;
    try {
      expect([await written(), await written()]).toEqual([false, false]);
      await client.query('BEGIN');
      expect([await written(), await written(), await written()]).toEqual([false, true, true]);
      await client.query('COMMIT');
    } finally {
      client.release();
    }
    expect(await count(server.pool)).toBe(2);
  });
});

async function count(on: pg.Pool): Promise<number> {
  return (await on.query('SELECT FROM holdfast.outbox')).rowCount ?? 0;
}

describe('holdfast.send', () => {
  const OrderPlaced = message('order.placed', { schema: z.object({ orderId: z.string() }), version: 2 });

  async function wire(): Promise<string> {
    const { rows } = await server.pool.query<LogRow>(
      `SELECT id, topic, key, payload::text, headers::text, to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS time FROM holdfast.outbox`,
    );
    const [row] = rows;
    if (row === undefined) throw new Error('The outbox is empty.');
    return encodeWire(row);
  }

  test('makes a message that consumers read like any other', async () => {
    const { rows } = await server.pool.query<{ id: string }>(
      `SELECT holdfast.send('order.placed', '{"orderId":"o-1"}', key => 'o-1', headers => '{"tenant":"t"}', version => 2) AS id`,
    );
    const envelope = decodeEnvelope(await wire());
    expect(envelope).toMatchObject({
      id: rows[0]?.id,
      topic: 'order.placed',
      key: 'o-1',
      version: 2,
      headers: { tenant: 't' },
    });
    expect(await decodePayload(OrderPlaced, envelope)).toEqual({ orderId: 'o-1' });
    const stored = await server.pool.query('SELECT lane FROM holdfast.outbox');
    expect(stored.rows).toEqual([{ lane: laneOf('o-1') }]);
  });

  test('makes ids of version 7 that carry the time, unless one is given', async () => {
    const before = Date.now();
    const { rows } = await server.pool.query<{ id: string }>(`SELECT holdfast.send('tick', 'null') AS id`);
    const id = rows[0]?.id ?? '';
    expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    const timeMs = Number.parseInt(id.replaceAll('-', '').slice(0, 12), 16);
    expect(timeMs).toBeGreaterThanOrEqual(before - 60_000);
    expect(timeMs).toBeLessThanOrEqual(Date.now() + 60_000);
    const given = await server.pool.query(`SELECT holdfast.send('tick', '1', id => '${ID}') AS id`);
    expect(given.rows).toEqual([{ id: ID }]);
  });

  test.each([
    ['no topic', `NULL, '{}'`],
    ['a bad topic', `'order placed', '{}'`],
    ['a long topic', `repeat('a', 201), '{}'`],
    ['no payload', `'tick', NULL`],
    ['an empty key', `'tick', '{}', key => ''`],
    ['a long key', `'tick', '{}', key => repeat('k', 1025)`],
    ['no version', `'tick', '{}', version => NULL`],
    ['version 0', `'tick', '{}', version => 0`],
    ['headers that are no object', `'tick', '{}', headers => '["a"]'`],
    ['headers that are no texts', `'tick', '{}', headers => '{"a":1}'`],
  ])('refuses %s', async (_name, values) => {
    await expect(server.pool.query(`SELECT holdfast.send(${values})`)).rejects.toMatchObject({ code: '22023' });
    expect(await count(server.pool)).toBe(0);
  });

  test('rolls back with the transaction it is called in', async () => {
    const client = await server.pool.connect();
    await client.query('BEGIN');
    await client.query(`SELECT holdfast.send('tick', '1')`);
    await client.query('ROLLBACK');
    client.release();
    expect(await count(server.pool)).toBe(0);
  });
});
