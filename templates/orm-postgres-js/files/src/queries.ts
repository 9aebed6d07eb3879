/** What this service reads and writes. A query with `tx` commits with what Holdfast records beside it, or not at all. */
import { sql, type Tx } from './database.js';

export async function addOrder(tx: Tx, order: { orderId: string; item: string; amount: number }): Promise<void> {
  const { orderId: id, item, amount } = order;
  await tx`INSERT INTO orders ${tx({ id, item, amount })}`;
}

export async function setState(tx: Tx, orderId: string, state: string): Promise<void> {
  await tx`UPDATE orders SET state = ${state} WHERE id = ${orderId}`;
}

export async function stateOf(orderId: string): Promise<string | undefined> {
  const [found] = await sql<{ state: string }[]>`SELECT state FROM orders WHERE id = ${orderId}`;
  return found?.state;
}

export async function addShipment(tx: Tx, { orderId, item }: { orderId: string; item: string }): Promise<void> {
  await tx`INSERT INTO shipments ${tx({ order_id: orderId, item })}`;
}
