/** What this service reads and writes. A query with `tx` commits with what Holdfast records beside it, or not at all. */
import { Order, orm, Shipment, type Tx } from './database.js';

export async function addOrder(tx: Tx, order: { orderId: string; item: string; amount: number }): Promise<void> {
  const { orderId: id, item, amount } = order;
  tx.create(Order, { id, item, amount });
}

export async function setState(tx: Tx, orderId: string, state: string): Promise<void> {
  await tx.nativeUpdate(Order, { id: orderId }, { state });
}

export async function stateOf(orderId: string): Promise<string | undefined> {
  const found = await orm.em.fork().findOne(Order, { id: orderId });
  return found?.state;
}

export async function addShipment(tx: Tx, shipment: { orderId: string; item: string }): Promise<void> {
  tx.create(Shipment, shipment);
}
