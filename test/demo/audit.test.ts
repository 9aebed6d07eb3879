/**
 * The demo's audit must be able to fail: books that are in order, and then each of the things it promises to find.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { audit } from '../../demo/audit.ts';
import { OrderPlaced, OrderShipped, PaymentCaptured, StockReserved } from '../../demo/messages.ts';
import type { Databases } from '../../demo/progress.ts';
import { SERVICES } from '../../demo/services/all.ts';
import { SERVICE_NAMES, type ServiceName } from '../../demo/world.ts';
import { createOutbox, openDatabase, type MessageType } from '../../src/index.ts';
import { createTestDatabase, type TestDatabase } from '../support/servers.ts';

const tests: TestDatabase[] = [];
let databases: Databases;

beforeAll(async () => {
  const opened = SERVICE_NAMES.map(async (name) => {
    const test = await createTestDatabase({ migrate: true });
    tests.push(test);
    await test.pool.query(SERVICES[name].tables);
    return [name, openDatabase({ pool: test.pool })];
  });
  databases = Object.fromEntries(await Promise.all(opened)) as Databases;
});

afterAll(async () => {
  await Promise.all(tests.map((test) => test.drop()));
});

/** Two orders of one customer, through all four services. */
beforeEach(async () => {
  await sql('orders', 'TRUNCATE orders, order_event, holdfast.outbox');
  await sql('stock', 'TRUNCATE product, movement, holdfast.outbox');
  await sql('payment', 'TRUNCATE account, payment, holdfast.outbox');
  await sql('shipping', 'TRUNCATE dispatch, holdfast.outbox');
  await sql('stock', `INSERT INTO product VALUES ('pen', 10, 6)`);
  await sql('payment', `INSERT INTO account VALUES ('ann', 1000, 600, 2)`);
  for (const n of [1, 2]) {
    const about = { orderId: `o-${n}`, customer: 'ann' };
    const order = { ...about, sku: 'pen', quantity: 2, amount: 200 };
    const id = about.orderId;
    await sql('orders', `INSERT INTO orders VALUES ('${id}', 'ann', 'pen', 2, 200, 'shipped')`);
    const placed = await send('orders', OrderPlaced, order);
    await sql(
      'stock',
      `INSERT INTO movement (message_id, order_id, sku, quantity) VALUES ('${placed}', '${id}', 'pen', -2)`,
    );
    const reserved = await send('stock', StockReserved, order);
    await sql(
      'payment',
      `INSERT INTO payment (message_id, order_id, customer, n, amount, captured)
      VALUES ('${reserved}', '${id}', 'ann', ${n}, 200, true)`,
    );
    const captured = await send('payment', PaymentCaptured, { ...about, amount: 200, n });
    await sql(
      'shipping',
      `INSERT INTO dispatch (message_id, order_id, customer, n, parcel)
      VALUES ('${captured}', '${id}', 'ann', ${n}, 'parcel')`,
    );
    const shipped = await send('shipping', OrderShipped, { ...about, parcel: 'parcel' });
    await sql(
      'orders',
      `INSERT INTO order_event (message_id, order_id, status) VALUES ('${shipped}', '${id}', 'shipped')`,
    );
  }
});

describe('the audit of the demo', () => {
  it('finds nothing wrong where all is right', async () => {
    expect(await audit(databases, 2)).toMatchObject({ orders: 2, committed: 8, delivered: 8, lost: 0, ok: true });
  });

  const again = (table: string, columns: string): string =>
    `INSERT INTO ${table} (${columns}) SELECT ${columns} FROM ${table} WHERE order_id = 'o-1'`;

  it.each<readonly [string, ServiceName, string, object]>([
    ['a lost message', 'orders', `DELETE FROM order_event WHERE order_id = 'o-1'`, { lost: 1, delivered: 7 }],
    [
      'an effect that happened twice',
      'stock',
      again('movement', 'message_id, order_id, sku, quantity'),
      { doubleEffects: 1, lost: 0 },
    ],
    ['two effects in the wrong order', 'shipping', 'UPDATE dispatch SET n = 3 - n', { outOfOrder: 2, lost: 0 }],
    ['a gap in the order', 'shipping', `UPDATE dispatch SET n = 3 WHERE n = 2`, { outOfOrder: 1, lost: 0 }],
    ['news of an order that never was', 'orders', `DELETE FROM orders WHERE id = 'o-2'`, { ghosts: 8, orders: 1 }],
    [
      'an effect without a message',
      'stock',
      `INSERT INTO movement (message_id, order_id, sku, quantity) VALUES (gen_random_uuid(), 'o-1', 'pen', 0)`,
      { ghosts: 1, stockConserved: true },
    ],
    ['money that went missing', 'payment', 'UPDATE account SET balance = balance - 1', { moneyConserved: false }],
    ['goods that went missing', 'stock', 'UPDATE product SET available = available - 1', { stockConserved: false }],
    ['an order left in the middle', 'orders', `UPDATE orders SET status = 'placed' WHERE id = 'o-1'`, { lost: 0 }],
    [
      'a parked message',
      'shipping',
      `INSERT INTO holdfast.parked_delivery (consumer, message_id, topic, envelope, state, reason)
       VALUES ('shipping', gen_random_uuid(), 'payment.captured', '{}', 'failed', 'gave up')`,
      { parked: 1 },
    ],
  ])('finds %s', async (_, service, sabotage, found) => {
    await sql(service, sabotage);
    expect(await audit(databases, 2)).toMatchObject({ ...found, ok: false });
    await sql('shipping', 'TRUNCATE holdfast.parked_delivery');
  });

  it('finds that orders are missing', async () => {
    expect((await audit(databases, 3)).findings.filter(({ ok }) => !ok).map(({ what }) => what)).toEqual([
      'orders committed',
    ]);
  });
});

async function sql(service: ServiceName, text: string): Promise<void> {
  await databases[service].query(text);
}

async function send(service: ServiceName, type: MessageType, payload: unknown): Promise<string> {
  return databases[service].transaction(async (tx) => (await createOutbox().send(tx, type, payload)).id);
}
