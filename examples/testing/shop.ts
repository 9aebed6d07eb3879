/** A service to be tested: it places orders, ships them when they are paid, and reserves stock for the sagas of others. */
import { handle, message, on, Rejection, type Outbox, type ParticipantHandler, type PayloadOf } from 'holdfast';
import type { PoolClient } from 'pg';
import { z } from 'zod';

export const OrderPlaced = message('order.placed', {
  schema: z.object({ orderId: z.string(), total: z.number(), email: z.string() }),
  key: (order) => order.orderId,
});
export const InvoiceDue = message('invoice.due', { schema: z.object({ orderId: z.string() }) });
export const ReserveStock = message('stock.reserve', { schema: z.object({ sku: z.string() }) });
export const StockReserved = message('stock.reserved', { schema: z.object({ shelf: z.string() }) });
export const ReleaseStock = message('stock.release', { schema: z.object({ sku: z.string() }) });

export type Order = PayloadOf<typeof OrderPlaced>;

/** The order and its message, or neither. */
export async function placeOrder(tx: PoolClient, outbox: Outbox, order: Order): Promise<void> {
  await tx.query('INSERT INTO orders (id, total) VALUES ($1, $2)', [order.orderId, order.total]);
  await outbox.send(tx, OrderPlaced, order);
}

/** Writes no table, so it can be tested without one. */
export const reminders = [
  on(OrderPlaced, async ({ orderId, total }, { send }) => {
    if (total > 100) await send(InvoiceDue, { orderId }, { delay: '14d' });
  }),
];

/** Writes its table in the transaction of the message. */
export const billing = [
  on(OrderPlaced, async ({ orderId, total }, { tx }) => {
    await tx.query('INSERT INTO invoice (order_id, total) VALUES ($1, $2)', [orderId, total]);
  }),
];

/** A participant, whose shelves stand in a Map here. */
export function stockHandlers(shelves: Map<string, string>): readonly ParticipantHandler<PoolClient>[] {
  return [
    handle(ReserveStock, { reply: StockReserved }, ({ sku }) => {
      const shelf = shelves.get(sku);
      if (shelf === undefined) throw new Rejection('sold out');
      shelves.delete(sku);
      return { shelf };
    }),
    handle(ReleaseStock, { compensates: ReserveStock, reply: StockReserved }, ({ sku }, { reply }) => {
      if (reply !== null) shelves.set(sku, reply.shelf);
    }),
  ];
}
