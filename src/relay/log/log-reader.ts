/**
 * Reads the outbox as a log: one statement gives the next page after a cursor.
 * Owns the reading side of the table `outbox`; the writing side is in the SQL functions write_message (one) and write_outbox (many).
 */
import type { Client } from 'pg';
import { topicPatternToRegex } from '../../message/topic-pattern.ts';
import { LOCK_PATIENCE_MS } from '../../postgres/lock-wait.ts';
import { quoteIdentifier } from '../../postgres/quoting.ts';
import { BYTES_SQL } from './row-bytes.ts';
import { cursorAfter, parseSnapshot, type Cursor } from './cursor.ts';

/** A row of the log as texts: the payload is not parsed on its way through the relay. */
export interface LogEntry {
  readonly seq: number;
  readonly id: string;
  readonly topic: string;
  readonly key: string | null;
  /** RFC 3339, UTC. */
  readonly time: string;
  /** Null for one of more than MAX_ENTRY_BYTES: it stays in the database, and `bytes` says how large it is. */
  readonly payload: string | null;
  /** JSON text of WireAttributes; the sender's own headers are its member `headers`. */
  readonly headers: string;
  /** Of payload and headers as JSON text; near enough for a row written before they were noted. */
  readonly bytes: number;
}

export interface LogPage {
  /** The rows this subscription is to deliver, in the order of delivery. */
  readonly entries: readonly LogEntry[];
  /** The cursor once they are delivered or parked. */
  readonly next: Cursor;
  /** More is known to be waiting right behind this page. */
  readonly more: boolean;
  /** The highest seq drawn so far, by whatever transaction, committed or not. */
  readonly drawn: number;
}

export interface LogFilter {
  /** Topic patterns; a row matching none is passed over. Undefined: all topics. */
  readonly topics: readonly string[] | undefined;
  readonly shard: number;
  readonly shards: number;
}

export interface LogReader {
  read(cursor: Cursor, limit: number): Promise<LogPage>;
  /** Now, by the database's clock as the last page or range told it, RFC 3339 to the millisecond; null before the first. */
  databaseTime(): string | null;
  /** Id and topic of a row, which may be too large to be read. */
  identify(seq: number): Promise<{ readonly id: string; readonly topic: string } | undefined>;
  /** These rows, by seq; those that are not there are left out, and the last ones when all together would be too large. */
  pick(seqs: readonly number[]): Promise<readonly LogEntry[]>;
  /** What is visible now of a range of the log, by seq, whatever the filter of this reader; in steps, if what is wanted is rare. */
  range(wanted: LogRange): Promise<RangePage>;
}

export interface RangePage {
  readonly entries: readonly LogEntry[];
  /** The seq to go on from; null at the end of the range. */
  readonly next: number | null;
}

export interface LogRange {
  readonly fromSeq: number;
  readonly toSeq: number;
  /** A topic pattern; null: all. */
  readonly topic: string | null;
  readonly key: string | null;
  readonly limit: number;
}

/**
 * Settings of the connection the log is read on. The planner has no statistics worth having for a table that only grows at
 * one end, and both ways into it are known: by (xid, seq) and by seq. So it is told.
 */
export const LOG_READER_SETTINGS = `
  SET TimeZone = 'UTC'; SET DateStyle = 'ISO'; SET enable_seqscan = off; SET enable_bitmapscan = off; SET jit = off;
  SET plan_cache_mode = force_generic_plan; SET max_parallel_workers_per_gather = 0;
  SET default_transaction_read_only = on; SET lock_timeout = ${LOCK_PATIENCE_MS}`;

/** The bytes of JSON text after which a page is closed: at the default limits a page of large messages would otherwise take a gigabyte. */
export const PAGE_BYTES = 8 * 1_048_576;

/** A message that is larger is not taken into memory: no transport takes it, and a relay must not die of it. */
export const MAX_ENTRY_BYTES = 64 * 1_048_576;

/** Rows that one step of a range looks at: the live log waits meanwhile. */
const RANGE_ROWS = 5_000;

const TEXTS = `seq, id::text, topic, key, created_at::text,
  CASE WHEN ${BYTES_SQL} > ${MAX_ENTRY_BYTES} AND octet_length(payload::text) > ${MAX_ENTRY_BYTES} THEN NULL ELSE payload::text END,
  headers::text, (${BYTES_SQL})::text`;

const asText = { getTypeParser: () => (value: string) => value };

export function createLogReader(client: Client, schema: string, filter: LogFilter): LogReader {
  const query = {
    name: `holdfast-log-${filterName(filter)}`,
    text: logQuery(schema, filter),
    rowMode: 'array' as const,
    types: asText,
  };
  let told: { readonly databaseMs: number; readonly atMs: number } | null = null;
  const tell = (databaseMs: number): void => void (told = { databaseMs, atMs: performance.now() });
  return {
    databaseTime: () =>
      told === null ? null : new Date(told.databaseMs + performance.now() - told.atMs).toISOString(),

    async read(cursor, limit) {
      const { xmax, xip } = parseSnapshot(cursor.snapshot);
      const result = await client.query<(string | null)[]>({
        ...query,
        values: [
          `{${xip.join(',')}}`,
          xmax.toString(),
          cursor.high,
          Math.max(cursor.floor, cursor.catchup?.seq ?? 0),
          cursor.catchup?.snapshot ?? null,
          limit,
          PAGE_BYTES,
        ],
      });
      tell(Number(result.rows[0]?.[0]));
      return toPage(cursor, result.rows);
    },

    async pick(seqs) {
      const result = await client.query<string[]>({
        text: `SELECT ${TEXTS} FROM (
                 SELECT *, sum(${BYTES_SQL}) OVER (ORDER BY seq) - ${BYTES_SQL} AS bytes_before
                 FROM ${quoteIdentifier(schema)}.outbox WHERE seq = ANY ($1::bigint[])) AS picked
               WHERE bytes_before < $2 ORDER BY seq`,
        values: [seqs, PAGE_BYTES],
        rowMode: 'array',
        types: asText,
      });
      return result.rows.map(toEntry);
    },

    async identify(seq) {
      const result = await client.query<{ id: string; topic: string }>(
        `SELECT id::text AS id, topic FROM ${quoteIdentifier(schema)}.outbox WHERE seq = $1`,
        [seq],
      );
      return result.rows[0];
    },

    async range({ fromSeq, toSeq, topic, key, limit }) {
      const result = await client.query<(string | null)[]>({
        text: rangeQuery(schema),
        values: [fromSeq, toSeq, topic === null ? null : topicPatternToRegex(topic), key, limit, PAGE_BYTES],
        rowMode: 'array',
        types: asText,
      });
      const [header, ...found] = result.rows as [(string | null)[], ...string[][]];
      tell(Number(header[0]));
      const entries = found.map(toEntry);
      const cut = entries.length === limit || entries.length < Number(header[2]);
      const last = cut ? (entries.at(-1)?.seq ?? null) : numberOrNull(header[1]);
      return { entries, next: last === null || last >= toSeq ? null : last + 1 };
    },
  };
}

function toPage(cursor: Cursor, rows: readonly (string | null)[][]): LogPage {
  const [header, ...found] = rows as [string[], ...string[][]];
  const [, snapshot, lowLast, highLast, drawn, lowFull, highFull] = header;
  if (snapshot === undefined) throw new TypeError('the log query returned no header row');
  return {
    entries: found.map(toEntry),
    next: cursorAfter(cursor, {
      snapshot,
      lowLast: numberOrNull(lowLast),
      lowFull: lowFull === 'true',
      highLast: numberOrNull(highLast),
    }),
    more: cursor.catchup !== null || lowFull === 'true' || highFull === 'true',
    drawn: Number(drawn),
  };
}

function toEntry([seq, id, topic, key, time, payload, headers, bytes]: readonly (string | null)[]): LogEntry {
  return {
    seq: Number(seq),
    id,
    topic,
    key,
    time: rfc3339(time as string),
    payload,
    headers,
    bytes: Number(bytes),
  } as LogEntry;
}

function numberOrNull(text: string | null | undefined): number | null {
  return text === null || text === undefined ? null : Number(text);
}

/** '2026-01-02 03:04:05.678901+00' to '2026-01-02T03:04:05.678901Z'. */
function rfc3339(timestamp: string): string {
  return `${timestamp.slice(0, 10)}T${timestamp.slice(11, -3)}Z`;
}

/**
 * A header row (the time in milliseconds, snapshot, the last seqs of low and of high, the last seq drawn, whether low and high were cut off), then low, then
 * high, each by seq.
 * $1 xip(P), $2 xmax(P), $3 high, $4 read low above this seq, $5 the catch-up snapshot or null, $6 page size, $7 page size in bytes.
 *
 * One statement has one snapshot, so pg_current_snapshot() is exactly what its scans see. Under catch-up high is not read: its rows
 * belong to a newer snapshot than the one being finished. The page size limits what is scanned, not what is wanted, so a subscription
 * to a rare topic still advances in bounded steps; rows for others do not leave the database.
 *
 * The low probe must go by the index (xid, seq). Given plain conditions on seq the planner, which knows neither bound, takes the primary
 * key instead and reads the whole log up to high at every poll. So its conditions are written such that no other index fits: as
 * comparisons of rows for the transactions that P saw running (those still running have nothing to show, and are left out), and with
 * seq hidden in an expression for those that began later. OFFSET 0 keeps the ORDER BY outside from suggesting the primary key again.
 *
 * High is scanned twice, first for its seqs and sizes alone: carrying whole rows through the steps costs half as much again as reading
 * them a second time, from pages that are then at hand.
 */
function logQuery(schema: string, filter: LogFilter): string {
  const s = quoteIdentifier(schema);
  const columns = 'seq, id, topic, key, created_at, payload, headers, lane, bytes';
  const wanted = wantedSql(filter);
  const part = (name: string, source: string, condition: string) =>
    `SELECT * FROM (SELECT ${TEXTS} FROM ${source} WHERE ${condition} AND ${wanted} ORDER BY seq) AS ${name}_part`;
  return `
    WITH low_scan AS MATERIALIZED (
      SELECT ${columns}, sum(${BYTES_SQL}) OVER (ORDER BY seq) - ${BYTES_SQL} AS bytes_before FROM (
        SELECT * FROM (
        (SELECT late.* FROM unnest($1::text::xid8[]) AS ended (xid)
          CROSS JOIN LATERAL (
            SELECT ${columns} FROM ${s}.outbox AS o
            WHERE (o.xid, o.seq) > (ended.xid, $4::bigint) AND (o.xid, o.seq) <= (ended.xid, $3::bigint)
            ORDER BY o.xid, o.seq LIMIT $6::int) AS late
          WHERE pg_visible_in_snapshot(ended.xid, coalesce($5::pg_snapshot, pg_current_snapshot())))
        UNION ALL
        (SELECT ${columns} FROM ${s}.outbox
          WHERE xid >= $2::text::xid8 AND seq + 0 > $4::bigint AND seq + 0 <= $3::bigint
            AND ($5::pg_snapshot IS NULL OR pg_visible_in_snapshot(xid, $5::pg_snapshot))
          OFFSET 0)
        ) AS late ORDER BY seq LIMIT $6::int) AS late
    ), low AS MATERIALIZED (
      SELECT ${columns} FROM low_scan WHERE bytes_before < $7
    ), low_facts AS MATERIALIZED (
      SELECT max(seq) AS last, count(*) AS rows, count(*) >= $6::int OR count(*) < (SELECT count(*) FROM low_scan) AS cut FROM low
    ), high_scan AS MATERIALIZED (
      SELECT seq, sum(bytes) OVER (ORDER BY seq ROWS UNBOUNDED PRECEDING) - bytes AS bytes_before FROM (
        SELECT seq, ${BYTES_SQL} AS bytes FROM ${s}.outbox
        WHERE seq > $3::bigint AND $5::pg_snapshot IS NULL
        ORDER BY seq LIMIT (SELECT CASE WHEN cut THEN 0 ELSE $6::int - rows END FROM low_facts)) AS next
    ), high_facts AS MATERIALIZED (
      SELECT max(seq) FILTER (WHERE bytes_before < $7) AS last, count(*) FILTER (WHERE bytes_before < $7) AS rows, count(*) AS scanned
      FROM high_scan
    )
    SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint, pg_current_snapshot()::text, low_facts.last::text, high_facts.last::text,
      (SELECT last_value::text FROM ${s}.outbox_seq_seq), low_facts.cut::text,
      (high_facts.rows + low_facts.rows >= $6::int OR high_facts.rows < high_facts.scanned)::text, NULL
    FROM low_facts, high_facts
    UNION ALL ${part('low', 'low', 'true')}
    UNION ALL ${part('high', `${s}.outbox`, 'seq > $3::bigint AND seq <= (SELECT last FROM high_facts)')}`;
}

/**
 * A header row (the time in milliseconds, the last seq looked at, if there may be more behind it, and how many rows are wanted), then these,
 * by seq.
 * $1 from seq, $2 to seq, $3 a regular expression for the topic or null, $4 the key or null, $5 page size, $6 page size in bytes.
 */
function rangeQuery(schema: string): string {
  return `WITH looked_at AS MATERIALIZED (
      SELECT seq, id, topic, key, created_at, payload, headers, bytes FROM ${quoteIdentifier(schema)}.outbox
      WHERE seq BETWEEN $1 AND $2 ORDER BY seq LIMIT ${RANGE_ROWS}),
    wanted AS MATERIALIZED (
      SELECT *, sum(${BYTES_SQL}) OVER (ORDER BY seq) - ${BYTES_SQL} AS bytes_before FROM (
        SELECT * FROM looked_at WHERE ($3::text IS NULL OR topic ~ $3) AND ($4::text IS NULL OR key = $4)
        ORDER BY seq LIMIT $5) AS first)
    SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint, CASE WHEN count(*) = ${RANGE_ROWS} THEN max(seq)::text END,
      (SELECT count(*)::text FROM wanted), NULL, NULL, NULL, NULL, NULL FROM looked_at
    UNION ALL
    SELECT * FROM (SELECT ${TEXTS} FROM wanted WHERE bytes_before < $6 ORDER BY seq) AS entries`;
}

function wantedSql(filter: LogFilter): string {
  const conditions: string[] = [];
  if (filter.shards > 1) conditions.push(`lane % ${filter.shards} = ${filter.shard}`);
  if (filter.topics !== undefined) {
    const patterns = filter.topics.map((pattern) => `topic ~ '${topicPatternToRegex(pattern).replaceAll("'", "''")}'`);
    conditions.push(`(${patterns.join(' OR ')})`);
  }
  return conditions.length === 0 ? 'true' : conditions.join(' AND ');
}

function filterName(filter: LogFilter): string {
  return `${filter.shard}-${filter.shards}`;
}
