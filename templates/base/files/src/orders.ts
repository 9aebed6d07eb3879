/** Orders: the row and the start of its saga are one transaction, so there is never one without the other. */
import { randomUUID } from 'node:crypto';
import { createSagas } from 'holdfast';
import type { IdempotentContext } from 'holdfast/http';
import { z } from 'zod';
import { database, type Tx } from './database.js';
import { addOrder } from './queries.js';
import { placeOrder } from './sagas/place-order.js';

export const NewOrder = z.object({ item: z.string().min(1), amount: z.number().positive() });
export type NewOrder = z.infer<typeof NewOrder>;

const sagas = createSagas({ database, sagas: [placeOrder] });

/** In the transaction of a request, which commits with the answer. */
export type OrderContext = IdempotentContext<Tx>;

export async function place({ tx, handle }: OrderContext, { item, amount }: NewOrder): Promise<{ orderId: string }> {
  const orderId = randomUUID();
  await addOrder(tx, { orderId, item, amount });
  await sagas.start(handle, placeOrder, { orderId, item, amount }, { key: orderId });
  return { orderId };
}
