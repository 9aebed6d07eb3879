/** The same with node:test, which has no `expect`: `node --import tsx --test`. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertHandled, assertSentTimes, createTestDatabase, testMessages, testMessagesOn } from 'holdfast/testing';
import { billing, InvoiceDue, OrderPlaced, placeOrder, reminders } from './shop.ts';

const order = { orderId: 'o-1', total: 250, email: 'ann@example.org' };

test('reminds of large orders once', async () => {
  const messages = testMessages({ consumers: { reminders: { handlers: reminders } } });
  await messages.deliver(OrderPlaced, order, { times: 2 });
  assertHandled(messages, OrderPlaced, { orderId: 'o-1' });
  assertSentTimes(messages, InvoiceDue, 1);
});

test('writes an invoice', async () => {
  const { database, drop } = await createTestDatabase();
  await database.query('CREATE TABLE orders (id text PRIMARY KEY, total numeric)');
  await database.query('CREATE TABLE invoice (order_id text, total numeric)');
  const messages = await testMessagesOn(database, { consumers: { billing: { handlers: billing } } });
  await messages.transaction((tx) => placeOrder(tx, messages.outbox, order));
  const { rows } = await database.query('SELECT order_id FROM invoice');
  assert.deepEqual(rows, [{ order_id: 'o-1' }]);
  await messages.close();
  await drop();
});
