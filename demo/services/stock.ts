/**
 * The stock service, a participant: sets goods aside for an order, and puts them back.
 */
import type { PoolClient } from 'pg';
import { handle, createParticipant, Rejection } from '../../src/index.ts';
import { ReleaseStock, ReserveStock, StockReserved } from '../../sagas/messages/order.ts';
import { products } from '../world.ts';
import { PAUSES } from './moods.ts';
import { CONCURRENCY, entry, LEDGER, RETRY, type DemoService } from './service.ts';

export const stock: DemoService = {
  tables: `
    CREATE TABLE product (sku text PRIMARY KEY, initial integer NOT NULL, available integer NOT NULL CHECK (available >= 0));
    CREATE TABLE movement (${LEDGER}, sku text NOT NULL, quantity integer NOT NULL);
    ${PAUSES}`,
  ledger: 'movement',

  fill: (database, world) =>
    database.query(
      `INSERT INTO product SELECT sku, available, available
       FROM json_to_recordset($1) AS p (sku text, available integer)`,
      [JSON.stringify(products(world))],
    ),

  refill: (database) => database.query('UPDATE product SET initial = initial + 100000, available = available + 100000'),

  listen: ({ database, outbox, transport, log, metrics, moods, keeping, callRetention }) =>
    createParticipant('stock', {
      ...keeping,
      callRetention,
      database,
      outbox,
      transport,
      log,
      metrics,
      retry: RETRY,
      concurrency: CONCURRENCY,
      handlers: [
        handle(ReserveStock, { reply: StockReserved }, async ({ orderId, sku, quantity }, context) => {
          const { tx, attempt } = context;
          moods.admit('reserve');
          await moods.first('reserve', orderId);
          if (!(await take(tx, sku, quantity))) throw new Rejection('sold out');
          await note(tx, [...entry(context, orderId, 'reserve'), sku, quantity]);
          await moods.last('reserve', orderId, attempt);
          return { reservationId: `reservation-for-${orderId}` };
        }),
        handle(ReleaseStock, { compensates: ReserveStock }, async ({ orderId, sku, quantity }, context) => {
          const { tx, attempt } = context;
          await take(tx, sku, -quantity);
          await note(tx, [...entry(context, orderId, 'release'), sku, quantity]);
          await moods.last('release', orderId, attempt);
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

async function note(tx: PoolClient, values: readonly unknown[]): Promise<void> {
  await tx.query(
    `INSERT INTO movement (message_id, order_id, run_id, call, effect, sku, quantity) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
    [...values],
  );
}
