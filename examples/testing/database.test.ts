/** On PostgreSQL, with vitest: what is written by the service and by its handlers. */
import { createTestDatabase, testMessagesOn, type TestDatabase } from 'holdfast/testing';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { billing, OrderPlaced, placeOrder } from './shop.ts';

let own: TestDatabase;
beforeAll(async () => {
  own = await createTestDatabase();
  await own.database.query('CREATE TABLE orders (id text PRIMARY KEY, total numeric)');
  await own.database.query('CREATE TABLE invoice (order_id text, total numeric)');
});
afterAll(() => own.drop());

it('writes one invoice for an order, however often its message comes', async () => {
  const test = await testMessagesOn(own.database, { consumers: { billing: { handlers: billing } } });
  const order = { orderId: 'o-1', total: 250, email: 'ann@example.org' };
  await test.transaction((tx) => placeOrder(tx, test.outbox, order));
  expect(test).toHaveSent(OrderPlaced, { orderId: 'o-1' });
  const id = test.messages[0]?.id;
  const { outcomes } = await test.deliver(OrderPlaced, order, { id });
  expect(outcomes).toEqual([{ consumer: 'billing', outcome: 'duplicate' }]);
  const { rows } = await own.database.query('SELECT order_id FROM invoice');
  expect(rows).toEqual([{ order_id: 'o-1' }]);
  await test.close();
});
