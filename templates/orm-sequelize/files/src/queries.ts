/** What this service reads and writes. A query with `tx` commits with what Holdfast records beside it, or not at all. */
import { Order, Shipment, type Tx } from './database.js';

export async function addOrder(
  transaction: Tx,
  { orderId: id, item, amount }: { orderId: string; item: string; amount: number },
): Promise<void> {
  await Order.create({ id, item, amount }, { transaction });
}

export async function setState(transaction: Tx, orderId: string, state: string): Promise<void> {
  await Order.update({ state }, { where: { id: orderId }, transaction });
}

export async function stateOf(orderId: string): Promise<string | undefined> {
  const found = await Order.findByPk(orderId);
  return found?.state;
}

export async function addShipment(transaction: Tx, shipment: { orderId: string; item: string }): Promise<void> {
  await Shipment.create(shipment, { transaction });
}
