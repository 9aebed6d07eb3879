/** A process that stands still inside a transaction does not keep others from its messages for ever. */
import type { PoolClient } from 'pg';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { on } from '../../src/inbox/handlers/handler.ts';
import { delivery, openLab, Placed, wire, type Lab } from './lab.ts';

let lab: Lab;
beforeAll(async () => {
  lab = await openLab();
});
afterAll(() => lab.dispose());

it('lets PostgreSQL end the transaction of a process that froze in it, and no other', async () => {
  const seen: unknown[] = [];
  const show = async (tx: PoolClient) =>
    seen.push(
      (await tx.query('SHOW idle_in_transaction_session_timeout')).rows[0]?.idle_in_transaction_session_timeout,
    );
  const consumer = lab.make({ handlers: [on(Placed, (_order, { tx }) => show(tx), { timeout: '20s' })] });
  await consumer.handle(delivery(wire()));
  const client = await lab.database.pool.connect();
  await client.query('BEGIN');
  await show(client);
  await client.query('COMMIT');
  client.release();
  expect(seen).toEqual(['30s', '0']);
});
