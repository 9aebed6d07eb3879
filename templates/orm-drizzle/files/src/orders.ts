/** Orders: the row and the start of its saga are one transaction of Drizzle, so there is never one without the other. */
import { randomUUID } from 'node:crypto';
import { eq } from 'drizzle-orm';
import { createSagas } from 'holdfast';
import { database, db, orders } from './database.js';
import { placeOrder } from './sagas/place-order.js';

const sagas = createSagas({ database, sagas: [placeOrder] });

export interface NewOrder {
  item: string;
  amount: number;
}

export async function place({ item, amount }: NewOrder): Promise<{ orderId: string }> {
  const orderId = randomUUID();
  await db.transaction(async (tx) => {
    await tx.insert(orders).values({ id: orderId, item, amount });
    await sagas.start(tx, placeOrder, { orderId, item, amount }, { key: orderId });
  });
  return { orderId };
}

export async function stateOf(orderId: string): Promise<string | undefined> {
  const [found] = await db.select({ state: orders.state }).from(orders).where(eq(orders.id, orderId));
  return found?.state;
}
