/**
 * The stock service: sets goods aside for an order, and takes them back when it cannot be paid.
 */
import type { PoolClient } from 'pg';
import { consumer, on, type Envelope } from '../../src/index.ts';
import { OrderPlaced, PaymentDeclined, StockRefused, StockReserved } from '../messages.ts';
import { products } from '../world.ts';
import { LEDGER, RETRY, type DemoService } from './service.ts';

export const stock: DemoService = {
  tables: `
    CREATE TABLE product (sku text PRIMARY KEY, initial integer NOT NULL, available integer NOT NULL CHECK (available >= 0));
    CREATE TABLE movement (${LEDGER}, sku text NOT NULL, quantity integer NOT NULL)`,
  ledger: 'movement',

  fill: (database, world) =>
    database.query(
      `INSERT INTO product SELECT sku, available, available
       FROM json_to_recordset($1) AS p (sku text, available integer)`,
      [JSON.stringify(products(world))],
    ),

  consumer: ({ database, outbox, transport, log, metrics }) =>
    consumer('stock', {
      database,
      outbox,
      transport,
      log,
      metrics,
      retry: RETRY,
      handlers: [
        on(OrderPlaced, async (order, { tx, message, send }) => {
          const { orderId, customer, sku, quantity } = order;
          const reserved = await take(tx, sku, quantity);
          await note(tx, message, orderId, sku, reserved ? -quantity : 0);
          if (reserved) await send(StockReserved, order);
          else await send(StockRefused, { orderId, customer });
        }),
        on(PaymentDeclined, async ({ orderId, sku, quantity }, { tx, message }) => {
          await take(tx, sku, -quantity);
          await note(tx, message, orderId, sku, quantity);
        }),
      ],
    }),
};

/** False, and nothing taken, when there are not enough. */
async function take(tx: PoolClient, sku: string, quantity: number): Promise<boolean> {
  const taken = await tx.query('UPDATE product SET available = available - $2 WHERE sku = $1 AND available >= $2', [
    sku,
    quantity,
  ]);
  return taken.rowCount === 1;
}

async function note(tx: PoolClient, message: Envelope, orderId: string, sku: string, quantity: number): Promise<void> {
  await tx.query('INSERT INTO movement (message_id, order_id, sku, quantity) VALUES ($1, $2, $3, $4)', [
    message.id,
    orderId,
    sku,
    quantity,
  ]);
}
