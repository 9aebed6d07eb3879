/**
 * What travels in the benchmarks: an order of about 250 bytes, keyed by customer.
 */
import { z } from 'zod';
import { encodeWire } from '../../src/message/envelope.ts';
import { messageId } from '../../src/message/id.ts';
import { message } from '../../src/message/message-type.ts';
import type { Database } from '../../src/postgres/database.ts';
import type { OutboundMessage } from '../../src/transport/port.ts';

export const OrderPlaced = message('order.placed', {
  schema: z.object({
    orderId: z.string(),
    customerId: z.string(),
    currency: z.string().length(3),
    totalCents: z.number().int().nonnegative(),
    lines: z.array(z.object({ sku: z.string(), quantity: z.number().int().positive(), cents: z.number().int() })),
    note: z.string(),
  }),
  key: (payload) => payload.customerId,
});

export interface Order {
  readonly orderId: string;
  readonly customerId: string;
  readonly currency: string;
  readonly totalCents: number;
  readonly lines: { readonly sku: string; readonly quantity: number; readonly cents: number }[];
  readonly note: string;
}

const CUSTOMERS = 1000;

export function order(n: number): Order {
  return {
    orderId: `order-${n}`,
    customerId: `customer-${n % CUSTOMERS}`,
    currency: 'EUR',
    totalCents: 1999 + (n % 100),
    lines: [
      { sku: 'sku-0001', quantity: 1, cents: 999 },
      { sku: 'sku-0002', quantity: 2, cents: 500 },
    ],
    note: 'Leave it with the neighbours, please, if nobody opens.',
  };
}

/** `order(n)` as a relay would publish it. */
export function orderMessage(destination: string, n: number): OutboundMessage {
  const id = messageId();
  const payload = order(n);
  const [topic, key] = [OrderPlaced.topic, payload.customerId];
  const headers = '{"schemaversion": 1, "source": "bench"}';
  const wire = encodeWire({
    id,
    topic,
    key,
    time: new Date().toISOString(),
    payload: JSON.stringify(payload),
    headers,
  });
  return { id, topic, key, destination, wire, replayId: null };
}

/** The same order as `order(n)`, made by the database: columns id, topic, key, payload, headers of rows `n` from $1 to $2. */
const ORDERS_SQL = `
  SELECT gen_random_uuid() AS id, 'order.placed' AS topic, 'customer-' || n % ${CUSTOMERS} AS key,
    jsonb_build_object('orderId', 'order-' || n, 'customerId', 'customer-' || n % ${CUSTOMERS}, 'currency', 'EUR',
      'totalCents', 1999 + n % 100,
      'lines', '[{"sku":"sku-0001","quantity":1,"cents":999},{"sku":"sku-0002","quantity":2,"cents":500}]'::jsonb,
      'note', 'Leave it with the neighbours, please, if nobody opens.') AS payload,
    '{"schemaversion":1,"source":"bench"}'::jsonb AS headers
  FROM generate_series($1::int, $2::int) AS n`;

const ROWS_PER_COMMIT = 5_000;

/** Appends `count` orders to the outbox. Written by hand instead of through write_outbox(), which is allowed to nobody but a
 *  single writer without readers, because filling is not what is measured. */
export async function fillOutbox(database: Database, count: number): Promise<void> {
  await inChunks(
    database,
    count,
    `INSERT INTO holdfast.outbox (xid, id, topic, key, lane, payload, headers)
     SELECT pg_current_xact_id(), id, topic, key, 0, payload, headers FROM (${ORDERS_SQL}) AS orders`,
  );
}

/** The same rows for a table with the columns message_id, topic, key, payload, headers. */
export async function fillRival(database: Database, table: string, count: number): Promise<void> {
  await inChunks(
    database,
    count,
    `INSERT INTO ${table} (message_id, topic, key, payload, headers)
     SELECT id, topic, key, payload, headers FROM (${ORDERS_SQL}) AS orders`,
  );
}

async function inChunks(database: Database, count: number, insert: string): Promise<void> {
  for (let from = 1; from <= count; from += ROWS_PER_COMMIT) {
    await database.query(insert, [from, Math.min(count, from + ROWS_PER_COMMIT - 1)]);
  }
}
