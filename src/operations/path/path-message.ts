/**
 * Where a message comes from: its row, what its transaction wrote beside it, and the messages that led to it.
 */
import { isUuid } from '../../message/id.ts';
import { readJson, type BoundedRead } from '../reads/bounded.ts';
import { uuidRange } from '../reads/id-prefix.ts';
import { refColumns, toMessageRef, type MessageRef, type RefRow } from '../reads/message-ref.ts';
import { isWrittenBy } from '../reads/written-by.ts';
import type { MessagePath, PathMessage, PathRun } from './path-model.ts';

/** What a reply says in its payload, where it is one. */
export interface ReplyFacts {
  readonly runId: string;
  readonly call: string;
  readonly to: 'command' | 'compensation';
  readonly outcome: 'done' | 'rejected';
}

export interface OriginRow {
  readonly message: PathMessage | null;
  readonly reply: ReplyFacts | null;
  readonly scheduled: MessagePath['scheduled'];
  readonly now: Date;
}

interface FoundOrigin {
  readonly message:
    | (RefRow & {
        readonly lane: number;
        readonly xid: string;
        readonly bytes: number | null;
        readonly source: string | null;
        readonly traceparent: string | null;
        readonly own: Readonly<Record<string, string>> | null;
        readonly reply: Readonly<Record<'runId' | 'call' | 'to' | 'outcome', string | null>> | null;
      })
    | null;
  readonly scheduled: { readonly topic: string; readonly key: string | null; readonly due: number } | null;
  readonly now: number;
}

/** Null: it could not be read in time. */
export async function readOrigin(read: BoundedRead, id: string): Promise<OriginRow | null> {
  const { schema } = read;
  const found = await readJson<FoundOrigin>(
    read,
    `SELECT json_build_object(
       'now', extract(epoch FROM clock_timestamp())::float8 * 1000,
       'message', (SELECT row_to_json(m) FROM (
         SELECT ${refColumns('o')}, o.lane, o.xid::text AS xid, o.bytes, o.headers ->> 'source' AS source,
           o.headers ->> 'traceparent' AS traceparent, o.headers -> 'headers' AS own,
           CASE WHEN jsonb_typeof(o.payload) = 'object' AND o.payload ?& '{runId,call,to,outcome}' THEN json_build_object(
             'runId', o.payload ->> 'runId', 'call', o.payload ->> 'call', 'to', o.payload ->> 'to',
             'outcome', o.payload ->> 'outcome') END AS reply
         FROM ${schema}.outbox o WHERE o.id = $1::uuid) m),
       'scheduled', (SELECT row_to_json(m) FROM (
         SELECT s.topic, s.key, extract(epoch FROM s.due_at)::float8 * 1000 AS due
         FROM ${schema}.scheduled_message s WHERE s.id = $1::uuid) m))::text AS answer`,
    [id],
  );
  if (found === null) return null;
  const { message, scheduled, now } = found.value;
  return {
    now: new Date(now),
    message: message === null ? null : toPathMessage(message),
    reply: message === null ? null : toReply(message.reply),
    scheduled:
      scheduled === null ? null : { topic: scheduled.topic, key: scheduled.key, dueAt: new Date(scheduled.due) },
  };
}

function toPathMessage(row: NonNullable<FoundOrigin['message']>): PathMessage {
  const { lane, xid, bytes, source, traceparent, own } = row;
  return { ...toMessageRef(row), lane, xid, bytes, source, traceparent, headers: own ?? {} };
}

/** As a reply must be (saga/protocol/wire.ts); a payload that has such members by chance names no run. */
function toReply(found: NonNullable<FoundOrigin['message']>['reply']): ReplyFacts | null {
  if (found === null) return null;
  const { runId, call, to, outcome } = found;
  if (!isUuid(runId) || call === null) return null;
  if ((to !== 'command' && to !== 'compensation') || (outcome !== 'done' && outcome !== 'rejected')) return null;
  return { runId: runId.toLowerCase(), call, to, outcome };
}

export const MOST_CAUSES = 20;
const UUID_REGEX = '^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$';

/** The nearest first. `itself`: the message is one of them, as one of another database that led to what is known there. */
export async function readCauses(
  read: BoundedRead,
  id: string,
  { itself = false } = {},
): Promise<readonly MessageRef[]> {
  const { schema } = read;
  const cause = (alias: string): string =>
    `CASE WHEN ${alias}.headers ->> 'causationid' ~ '${UUID_REGEX}' THEN (${alias}.headers ->> 'causationid')::uuid END`;
  const found = await readJson<readonly RefRow[]>(
    read,
    `WITH RECURSIVE up (id, cause, depth) AS (
       SELECT o.id, ${cause('o')}, 0 FROM ${schema}.outbox o WHERE o.id = $1::uuid
       UNION ALL
       SELECT p.id, ${cause('p')}, u.depth + 1 FROM up u JOIN ${schema}.outbox p ON p.id = u.cause
       WHERE u.depth < ${MOST_CAUSES})
     SELECT coalesce(json_agg(m ORDER BY m.depth), '[]')::text AS answer FROM (
       SELECT u.depth, ${refColumns('o')} FROM up u JOIN ${schema}.outbox o ON o.id = u.id WHERE u.depth >= $2::int) m`,
    [id, itself ? 0 : 1],
  );
  return (found?.value ?? []).map(toMessageRef);
}

const MOST_BESIDE = 20;
/** A transaction number of another cluster may be the same by chance: what one transaction writes is not so far apart, in seconds. */
const ONE_TRANSACTION_S = 3_600;
/** Ids of one transaction are made within this time, in milliseconds; and so many runs are looked at. */
const IDS_APART_MS = 2_000;
const MOST_RUNS = 2_000;
/** Between its id and its row: later, it was not written by who made it. */
const SCHEDULED_MS = 10_000;

/** What else the transaction of the message wrote. Nothing for one that was scheduled: a relay wrote it, with others that were due. */
export async function readTogether(read: BoundedRead, message: PathMessage): Promise<MessagePath['together']> {
  const { schema } = read;
  if (message.createdAt.getTime() - madeAt(message.id) > SCHEDULED_MS) return { messages: [], runs: [] };
  const beside = await readJson<readonly RefRow[]>(
    read,
    `SELECT coalesce(json_agg(m), '[]')::text AS answer FROM (
       SELECT ${refColumns('o')} FROM ${schema}.outbox o
       WHERE o.xid = $1::text::xid8 AND o.id <> $2::uuid
         AND abs(extract(epoch FROM o.created_at - to_timestamp($3::float8 / 1000))) < ${ONE_TRANSACTION_S}
       ORDER BY o.seq LIMIT ${MOST_BESIDE}) m`,
    [message.xid, message.id, message.createdAt.getTime()],
  );
  const [first, last] = idsAbout(message.id);
  const runs = await readJson<readonly PathRun[]>(
    read,
    `SELECT coalesce(json_agg(m), '[]')::text AS answer FROM (
       SELECT r.id, r.saga, r.version, r.key, r.status
       FROM (SELECT * FROM ${schema}.saga_run n WHERE n.id >= $1::uuid AND n.id <= $2::uuid ORDER BY n.id LIMIT ${MOST_RUNS}) r
       JOIN ${schema}.saga_journal j ON j.saga_id = r.id AND j.n = 0
       WHERE ${isWrittenBy('j', '$3::text::xid8')} LIMIT ${MOST_BESIDE}) m`,
    [first, last, message.xid],
  );
  return { messages: (beside?.value ?? []).map(toMessageRef), runs: runs?.value ?? [] };
}

/** The time in an id of version 7, in milliseconds since the epoch; Infinity: it has none. */
function madeAt(id: string): number {
  const digits = id.replaceAll('-', '');
  return digits[12] === '7' ? Number.parseInt(digits.slice(0, 12), 16) : Infinity;
}

/** The range of ids that were made at about the same time, where they carry it (UUIDs of version 7). */
function idsAbout(id: string): readonly [string, string] {
  const ms = Math.min(madeAt(id), 0xff_ff_ff_ff_ff_ff);
  const digits = (at: number): string => Math.max(0, Math.min(at, 0xff_ff_ff_ff_ff_ff)).toString(16).padStart(12, '0');
  return [uuidRange(digits(ms - IDS_APART_MS))[0], uuidRange(digits(ms + IDS_APART_MS))[1]];
}
