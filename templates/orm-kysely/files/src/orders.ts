/** Orders: the row and the start of its saga are one transaction of Kysely, so there is never one without the other. */
import { randomUUID } from 'node:crypto';
import { createSagas } from 'holdfast';
import { database, db } from './database.js';
import { placeOrder } from './sagas/place-order.js';

const sagas = createSagas({ database, sagas: [placeOrder] });

export interface NewOrder {
  item: string;
  amount: number;
}

export async function place({ item, amount }: NewOrder): Promise<{ orderId: string }> {
  const orderId = randomUUID();
  await db.transaction().execute(async (tx) => {
    await tx.insertInto('orders').values({ id: orderId, item, amount }).execute();
    await sagas.start(tx, placeOrder, { orderId, item, amount }, { key: orderId });
  });
  return { orderId };
}

export async function stateOf(orderId: string): Promise<string | undefined> {
  const found = await db.selectFrom('orders').select('state').where('id', '=', orderId).executeTakeFirst();
  return found?.state;
}
