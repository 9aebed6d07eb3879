/**
 * testMessagesOn: the same on PostgreSQL, with the effects of handlers in tables.
 */
import { afterAll, beforeAll, expect, inject, it } from 'vitest';
import { z } from 'zod';
import { on } from '../../../src/inbox/handlers/handler.ts';
import { message } from '../../../src/message/message-type.ts';
import { handle } from '../../../src/saga/participant/handle.ts';
import { createTestDatabase, type TestDatabase } from '../../../src/testing/database/test-database.ts';
import { testMessagesOn } from '../../../src/testing/messages/database-test.ts';

const Placed = message('order.placed', { schema: z.object({ orderId: z.string() }), key: (order) => order.orderId });
const Shipped = message('order.shipped', { schema: z.object({ orderId: z.string() }) });
const Reserve = message('stock.reserve', { schema: z.object({ sku: z.string() }) });
const Reserved = message('stock.reserved', { schema: z.object({ shelf: z.string() }) });
const Release = message('stock.release', { schema: z.object({ sku: z.string() }) });

let own: TestDatabase;
beforeAll(async () => {
  own = await createTestDatabase({ url: inject('postgresAdminUrl') });
  await own.database.query('CREATE TABLE effect (what text)');
});
afterAll(() => own.drop());

const effects = async (): Promise<readonly string[]> =>
  (await own.database.query<{ what: string }>('SELECT what FROM effect ORDER BY ctid')).rows.map(({ what }) => what);

it('has what commits travel by the outbox, and effects and marks commit together', async () => {
  let broken = true;
  const test = await testMessagesOn(own.database, {
    consumers: {
      shipping: {
        retry: { attempts: 2 },
        handlers: [
          on(Placed, async ({ orderId }, { tx, send }) => {
            await tx.query('INSERT INTO effect VALUES ($1)', [orderId]);
            await send(Shipped, { orderId });
            if (broken) throw new Error('no lorry');
          }),
        ],
      },
    },
  });
  await expect(
    test.transaction(async (tx) => {
      await test.outbox.send(tx, Placed, { orderId: 'o-0' });
      throw new Error('no');
    }),
  ).rejects.toThrow('no');
  expect(test.messages).toEqual([]);
  const { id } = await test.transaction((tx) => test.outbox.send(tx, Placed, { orderId: 'o-1' }));
  expect(test.parked).toMatchObject([{ consumer: 'shipping', error: { message: 'no lorry' } }]);
  expect({ failed: test.failed.length, effects: await effects() }).toEqual({ failed: 2, effects: [] });
  broken = false;
  await test.redrive();
  expect(await effects()).toEqual(['o-1']);
  expect(test.messages).toMatchObject([
    { id, topic: 'order.placed', key: 'o-1' },
    { topic: 'order.shipped', causationId: id },
  ]);
  expect(test.parked).toEqual([]);
  const { outcomes } = await test.deliver(Placed, { orderId: 'o-1' }, { id, times: 2 });
  expect(outcomes.map(({ outcome }) => outcome)).toEqual(['duplicate', 'duplicate']);
  await test.send(Shipped, { orderId: 'later' }, { delay: '1d' });
  expect(test.messages.at(-1)).toMatchObject({ payload: { orderId: 'later' }, dueAt: expect.any(Date) });
  await test.close();
});

it('leaves messages of before alone, and asks participants as sagas do', async () => {
  await own.database.query('DELETE FROM effect');
  const test = await testMessagesOn(own.database, {
    participants: {
      stock: {
        handlers: [
          handle(Reserve, { reply: Reserved }, async ({ sku }, { tx }) => {
            await tx.query('INSERT INTO effect VALUES ($1)', [sku]);
            return { shelf: 'a' };
          }),
          handle(Release, { compensates: Reserve }, async ({ sku }, { tx }) => {
            await tx.query('DELETE FROM effect WHERE what = $1', [sku]);
          }),
        ],
      },
    },
  });
  const answered = await test.command(Reserve, { sku: 'x' }, { times: 2 });
  expect(answered.reply).toMatchObject({ outcome: 'done', output: { shelf: 'a' } });
  expect(await effects()).toEqual(['x']);
  expect((await test.compensate(Release, { sku: 'x' }, { of: answered })).reply).toMatchObject({ outcome: 'done' });
  expect(await effects()).toEqual([]);
  const { runId, call } = answered;
  expect((await test.command(Reserve, { sku: 'x' }, { runId, call })).reply).toMatchObject({ outcome: 'rejected' });
  expect(test.messages.map(({ topic }) => topic)).toEqual(['saga.reply', 'saga.reply', 'saga.reply']);
  await test.close();
});
