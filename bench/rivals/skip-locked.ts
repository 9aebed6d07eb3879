/**
 * The relay that people write by hand: a queue table, emptied in batches of 1,000 by SKIP LOCKED. Published before the commit of the
 * delete, so that a crash repeats messages and loses none. Written with the care of somebody who wants it fast: one prepared
 * statement a batch, texts instead of parsed JSON, rows as arrays, the wire joined from texts.
 */
import type { Client } from 'pg';
import { encodeWire } from '../../src/message/envelope.ts';
import type { OutboundMessage, Publisher } from '../../src/transport/port.ts';

export const SKIP_LOCKED_TABLE = 'public.skip_locked_outbox';

export const SKIP_LOCKED_SCHEMA = `
  CREATE TABLE ${SKIP_LOCKED_TABLE} (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    message_id uuid NOT NULL,
    topic      text NOT NULL,
    key        text,
    payload    jsonb NOT NULL,
    headers    jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
  )`;

const TAKE = `
  DELETE FROM ${SKIP_LOCKED_TABLE} WHERE id IN (
    SELECT id FROM ${SKIP_LOCKED_TABLE} ORDER BY id FOR UPDATE SKIP LOCKED LIMIT 1000)
  RETURNING id, message_id, topic, key, created_at, payload, headers`;

const asText = { getTypeParser: () => (value: string) => value };

/** Publishes everything that is in the table, in order. */
export async function drainBySkipLocked(client: Client, publisher: Publisher): Promise<void> {
  const signal = new AbortController().signal;
  await client.query("SET TimeZone = 'UTC'");
  for (;;) {
    await client.query('BEGIN');
    const { rows } = await client.query<string[]>({ name: 'take', text: TAKE, rowMode: 'array', types: asText });
    // RETURNING promises no order.
    rows.sort((a, b) => Number(a[0]) - Number(b[0]));
    if (rows.length > 0) await publisher.publish(rows.map(toMessage), { signal });
    await client.query('COMMIT');
    if (rows.length === 0) return;
  }
}

function toMessage(row: readonly string[]): OutboundMessage {
  const [, id, topic, key, at, payload, headers] = row as [string, string, string, string, string, string, string];
  const time = `${at.slice(0, 10)}T${at.slice(11, -3)}Z`;
  const wire = encodeWire({ id, topic, key, time, payload, headers });
  return { id, topic, key, destination: 'sink', wire, replayId: null };
}
