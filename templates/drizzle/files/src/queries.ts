/** What this service reads and writes. A query with `tx` commits with what Holdfast records beside it, or not at all. */
import { eq } from 'drizzle-orm';
import { db, type Tx } from './database.js';
import { orders, shipments } from './schema.js';

export async function addOrder(tx: Tx, order: { orderId: string; item: string; amount: number }): Promise<void> {
  const { orderId: id, item, amount } = order;
  await tx.insert(orders).values({ id, item, amount });
}

export async function setState(tx: Tx, orderId: string, state: string): Promise<void> {
  await tx.update(orders).set({ state }).where(eq(orders.id, orderId));
}

export async function stateOf(orderId: string): Promise<string | undefined> {
  const [found] = await db.select({ state: orders.state }).from(orders).where(eq(orders.id, orderId));
  return found?.state;
}

export async function addShipment(tx: Tx, shipment: { orderId: string; item: string }): Promise<void> {
  await tx.insert(shipments).values(shipment);
}
