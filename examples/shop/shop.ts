/**
 * What the examples of all frameworks serve: orders, each with a message and a saga, in one transaction.
 */
import {
  createOutbox,
  createWorker,
  message,
  migrate,
  openDatabase,
  saga,
  transaction,
  type Database,
  type Outbox,
  type TransactionHandle,
  type Worker,
} from 'holdfast';
import { createHttpIdempotency, type HttpIdempotency } from 'holdfast/http';
import type { PoolClient } from 'pg';
import { z } from 'zod';

export const Order = z.object({ orderId: z.string().min(1).max(100), amount: z.int().positive() });
export type Order = z.infer<typeof Order>;

export const OrderPlaced = message('order.placed', { schema: Order, key: (order) => order.orderId });

export const placeOrder = saga({
  name: 'place-order',
  input: Order,
  steps: {
    accept: transaction({
      run: async ({ orderId }: Order, { tx }) => {
        await tx.query(`UPDATE purchase SET state = 'accepted' WHERE id = $1`, [orderId]);
      },
      compensate: async ({ input }, { tx }) => {
        await tx.query(`UPDATE purchase SET state = 'rejected' WHERE id = $1`, [input.orderId]);
      },
    }),
  },
  async run({ input, steps }) {
    await steps.accept(input);
  },
});

export interface Shop {
  readonly database: Database;
  readonly outbox: Outbox;
  readonly worker: Worker;
  readonly idempotency: HttpIdempotency<PoolClient>;
  /** The order, its message and its saga: all of them, or none. */
  place(context: { readonly tx: PoolClient; readonly handle: TransactionHandle }, order: Order): Promise<void>;
  stateOf(orderId: string): Promise<string | null>;
}

/** @param url of PostgreSQL; without it the variables PG* apply */
export async function openShop(url = process.env['DATABASE_URL']): Promise<Shop> {
  const database = openDatabase({ url });
  await migrate(database);
  await database.query('CREATE TABLE IF NOT EXISTS purchase (id text PRIMARY KEY, state text NOT NULL)');
  const outbox = createOutbox();
  const worker = createWorker({ database, sagas: [placeOrder] });
  return {
    database,
    outbox,
    worker,
    idempotency: createHttpIdempotency({ database }),
    async place({ tx, handle }, order) {
      await tx.query(`INSERT INTO purchase (id, state) VALUES ($1, 'open')`, [order.orderId]);
      await outbox.send(handle, OrderPlaced, order);
      await worker.sagas.start(handle, placeOrder, order, { key: order.orderId });
    },
    async stateOf(orderId) {
      const { rows } = await database.query<{ state: string }>('SELECT state FROM purchase WHERE id = $1', [orderId]);
      return rows[0]?.state ?? null;
    },
  };
}
