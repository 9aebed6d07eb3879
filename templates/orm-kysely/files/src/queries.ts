/** What this service reads and writes. A query with `tx` commits with what Holdfast records beside it, or not at all. */
import { db, type Tx } from './database.js';

export async function addOrder(tx: Tx, order: { orderId: string; item: string; amount: number }): Promise<void> {
  const { orderId: id, item, amount } = order;
  await tx.insertInto('orders').values({ id, item, amount }).execute();
}

export async function setState(tx: Tx, orderId: string, state: string): Promise<void> {
  await tx.updateTable('orders').set({ state }).where('id', '=', orderId).execute();
}

export async function stateOf(orderId: string): Promise<string | undefined> {
  const found = await db.selectFrom('orders').select('state').where('id', '=', orderId).executeTakeFirst();
  return found?.state;
}

export async function addShipment(tx: Tx, { orderId, item }: { orderId: string; item: string }): Promise<void> {
  await tx.insertInto('shipments').values({ order_id: orderId, item }).execute();
}
