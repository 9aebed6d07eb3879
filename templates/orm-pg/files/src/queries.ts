/** What this service reads and writes. A query with `tx` commits with what Holdfast records beside it, or not at all. */
import { database, type Tx } from './database.js';

export async function addOrder(tx: Tx, order: { orderId: string; item: string; amount: number }): Promise<void> {
  const { orderId, item, amount } = order;
  await tx.query('INSERT INTO orders (id, item, amount) VALUES ($1, $2, $3)', [orderId, item, amount]);
}

export async function setState(tx: Tx, orderId: string, state: string): Promise<void> {
  await tx.query('UPDATE orders SET state = $2 WHERE id = $1', [orderId, state]);
}

export async function stateOf(orderId: string): Promise<string | undefined> {
  const { rows } = await database.query<{ state: string }>('SELECT state FROM orders WHERE id = $1', [orderId]);
  return rows[0]?.state;
}

export async function addShipment(tx: Tx, { orderId, item }: { orderId: string; item: string }): Promise<void> {
  await tx.query('INSERT INTO shipments (order_id, item) VALUES ($1, $2)', [orderId, item]);
}
