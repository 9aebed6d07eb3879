/**
 * Writing a message as people do by hand: one parametrised insert of the same row into a table like the outbox, with the same
 * indexes. The id, the JSON texts and the transaction id are what any writer of this row needs.
 */
import type { Client } from 'pg';
import { v7 } from 'uuid';

export const PLAIN_TABLE = 'public.plain_outbox';

export const PLAIN_SCHEMA = `CREATE TABLE ${PLAIN_TABLE} (LIKE holdfast.outbox INCLUDING ALL)`;

const INSERT = `
  INSERT INTO ${PLAIN_TABLE} (xid, id, topic, key, lane, payload, headers)
  VALUES (pg_current_xact_id(), $1, $2, $3, $4, $5, $6)`;

export async function insertPlain(client: Client, topic: string, key: string, payload: object): Promise<void> {
  await client.query(INSERT, [
    v7(),
    topic,
    key,
    0,
    JSON.stringify(payload),
    JSON.stringify({ schemaversion: 1, source: 'bench' }),
  ]);
}
