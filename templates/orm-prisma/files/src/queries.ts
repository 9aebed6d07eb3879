/** What this service reads and writes. A query with `tx` commits with what Holdfast records beside it, or not at all. */
import { prisma, type Tx } from './database.js';

export async function addOrder(tx: Tx, order: { orderId: string; item: string; amount: number }): Promise<void> {
  const { orderId: id, item, amount } = order;
  await tx.order.create({ data: { id, item, amount } });
}

export async function setState(tx: Tx, orderId: string, state: string): Promise<void> {
  await tx.order.update({ where: { id: orderId }, data: { state } });
}

export async function stateOf(orderId: string): Promise<string | undefined> {
  const found = await prisma.order.findUnique({ where: { id: orderId } });
  return found?.state;
}

export async function addShipment(tx: Tx, shipment: { orderId: string; item: string }): Promise<void> {
  await tx.shipment.create({ data: shipment });
}
