/**
 * The order service: takes orders, starts the saga that carries each of them out, and hears what became of it. Here customers change
 * their minds as well.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { PoolClient } from 'pg';
import { createConsumer, isHoldfastError, on, type Envelope, type Sagas } from '../../src/index.ts';
import { OrderAccepted, OrderConfirmed, OrderRejected } from '../../sagas/messages/order.ts';
import { placeOrder } from '../../sagas/place-order.ts';
import { openSagas } from '../saga.ts';
import { chance, orderAt, regretOf, type Order } from '../world.ts';
import { RETRY, type DemoService, type Kit } from './service.ts';

/** Orders placed at once. */
const WRITERS = 4;
/** They come in over some seconds, however few, so that what happens to the processes happens in the middle of the business. */
const INTAKE_MS = 14_000;
/** No more orders are taken while so many are under way: on a slow machine the demo takes longer, and that is all. */
const MOST_UNDER_WAY = 48;
const LOOK_EVERY_MS = 50;
/** Customers who change their minds do it within this time. */
const REGRET_WITHIN_MS = 800;

export const orders: DemoService = {
  tables: `
    CREATE TABLE orders (
      id text PRIMARY KEY, customer text NOT NULL, sku text NOT NULL, quantity integer NOT NULL, amount integer NOT NULL,
      run_id uuid NOT NULL, status text NOT NULL DEFAULT 'placed');
    CREATE TABLE order_event (
      position bigint GENERATED ALWAYS AS IDENTITY, message_id uuid NOT NULL, order_id text NOT NULL, status text NOT NULL);
    CREATE TABLE cancellation (
      order_id text PRIMARY KEY, answer text NOT NULL, asked_at timestamptz NOT NULL DEFAULT clock_timestamp())`,
  ledger: 'order_event',

  listen: (kit) => {
    const { database, transport, log, metrics, keeping } = kit;
    const sagas = openSagas(database);
    return createConsumer('orders', {
      ...keeping,
      database,
      transport,
      log,
      metrics,
      ordered: true,
      retry: RETRY,
      handlers: [
        on(OrderAccepted, ({ orderId }, { tx, message }) => hear(tx, message, orderId, 'accepted')),
        on(OrderRejected, ({ orderId }, { tx, message }) => hear(tx, message, orderId, 'rejected')),
        on(OrderConfirmed, async ({ orderId }, { tx, message }) => {
          await hear(tx, message, orderId, 'confirmed');
          if (regretOf(kit.world, orderId) === 'late') await cancel(tx, sagas, orderId);
        }),
      ],
    });
  },

  /** Places all orders; after a restart, those that are not there. Where the demo stays up, it goes on then. */
  async work(kit) {
    const sagas = openSagas(kit.database);
    const { rows } = await kit.database.query<{ id: string; status: string }>('SELECT id, status FROM orders');
    const placed = new Map(rows.map(({ id, status }) => [id, status]));
    const open = openOrders(kit, placed);
    const beganMs = performance.now();
    const isOver = (): boolean => Date.now() >= (kit.world.untilMs ?? Infinity);
    await Promise.all(
      Array.from({ length: WRITERS }, async () => {
        for (const { order, dueMs } of open) {
          await sleep(Math.max(0, beganMs + dueMs - performance.now()));
          if (!placed.has(order.orderId)) {
            while (!isOver() && (await underWay(kit)) >= MOST_UNDER_WAY) await sleep(LOOK_EVERY_MS);
            if (isOver()) return;
            await takeOrder(kit, sagas, order);
          }
          if (regretOf(kit.world, order.orderId) === 'soon') void changeMind(kit, sagas, order);
        }
      }),
    );
    await goOn(kit, sagas, placed.size);
  },
};

/** One after the other, at a pace at which each can be watched. */
async function goOn(kit: Kit, sagas: Sagas, placed: number): Promise<void> {
  const { world } = kit;
  if (world.thenEveryMs === undefined) return;
  for (let number = Math.max(world.orders, placed) + 1; ; number += 1) {
    await sleep(world.thenEveryMs);
    const order = orderAt(world, number);
    await takeOrder(kit, sagas, order);
    if (regretOf(world, order.orderId) === 'soon') void changeMind(kit, sagas, order);
  }
}

function* openOrders(
  { world }: Kit,
  placed: ReadonlyMap<string, string>,
): Generator<{ readonly order: Order; readonly dueMs: number }> {
  for (let number = 1; number <= world.orders; number += 1) {
    const order = orderAt(world, number);
    const status = placed.get(order.orderId);
    const dueMs = (Math.max(0, number - placed.size) / world.orders) * (world.intakeMs ?? INTAKE_MS);
    if (status === undefined || status === 'placed' || status === 'accepted') yield { order, dueMs };
  }
}

async function underWay({ database }: Kit): Promise<number> {
  const { rows } = await database.query<{ count: number }>(
    `SELECT count(*)::integer AS count FROM orders WHERE status IN ('placed', 'accepted')`,
  );
  return rows[0]?.count ?? 0;
}

/** Now and then an order is dropped in the middle: nobody must ever hear of it. Then it is placed after all. */
export async function takeOrder(kit: Pick<Kit, 'database' | 'world'>, sagas: Sagas, order: Order): Promise<void> {
  if (chance(kit.world, order.orderId, 'abandon') < 0.02) {
    const abandoned = place(kit, sagas, { ...order, orderId: `${order.orderId}-abandoned` }, 'abandon');
    await abandoned.catch((error: unknown) => {
      if (!(error instanceof Abandoned)) throw error;
    });
  }
  await place(kit, sagas, order);
}

class Abandoned extends Error {}

/** The order and the run that carries it out: one transaction, so both are there or neither. */
async function place({ database }: Pick<Kit, 'database'>, sagas: Sagas, order: Order, fate?: 'abandon'): Promise<void> {
  const { orderId, customer, sku, quantity, amount } = order;
  await database.transaction(async (tx) => {
    const run = await sagas.start(tx, placeOrder, order, { key: orderId });
    await tx.query('INSERT INTO orders (id, customer, sku, quantity, amount, run_id) VALUES ($1, $2, $3, $4, $5, $6)', [
      orderId,
      customer,
      sku,
      quantity,
      amount,
      run.id,
    ]);
    if (fate === 'abandon') throw new Abandoned();
  });
}

/** Resolves when the customer has been answered. */
export async function changeMind(
  { database, world }: Pick<Kit, 'database' | 'world'>,
  sagas: Sagas,
  { orderId }: Order,
): Promise<void> {
  await sleep(chance(world, orderId, 'when') * REGRET_WITHIN_MS);
  await database.transaction((tx) => cancel(tx, sagas, orderId));
}

/** What the customer asked for, and what the answer was, in one transaction. */
async function cancel(tx: PoolClient, sagas: Sagas, orderId: string): Promise<void> {
  const { rows } = await tx.query<{ run_id: string }>('SELECT run_id FROM orders WHERE id = $1', [orderId]);
  let answer = 'taken';
  try {
    await sagas.handle(placeOrder, rows[0]?.run_id ?? '').cancel({ tx, reason: 'the customer changed their mind' });
    // A run that has not begun by then will not begin, and so says nothing. What one that has says comes later, and counts.
    await tx.query(`UPDATE orders SET status = 'rejected' WHERE id = $1 AND status = 'placed'`, [orderId]);
  } catch (error) {
    if (!isHoldfastError(error, 'HF_SAGA_PIVOTED') && !isHoldfastError(error, 'HF_SAGA_FINISHED')) throw error;
    answer = error.code;
  }
  await tx.query('INSERT INTO cancellation (order_id, answer) VALUES ($1, $2) ON CONFLICT DO NOTHING', [
    orderId,
    answer,
  ]);
}

async function hear(tx: PoolClient, message: Envelope, orderId: string, status: string): Promise<void> {
  await tx.query('UPDATE orders SET status = $2 WHERE id = $1', [orderId, status]);
  await tx.query('INSERT INTO order_event (message_id, order_id, status) VALUES ($1, $2, $3)', [
    message.id,
    orderId,
    status,
  ]);
}
