/** Orders: the row and the start of its saga are one transaction, so there is never one without the other. */
import { randomUUID } from 'node:crypto';
import { createSagas } from 'holdfast';
import { database } from './database.js';
import { placeOrder } from './sagas/place-order.js';

const sagas = createSagas({ database, sagas: [placeOrder] });

export interface NewOrder {
  item: string;
  amount: number;
}

export async function place({ item, amount }: NewOrder): Promise<{ orderId: string }> {
  const orderId = randomUUID();
  await database.transaction(async (tx) => {
    await tx.query('INSERT INTO orders (id, item, amount) VALUES ($1, $2, $3)', [orderId, item, amount]);
    await sagas.start(tx, placeOrder, { orderId, item, amount }, { key: orderId });
  });
  return { orderId };
}

export async function stateOf(orderId: string): Promise<string | undefined> {
  const { rows } = await database.query<{ state: string }>('SELECT state FROM orders WHERE id = $1', [orderId]);
  return rows[0]?.state;
}
