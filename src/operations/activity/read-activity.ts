/**
 * Reads what has been written since a moment, over all tables: rows of journals, messages, marks of consumers, what was parked. For whoever
 * follows a database as it works, on a machine for development: nothing but the clock says what is new, and no index serves that. Who
 * follows looks again after a while that grows with what a look costs.
 */
import type { Database } from '../../postgres/database.ts';
import type { JournalEvent } from '../../saga/journal/events.ts';
import { boundedRead, readLastJson } from '../reads/bounded.ts';

/** A row of a journal, with its run. Times are milliseconds since the epoch, on the database's clock. */
export interface JournalNews {
  readonly id: string;
  readonly n: number;
  readonly at: number;
  readonly events: readonly JournalEvent[];
  readonly saga: string;
  readonly key: string | null;
  readonly startedAt: number;
}

export interface MessageNews {
  readonly id: string;
  readonly seq: number;
  readonly at: number;
  readonly topic: string;
  readonly key: string | null;
  /** All subscriptions have passed it; null: there is none. */
  readonly passed: boolean | null;
}

export interface HandledNews {
  readonly consumer: string;
  readonly id: string;
  readonly at: number;
  /** Null where its message is not in this database. */
  readonly topic: string | null;
  readonly key: string | null;
}

export interface ParkedNews extends HandledNews {
  /** `consumer`, or the subscription of a relay. */
  readonly by: 'consumer' | 'relay';
  readonly reason: string;
  readonly error: string | null;
}

export interface ActivityRows {
  /** When it was read. */
  readonly now: number;
  /** The last number of the log. */
  readonly seq: number;
  readonly journal: readonly JournalNews[];
  readonly messages: readonly MessageNews[];
  readonly handled: readonly HandledNews[];
  readonly parked: readonly ParkedNews[];
}

export interface ActivityPlace {
  /** Milliseconds since the epoch, on the database's clock. */
  readonly since: number;
  /** Messages after this number of the log. */
  readonly seq: number;
  /** Ids of messages before it that are asked for again. */
  readonly messages: readonly string[];
}

/** Of each table; of more, the newest. */
const MOST_ROWS = 500;

/** Where to begin: now. Null: it took too long. Rejects as database.query does. */
export async function activityBegins(database: Database): Promise<Pick<ActivityRows, 'now' | 'seq'> | null> {
  const found = await boundedRead(database, (read) =>
    readLastJson<Pick<ActivityRows, 'now' | 'seq'>>(
      read,
      `SELECT json_build_object('now', ${ms('clock_timestamp()')},
         'seq', (SELECT coalesce(max(seq), 0) FROM ${read.schema}.outbox))::text AS answer`,
      [],
    ),
  );
  return found?.value ?? null;
}

/** What was written since, oldest first. Null: it took too long. Rejects as database.query does. */
export async function readActivity(database: Database, place: ActivityPlace): Promise<ActivityRows | null> {
  const found = await boundedRead(database, (read) =>
    readLastJson<ActivityRows>(read, statement(read.schema), [place.since / 1_000, place.seq, place.messages]),
  );
  return found?.value ?? null;
}

const ms = (time: string): string => `extract(epoch FROM ${time})::float8 * 1000`;

const list = (of: string, order: string): string =>
  `(SELECT coalesce(json_agg(x ORDER BY ${order}), '[]') FROM (${of} LIMIT ${MOST_ROWS}) AS x)`;

function statement(schema: string): string {
  const recent = (time: string): string => `${time} >= to_timestamp($1::float8)`;
  const message = `o.id, o.seq::float8 AS seq, ${ms('o.created_at')} AS at, o.topic, o.key,
    (SELECT bool_and(o.seq <= s.high AND pg_visible_in_snapshot(o.xid, s.snapshot)) FROM ${schema}.subscription s) AS passed`;
  return `SELECT json_build_object(
    'now', ${ms('clock_timestamp()')},
    'seq', (SELECT coalesce(max(seq), 0) FROM ${schema}.outbox),
    'journal', ${list(
      `SELECT j.saga_id AS id, j.n, ${ms('j.at')} AS at, j.events, r.saga, r.key, ${ms('r.started_at')} AS "startedAt"
       FROM ${schema}.saga_journal j JOIN ${schema}.saga_run r ON r.id = j.saga_id
       WHERE ${recent('j.at')} ORDER BY j.at DESC`,
      'x.at, x.n',
    )},
    'messages', ${list(
      `SELECT * FROM (SELECT ${message} FROM ${schema}.outbox o WHERE o.seq > $2::float8::bigint
       UNION SELECT ${message} FROM ${schema}.outbox o WHERE o.id = ANY ($3::uuid[])) AS o ORDER BY o.seq DESC`,
      'x.seq',
    )},
    'handled', ${list(
      `SELECT i.consumer, i.message_id AS id, ${ms('i.handled_at')} AS at, o.topic, o.key
       FROM ${schema}.inbox i LEFT JOIN ${schema}.outbox o ON o.id = i.message_id
       WHERE ${recent('i.handled_at')}
         AND NOT EXISTS (SELECT FROM ${schema}.parked_delivery p WHERE p.consumer = i.consumer AND p.message_id = i.message_id)
       ORDER BY i.handled_at DESC`,
      'x.at',
    )},
    'parked', ${list(
      `SELECT * FROM (
         SELECT 'relay' AS by, p.subscription AS consumer, p.id, ${ms('p.parked_at')} AS at, p.topic, p.key, p.reason, p.error
         FROM ${schema}.parked_message p WHERE p.state = 'failed' AND ${recent('p.parked_at')}
         UNION ALL
         SELECT 'consumer', p.consumer, p.message_id, ${ms('p.parked_at')}, p.topic, p.key, p.reason, p.error
         FROM ${schema}.parked_delivery p WHERE p.state = 'failed' AND ${recent('p.parked_at')}) AS p ORDER BY p.at DESC`,
      'x.at',
    )})::text AS answer`;
}
