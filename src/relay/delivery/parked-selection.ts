/**
 * What people do with parked messages: try a selection again, or give it up. In a transaction of the caller's.
 */
import type { ClientBase } from 'pg';
import { quoteIdentifier } from '../../postgres/quoting.ts';
import { nextDueSql } from './parking-store.ts';

/** Which parked messages a person means; what is left out does not narrow. */
export interface ParkedSelection {
  readonly subscription?: string | undefined;
  readonly id?: string | undefined;
  readonly key?: string | undefined;
  readonly seqs?: readonly number[] | undefined;
}

export interface ParkedReference {
  readonly subscription: string;
  readonly seq: number;
  readonly id: string;
  readonly topic: string;
  readonly key: string | null;
  readonly state: 'failed' | 'behind';
  readonly reason: string;
  readonly error: string | null;
  readonly attempts: number;
}

const REFERENCE = 'subscription, seq, id::text AS id, topic, key, state, reason, error, attempts';
const SELECTED = `($1::text IS NULL OR subscription = $1) AND ($2::uuid IS NULL OR id = $2) AND ($3::text IS NULL OR key = $3) AND ($4::bigint[] IS NULL OR seq = ANY ($4))`;

const selectionValues = ({ subscription, id, key, seqs }: ParkedSelection) => [
  subscription ?? null,
  id ?? null,
  key ?? null,
  seqs ?? null,
];
type ReferenceRow = Omit<ParkedReference, 'seq'> & { readonly seq: string };
const toReference = (row: ReferenceRow): ParkedReference => ({ ...row, seq: Number(row.seq) });

/** What was made due: their number, and the ids and topics of the first of them. They may be a million. */
export interface RetryRequested {
  readonly messages: number;
  /** At most 100. */
  readonly ids: readonly string[];
  /** How many messages of which topic; at most 1000 topics. */
  readonly topics: readonly { readonly topic: string; readonly messages: number }[];
}

/**
 * Makes the failed messages of a selection due now, dead letters included; the relay takes them up within a second or so.
 * In the caller's transaction.
 */
export async function requestRetry(
  client: ClientBase,
  schema: string,
  selection: ParkedSelection,
): Promise<RetryRequested> {
  const result = await client.query<{ found: string }>(
    `WITH due AS (
       UPDATE ${quoteIdentifier(schema)}.parked_message SET next_attempt_at = clock_timestamp()
       WHERE state = 'failed' AND ${SELECTED} RETURNING seq, id, topic)
     SELECT json_build_object(
       'messages', (SELECT count(*) FROM due),
       'ids', (SELECT coalesce(json_agg(id ORDER BY seq), '[]') FROM (SELECT seq, id FROM due ORDER BY seq LIMIT 100) AS first),
       'topics', (SELECT coalesce(json_agg(t), '[]') FROM (
         SELECT topic, count(*) AS messages FROM due GROUP BY topic ORDER BY topic LIMIT 1000) AS t))::text AS found`,
    selectionValues(selection),
  );
  return JSON.parse(result.rows[0]?.found as string) as RetryRequested;
}

/** The key of a parked message; undefined: it is not parked. In the caller's transaction. */
export async function keyOfParked(
  client: ClientBase,
  schema: string,
  { subscription, id }: { readonly subscription: string; readonly id: string },
): Promise<string | null | undefined> {
  const { rows } = await client.query<{ key: string | null }>(
    `SELECT key FROM ${quoteIdentifier(schema)}.parked_message WHERE subscription = $1 AND id = $2`,
    [subscription, id],
  );
  return rows[0]?.key;
}

/** Gives up all that a subscription has parked, in the caller's transaction. Resolves with how many they were. */
export async function discardAllParked(client: ClientBase, schema: string, subscription: string): Promise<number> {
  const result = await client.query(`DELETE FROM ${quoteIdentifier(schema)}.parked_message WHERE subscription = $1`, [
    subscription,
  ]);
  return result.rowCount ?? 0;
}

/**
 * Gives parked messages up for good, in the caller's transaction: they will not be published. What waited behind one goes on by
 * itself. Resolves with what was given up.
 */
export async function discardParkedMessages(
  client: ClientBase,
  schema: string,
  selection: ParkedSelection,
): Promise<readonly ParkedReference[]> {
  const result = await client.query<ReferenceRow>(
    `WITH gone AS (DELETE FROM ${quoteIdentifier(schema)}.parked_message WHERE ${SELECTED} RETURNING *),
     ${nextDueSql(schema)}
     SELECT ${REFERENCE} FROM gone`,
    selectionValues(selection),
  );
  return result.rows.map(toReference);
}
