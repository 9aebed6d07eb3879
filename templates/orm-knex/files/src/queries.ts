/** What this service reads and writes. A query with `tx` commits with what Holdfast records beside it, or not at all. */
import { db, type Tx } from './database.js';

export async function addOrder(tx: Tx, order: { orderId: string; item: string; amount: number }): Promise<void> {
  const { orderId: id, item, amount } = order;
  await tx('orders').insert({ id, item, amount });
}

export async function setState(tx: Tx, orderId: string, state: string): Promise<void> {
  await tx('orders').where({ id: orderId }).update({ state });
}

export async function stateOf(orderId: string): Promise<string | undefined> {
  const found = await db<{ id: string; state: string }>('orders').where({ id: orderId }).first('state');
  return found?.state;
}

export async function addShipment(tx: Tx, { orderId, item }: { orderId: string; item: string }): Promise<void> {
  await tx('shipments').insert({ order_id: orderId, item });
}
