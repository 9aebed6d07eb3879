/**
 * Looking into the outbox: lists of messages, and everything known about one.
 */
import { sql } from 'kysely';
import { HoldfastError } from '../../errors.ts';
import { encodeWire } from '../../message/envelope.ts';
import { isUuid } from '../../message/id.ts';
import { assertTopicPattern, topicMatches, topicPatternToRegex } from '../../message/topic-pattern.ts';
import type { Database } from '../../postgres/database.ts';
import { quoteIdentifier } from '../../postgres/quoting.ts';
import { PASSED_SQL } from '../../relay/log/passed.ts';
import { refuseUnknownOptions } from '../../runtime/options.ts';
import { seqAfter, seqBefore } from '../../relay/log/log-position.ts';
import { ageMs, consumersSql, firstRow, rows, rowsBySql, tables } from './reads.ts';

/** Which messages {@link listMessages} lists. */
export interface MessageFilter {
  /** A topic pattern. */
  readonly topic?: string | undefined;
  readonly key?: string | undefined;
  /** Written at or after. */
  readonly since?: Date | undefined;
  /** Written before. */
  readonly until?: Date | undefined;
  /** Oldest first, after this seq; without it, newest first. */
  readonly afterSeq?: number | undefined;
  /** Newest first, before this seq: the next page of a list. */
  readonly beforeSeq?: number | undefined;
  /**
   * 1 to 1000.
   *
   * @defaultValue 50
   */
  readonly limit?: number | undefined;
}

/** A message, as {@link listMessages} lists it. */
export interface MessageSummary {
  readonly seq: number;
  readonly id: string;
  readonly topic: string;
  readonly key: string | null;
  readonly createdAt: Date;
  readonly ageMs: number;
  /** Of the payload as JSON text. */
  readonly payloadBytes: number;
}

/** What one subscription, or consumer, has to do with one message. */
export interface SubscriptionPassage {
  readonly subscription: string;
  readonly shard: number;
  /**
   * passed: the cursor is beyond it and it has a route: published. parked: see holdfast parked. waiting: not yet read. unrouted: no
   * route has its topic, as far as the relay that started last knows, so it is not published.
   */
  readonly state: 'passed' | 'parked' | 'waiting' | 'unrouted';
}

/** What one consumer has to do with one message. */
export interface ConsumerPassage {
  readonly consumer: string;
  readonly state: 'handled' | 'parked';
  readonly at: Date;
}

/** Everything known about one message of the log. See {@link showMessage}. */
export interface MessageDetails extends MessageSummary {
  readonly lane: number;
  /** The transaction that wrote it. */
  readonly xid: string;
  /** As it travels: the CloudEvent, parsed. */
  readonly envelope: Readonly<Record<string, unknown>>;
  readonly subscriptions: readonly SubscriptionPassage[];
  /** Consumers whose inbox is in this database. */
  readonly consumers: readonly ConsumerPassage[];
}

/** A message whose time has not come. See {@link showMessage}. */
export interface ScheduledDetails {
  readonly id: string;
  readonly topic: string;
  readonly key: string | null;
  readonly dueAt: Date;
  readonly payload: unknown;
}

const FILTERS = ['topic', 'key', 'since', 'until', 'afterSeq', 'beforeSeq', 'limit'] as const;

/** Throws HF_CONFIG or HF_OPTION_UNKNOWN for a filter that is not usable. */
export async function listMessages(database: Database, filter: MessageFilter = {}): Promise<readonly MessageSummary[]> {
  refuseUnknownOptions(filter, FILTERS, 'listMessages');
  const { topic, key, since, until, afterSeq, beforeSeq } = filter;
  const limit = checkLimit(filter.limit ?? 50);
  let query = tables(database)
    .selectFrom('outbox')
    .select(['seq', 'id', 'topic', 'key', 'created_at'])
    .select([ageMs('created_at').as('age_ms'), sql<number>`octet_length(payload::text)`.as('payload_bytes')])
    .orderBy('seq', afterSeq === undefined ? 'desc' : 'asc')
    .limit(limit);
  if (topic !== undefined) {
    assertTopicPattern(topic);
    query = query.where('topic', '~', topicPatternToRegex(topic));
  }
  if (key !== undefined) query = query.where('key', '=', key);
  if (since !== undefined)
    query = query
      .where('created_at', '>=', since)
      .where('seq', '>=', await seqBefore(database, database.schema, since));
  if (until !== undefined)
    query = query.where('created_at', '<', until).where('seq', '<', await seqAfter(database, database.schema, until));
  if (afterSeq !== undefined) query = query.where('seq', '>', afterSeq);
  if (beforeSeq !== undefined) query = query.where('seq', '<', beforeSeq);
  return (await rows(database, query)).map(toSummary);
}

/** Rejects with HF_NOT_FOUND for what is neither in the log nor scheduled. */
export async function showMessage(
  database: Database,
  id: string,
): Promise<MessageDetails | { readonly scheduled: ScheduledDetails }> {
  assertMessageId(id);
  const row = await firstRow(
    database,
    tables(database)
      .selectFrom('outbox')
      .where('id', '=', id)
      .select(['seq', 'id', 'topic', 'key', 'created_at', 'lane', sql<string>`xid::text`.as('xid_text')])
      .select([ageMs('created_at').as('age_ms'), sql<number>`octet_length(payload::text)`.as('payload_bytes')])
      .select([sql<string>`payload::text`.as('payload_text'), sql<string>`headers::text`.as('headers_text')])
      .select(sql<string>`to_char(created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`.as('time_text')),
  );
  if (row === undefined) return { scheduled: await showScheduled(database, id) };
  const wire = encodeWire({
    id: row.id,
    topic: row.topic,
    key: row.key,
    time: row.time_text,
    payload: row.payload_text,
    headers: row.headers_text,
  });
  const [subscriptions, consumers] = await Promise.all([
    subscriptionPassages(database, id),
    consumerPassages(database, id),
  ]);
  return {
    ...toSummary(row),
    lane: row.lane,
    xid: row.xid_text,
    envelope: JSON.parse(wire) as Readonly<Record<string, unknown>>,
    subscriptions,
    consumers,
  };
}

async function showScheduled(database: Database, id: string): Promise<ScheduledDetails> {
  const row = await firstRow(
    database,
    tables(database)
      .selectFrom('scheduled_message')
      .where('id', '=', id)
      .select(['id', 'topic', 'key', 'due_at', 'payload']),
  );
  if (row === undefined) {
    throw new HoldfastError('HF_NOT_FOUND', `There is no message ${id} in the log.`, {
      advice: 'Check the id; retention may have pruned it, or its transaction was rolled back.',
      details: { id },
    });
  }
  return { id: row.id, topic: row.topic, key: row.key, dueAt: new Date(row.due_at), payload: row.payload };
}

export async function subscriptionPassages(database: Database, id: string): Promise<readonly SubscriptionPassage[]> {
  const query = tables(database)
    .selectFrom('subscription as s')
    .innerJoin('outbox as o', (join) => join.on(sql<boolean>`o.lane % s.shards = s.shard`))
    .leftJoin('parked_message as p', (join) => join.onRef('p.subscription', '=', 's.name').onRef('p.seq', '=', 'o.seq'))
    .where('o.id', '=', id)
    .select(['s.name', 's.shard', 's.topics', 'o.topic', sql<boolean>`p.seq is not null`.as('parked')])
    .select(sql.raw<boolean>(PASSED_SQL).as('passed'))
    .orderBy('s.name');
  return (await rows(database, query)).map(({ name, shard, topics, topic, parked, passed }) => {
    const unrouted = topics?.every((pattern) => !topicMatches(pattern, topic)) ?? false;
    const state = parked ? 'parked' : unrouted ? 'unrouted' : passed ? 'passed' : 'waiting';
    return { subscription: name, shard, state };
  });
}

async function consumerPassages(database: Database, id: string): Promise<readonly ConsumerPassage[]> {
  const s = quoteIdentifier(database.schema);
  const handled = await rowsBySql<{ consumer: string; at: number }>(
    database,
    `WITH RECURSIVE ${consumersSql(database.schema)}
     SELECT i.consumer, extract(epoch FROM i.handled_at)::float8 * 1000 AS at FROM consumers c JOIN ${s}.inbox i ON i.consumer = c.consumer AND i.message_id = $1
     ORDER BY i.consumer`,
    [id],
  );
  const parked = await rows(
    database,
    tables(database)
      .selectFrom('parked_delivery')
      .where('message_id', '=', id)
      .select(['consumer', 'parked_at as at'])
      .orderBy('consumer'),
  );
  return [
    ...handled.map(({ consumer, at }): ConsumerPassage => ({ consumer, state: 'handled', at: new Date(at) })),
    ...parked.map(({ consumer, at }): ConsumerPassage => ({ consumer, state: 'parked', at: new Date(at) })),
  ];
}

interface SummaryRow {
  readonly seq: string | number | bigint;
  readonly id: string;
  readonly topic: string;
  readonly key: string | null;
  readonly created_at: Date;
  readonly age_ms: number;
  readonly payload_bytes: number;
}

function toSummary(row: SummaryRow): MessageSummary {
  return {
    seq: Number(row.seq),
    id: row.id,
    topic: row.topic,
    key: row.key,
    createdAt: new Date(row.created_at),
    ageMs: row.age_ms,
    payloadBytes: row.payload_bytes,
  };
}

/** Throws HF_CONFIG: an id that is no UUID would only be an error of the database. */
export function assertMessageId(id: string): void {
  if (isUuid(id)) return;
  throw new HoldfastError('HF_CONFIG', `${JSON.stringify(id)} is not a message id.`, {
    advice: 'Ids are UUIDs such as 0199f3a0-7b1c-7cc0-9d7e-3a4b5c6d7e8f; `holdfast outbox ls` shows them.',
  });
}

/** Throws HF_CONFIG. */
export function checkLimit(limit: number): number {
  if (Number.isInteger(limit) && limit >= 1 && limit <= 1000) return limit;
  throw new HoldfastError('HF_CONFIG', `The limit is ${limit}.`, { advice: 'Give a whole number from 1 to 1000.' });
}
