/**
 * The order service: takes orders, and follows them to their end.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { PoolClient } from 'pg';
import { consumer, on, type Envelope } from '../../src/index.ts';
import { OrderPlaced, OrderShipped, PaymentDeclined, StockRefused } from '../messages.ts';
import { chance, orderAt, type Order } from '../world.ts';
import { LEDGER, RETRY, type DemoService, type Kit } from './service.ts';

/** Orders placed at once. */
const WRITERS = 4;
/** They come in over some seconds, however few, so that what happens to the processes happens in the middle of the business. */
const INTAKE_MS = 8_000;

export const orders: DemoService = {
  tables: `
    CREATE TABLE orders (
      id text PRIMARY KEY, customer text NOT NULL, sku text NOT NULL, quantity integer NOT NULL, amount integer NOT NULL,
      status text NOT NULL DEFAULT 'placed');
    CREATE TABLE order_event (${LEDGER}, status text NOT NULL)`,
  ledger: 'order_event',

  consumer: ({ database, transport, log, metrics }) =>
    consumer('orders', {
      database,
      transport,
      log,
      metrics,
      retry: RETRY,
      handlers: [
        on(OrderShipped, ({ orderId }, { tx, message }) => settle(tx, message, orderId, 'shipped')),
        on(PaymentDeclined, ({ orderId }, { tx, message }) => settle(tx, message, orderId, 'declined')),
        on(StockRefused, ({ orderId }, { tx, message }) => settle(tx, message, orderId, 'sold out')),
      ],
    }),

  /** Places all orders; after a restart, those that are not there. */
  async work(kit) {
    const { rows } = await kit.database.query<{ id: string }>('SELECT id FROM orders');
    const placed = new Set(rows.map(({ id }) => id));
    const open = missingOrders(kit, placed);
    const beganMs = performance.now();
    await Promise.all(
      Array.from({ length: WRITERS }, async () => {
        for (const { order, dueMs } of open) {
          await sleep(Math.max(0, beganMs + dueMs - performance.now()));
          await takeOrder(kit, order);
        }
      }),
    );
  },
};

function* missingOrders({ world }: Kit, placed: ReadonlySet<string>): Generator<{ order: Order; dueMs: number }> {
  for (let number = 1; number <= world.orders; number += 1) {
    const order = orderAt(world, number);
    if (!placed.has(order.orderId)) yield { order, dueMs: (number / world.orders) * INTAKE_MS };
  }
}

/** Now and then somebody changes their mind in the middle: nobody must ever hear of that order. Then they order after all. */
async function takeOrder(kit: Kit, order: Order): Promise<void> {
  if (chance(kit.world, order.orderId, 'abandon') < 0.02) {
    const abandoned = place(kit, { ...order, orderId: `${order.orderId}-abandoned` }, 'abandon');
    await abandoned.catch((error: unknown) => {
      if (!(error instanceof Abandoned)) throw error;
    });
  }
  await place(kit, order);
}

class Abandoned extends Error {}

/** The order and the news of it: one transaction, so both are there or neither. */
async function place({ database, outbox }: Kit, order: Order, fate?: 'abandon'): Promise<void> {
  await database.transaction(async (tx) => {
    await tx.query('INSERT INTO orders (id, customer, sku, quantity, amount) VALUES ($1, $2, $3, $4, $5)', [
      order.orderId,
      order.customer,
      order.sku,
      order.quantity,
      order.amount,
    ]);
    await outbox.send(tx, OrderPlaced, order);
    if (fate === 'abandon') throw new Abandoned();
  });
}

async function settle(tx: PoolClient, message: Envelope, orderId: string, status: string): Promise<void> {
  await tx.query('UPDATE orders SET status = $2 WHERE id = $1', [orderId, status]);
  await tx.query('INSERT INTO order_event (message_id, order_id, status) VALUES ($1, $2, $3)', [
    message.id,
    orderId,
    status,
  ]);
}
