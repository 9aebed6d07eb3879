/** What this service reads and writes. A query with `tx` commits with what Holdfast records beside it, or not at all. */
import { connected, Order, Shipment, type Tx } from './database.js';

export async function addOrder(tx: Tx, order: { orderId: string; item: string; amount: number }): Promise<void> {
  const { orderId: id, item, amount } = order;
  await tx.insert(Order, { id, item, amount });
}

export async function setState(tx: Tx, orderId: string, state: string): Promise<void> {
  await tx.update(Order, { id: orderId }, { state });
}

export async function stateOf(orderId: string): Promise<string | undefined> {
  const { manager } = await connected();
  const found = await manager.findOneBy(Order, { id: orderId });
  return found?.state;
}

export async function addShipment(tx: Tx, shipment: { orderId: string; item: string }): Promise<void> {
  await tx.insert(Shipment, shipment);
}
