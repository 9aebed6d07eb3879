/**
 * What the examples of the docstrings find around them.
 */
import type { Pool, PoolClient } from 'pg';
import { z } from 'zod';
import { message, saga, step, type Database, type Logger, type Outbox, type Transport } from 'holdfast';

export declare const database: Database;
export declare const pool: Pool;
export declare const client: PoolClient;
export declare const outbox: Outbox;
export declare const transport: Transport;
export declare const log: Logger;

export const OrderPlaced = message('order.placed', { schema: z.object({ orderId: z.string(), total: z.number() }) });
export const ReserveStock = message('stock.reserve', { schema: z.object({ orderId: z.string() }) });
export const StockReserved = message('stock.reserved', { schema: z.object({ shelf: z.string() }) });
export const ReleaseStock = message('stock.release', { schema: z.object({ orderId: z.string() }) });

export const placeOrder = saga({
  name: 'place-order',
  input: z.object({ orderId: z.string() }),
  signals: { paid: z.object({ by: z.string() }) },
  steps: { note: step({ run: (orderId: string) => orderId.length, compensate: () => {} }) },
  async run({ input, steps }) {
    return { length: await steps.note(input.orderId) };
  },
});
