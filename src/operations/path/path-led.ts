/**
 * What a message led to: the messages that were sent while it was handled, and those that were sent while these were, a level at a time.
 * They are found by the transactions of the marks; where a consumer keeps none here, what follows soon in the log is looked through.
 */
import { readJson, type BoundedRead } from '../reads/bounded.ts';
import { refColumns, toMessageRef, type RefRow } from '../reads/message-ref.ts';
import { leapsSql, ofTransactionSql, writerSql } from '../reads/written-by.ts';
import type { LedMessage, PathMessage } from './path-model.ts';

const MOST_LEVELS = 5;
const MOST_LED = 200;
/** Rows behind a message that are looked through for what names it as its cause. */
const MOST_BEHIND = 5_000;

/** A message, and the one whose handling sent it. */
export interface LedRow extends RefRow {
  readonly from: string;
  /** Of several: in whose log it is. */
  readonly database?: string;
}

/** Where to look for what messages led to; null: it could not be read in time. */
export interface LedLooks {
  /** What was sent in the transactions that marked these as handled. */
  readonly marked: (ids: readonly string[]) => Promise<readonly LedRow[] | null>;
  /** What follows the message in its log, and names it as its cause. */
  readonly behind: () => Promise<readonly LedRow[] | null>;
}

export interface Led {
  readonly messages: readonly LedMessage[];
  readonly complete: boolean;
}

/** In one database. */
export function readLed(read: BoundedRead, message: PathMessage): Promise<Led> {
  return followLed(message, {
    marked: (ids) => readMarked(read, ids),
    behind: () => readBehind(read, message),
  });
}

/** A level at a time, wherever the looks lead. */
export async function followLed(message: PathMessage, looks: LedLooks): Promise<Led> {
  const found = new Map<string, LedMessage>();
  let level: readonly string[] = [message.id];
  let complete = true;
  for (let depth = 1; depth <= MOST_LEVELS && level.length > 0; depth += 1) {
    const marked = await looks.marked(level);
    const rows = marked !== null && marked.length === 0 && depth === 1 ? await looks.behind() : marked;
    if (rows === null) complete = false;
    const next: string[] = [];
    for (const row of rows ?? []) {
      if (row.id === message.id || found.has(row.id)) continue;
      if (found.size >= MOST_LED) {
        complete = false;
        break;
      }
      const relation = row.causation === row.from ? 'caused' : 'together';
      const where = row.database === undefined ? {} : { database: row.database };
      found.set(row.id, { ...toMessageRef(row), ...where, from: row.from, depth, relation });
      // What only stood in the same transaction is not followed: in a batch it may be another message's.
      if (relation === 'caused') next.push(row.id);
    }
    if (depth === MOST_LEVELS && next.length > 0) complete = false;
    level = complete ? next : [];
  }
  return { messages: [...found.values()], complete };
}

/** Sent in the transactions that marked these as handled: by whoever says so, or without a word on what caused it. */
export async function readMarked(read: BoundedRead, ids: readonly string[]): Promise<readonly LedRow[] | null> {
  const { schema } = read;
  const found = await readJson<readonly LedRow[]>(
    read,
    `WITH RECURSIVE ${leapsSql('marking', `${schema}.inbox`, 'consumer')},
       marks AS MATERIALIZED (
         SELECT i.message_id, ${writerSql('i')} AS xid
         FROM marking c JOIN ${schema}.inbox i ON i.consumer = c.consumer AND i.message_id = ANY ($1::uuid[]))
     SELECT coalesce(json_agg(m ORDER BY m.seq::bigint), '[]')::text AS answer FROM (
       SELECT k.message_id AS from, ${refColumns('o')}
       FROM marks k CROSS JOIN LATERAL (
         SELECT x.* FROM (${ofTransactionSql(schema, 'k.xid')}) x
         WHERE (x.headers ->> 'causationid' IS NULL OR x.headers ->> 'causationid' = k.message_id::text)
         ORDER BY x.seq LIMIT ${MOST_LED + 1}) o) m`,
    [ids],
  );
  return found?.value ?? null;
}

export async function readBehind(read: BoundedRead, message: PathMessage): Promise<readonly LedRow[] | null> {
  const { schema } = read;
  const found = await readJson<readonly LedRow[]>(
    read,
    `SELECT coalesce(json_agg(m), '[]')::text AS answer FROM (
       SELECT $2::text AS from, ${refColumns('o')} FROM (
         SELECT * FROM ${schema}.outbox x WHERE x.seq > $1::bigint ORDER BY x.seq LIMIT ${MOST_BEHIND}) o
       WHERE o.headers ->> 'causationid' = $2::text ORDER BY o.seq LIMIT ${MOST_LED + 1}) m`,
    [message.seq, message.id],
  );
  return found?.value ?? null;
}
