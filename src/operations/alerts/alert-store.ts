/**
 * The tables `alert` and `alert_round`: whose turn it is to look, what is known of each alert, and what is still to be told. Each call is
 * one statement, so that no transaction stands open while somebody is waited for.
 */
import type { Database } from '../../postgres/database.ts';
import { quoteIdentifier } from '../../postgres/quoting.ts';
import { translateSqlError } from '../../postgres/sql-state.ts';
import type { AlertArea, AlertKind, AlertNotice } from './alert.ts';
import type { AlertDecision, AlertRecord } from './decide.ts';
import type { ClaimedNotice, NoticeQueue } from './notice-queue.ts';

export interface AlertRound {
  readonly area: AlertArea;
  readonly round: string;
}

/** What is known of one area, and the time of the database, in milliseconds since the epoch. */
export interface KnownAlerts {
  readonly nowMs: number;
  readonly records: readonly AlertRecord[];
}

export interface AlertStore extends NoticeQueue {
  /** Takes the areas for which it is time. */
  takeRounds(areas: readonly AlertArea[], intervalMs: number): Promise<readonly AlertRound[]>;
  /** To be asked only once the round is taken: what the one before wrote is then seen. */
  known(area: AlertArea): Promise<KnownAlerts>;
  /** Writes what was decided. False: another round has begun, and nothing was written. */
  settle(round: AlertRound, decision: AlertDecision, notices: readonly AlertNotice[]): Promise<boolean>;
}

/** The server ends what takes longer; nothing here takes more than milliseconds. */
const PATIENCE_MS = 10_000;

export function createAlertStore(database: Database, watcher: string): AlertStore {
  const schema = quoteIdentifier(database.schema);
  const run = async <Row extends object>(text: string, values: readonly unknown[]): Promise<readonly Row[]> => {
    try {
      return (await database.query<Row>(text, values, { timeoutMs: PATIENCE_MS })).rows;
    } catch (error) {
      throw translateSqlError(error);
    }
  };
  return {
    takeRounds: (areas, intervalMs) => run<AlertRound>(takeSql(schema), [areas, intervalMs, watcher]),

    async known(area) {
      const [row] = await run<{ now_ms: number; records: readonly StoredRecord[] | null }>(knownSql(schema), [area]);
      return { nowMs: row?.now_ms ?? 0, records: (row?.records ?? []).map(toRecord) };
    },

    async settle({ area, round }, { keep, forget }, notices) {
      const told = new Map(notices.map((notice) => [`${notice.kind}\n${notice.subject}`, notice]));
      const rows = keep.map((record) => {
        const notice = told.get(`${record.kind}\n${record.subject}`);
        return { ...record, area, noticeId: notice?.id ?? null, notice: notice ?? null };
      });
      const gone = forget.map(({ kind, subject }) => ({ kind, subject }));
      const [row] = await run<{ mine: number }>(settleSql(schema), [
        area,
        round,
        JSON.stringify(rows),
        JSON.stringify(gone),
      ]);
      return row?.mine === 1;
    },

    async claim(limit, holdMs) {
      const rows = await run<{ notice: AlertNotice; attempts: number; age_ms: number }>(claimSql(schema), [
        limit,
        holdMs,
      ]);
      return rows.map(({ notice, attempts, age_ms: ageMs }): ClaimedNotice => ({ notice, attempts, ageMs }));
    },

    async done(id) {
      await run(
        `UPDATE ${schema}.alert SET notice_id = NULL, notice = NULL, notice_at = NULL, notice_attempts = 0,
           notice_due_at = NULL, notice_claimed_until = NULL
         WHERE notice_id = $1`,
        [id],
      );
    },

    async later(id, delayMs) {
      await run(
        `UPDATE ${schema}.alert SET notice_attempts = notice_attempts + 1, notice_claimed_until = NULL,
           notice_due_at = clock_timestamp() + $2::float8 * interval '1 millisecond'
         WHERE notice_id = $1`,
        [id, delayMs],
      );
    },
  };
}

/**
 * The row of an area is made with its first round: migrations write no rows, which a copy of the tables would meet in a schema that is
 * migrated already. Of two that ask at the same time the later one waits for the other's commit, and then finds that it is not time.
 */
function takeSql(schema: string): string {
  return `INSERT INTO ${schema}.alert_round AS r (area, round, next_at, at, watcher)
    SELECT asked.area, 1, clock_timestamp() + $2::float8 * interval '1 millisecond', clock_timestamp(), $3
    FROM unnest($1::text[]) AS asked (area)
    WHERE NOT EXISTS (SELECT 1 FROM ${schema}.alert_round k WHERE k.area = asked.area AND k.next_at > clock_timestamp())
    ORDER BY asked.area
    ON CONFLICT (area) DO UPDATE SET round = r.round + 1, next_at = excluded.next_at, at = excluded.at, watcher = excluded.watcher
      WHERE r.next_at <= clock_timestamp()
    RETURNING r.area, r.round::text AS round`;
}

const MS = (column: string): string => `round(extract(epoch FROM ${column}) * 1000)`;

function knownSql(schema: string): string {
  return `SELECT ${MS('clock_timestamp()')}::float8 AS now_ms, (
      SELECT json_agg(json_build_object('kind', a.kind, 'subject', a.subject, 'state', a.state, 'since', ${MS('a.since')},
        'seen', ${MS('a.seen_at')}, 'count', a.count, 'summary', a.summary, 'advice', a.advice,
        'told', ${MS('a.told_at')}, 'toldCount', a.told_count))
      FROM ${schema}.alert a WHERE a.area = $1) AS records`;
}

/**
 * The row of the round is locked until all of it is written. A new notice takes the place of one that is not told yet, but waits while
 * that one is under way, lest it arrive before it.
 */
function settleSql(schema: string): string {
  const notice = (column: string, otherwise: string): string =>
    `${column} = CASE WHEN excluded.notice_id IS NULL THEN a.${column} ELSE ${otherwise} END`;
  return `WITH mine AS (
      SELECT area FROM ${schema}.alert_round WHERE area = $1 AND round = $2::bigint FOR UPDATE),
    kept AS (
      INSERT INTO ${schema}.alert AS a (kind, subject, area, state, since, seen_at, count, summary, advice, told_at, told_count,
        notice_id, notice, notice_at, notice_due_at)
      SELECT k.kind, k.subject, m.area, k.state, to_timestamp(k."sinceMs" / 1000), to_timestamp(k."seenMs" / 1000), k.count, k.summary,
        k.advice, to_timestamp(k."toldMs" / 1000), k."toldCount", k."noticeId", CASE WHEN k."noticeId" IS NOT NULL THEN k.notice END,
        CASE WHEN k."noticeId" IS NOT NULL THEN clock_timestamp() END, CASE WHEN k."noticeId" IS NOT NULL THEN clock_timestamp() END
      FROM mine m CROSS JOIN json_to_recordset($3::text::json) AS k (kind text, subject text, state text, "sinceMs" float8,
        "seenMs" float8, count bigint, summary text, advice text, "toldMs" float8, "toldCount" bigint, "noticeId" uuid, notice json)
      ON CONFLICT (kind, subject) DO UPDATE SET state = excluded.state, since = excluded.since, seen_at = excluded.seen_at,
        count = excluded.count, summary = excluded.summary, advice = excluded.advice, told_at = excluded.told_at,
        told_count = excluded.told_count, ${notice('notice_attempts', '0')}, ${notice('notice', 'excluded.notice')},
        ${notice('notice_at', 'excluded.notice_at')},
        ${notice('notice_due_at', 'greatest(excluded.notice_due_at, a.notice_claimed_until)')},
        ${notice('notice_claimed_until', 'NULL')},
        notice_id = coalesce(excluded.notice_id, a.notice_id)),
    gone AS (
      DELETE FROM ${schema}.alert a USING mine m, json_to_recordset($4::text::json) AS g (kind text, subject text)
      WHERE a.area = m.area AND a.kind = g.kind AND a.subject = g.subject AND a.notice_id IS NULL)
    SELECT count(*)::int AS mine FROM mine`;
}

function claimSql(schema: string): string {
  return `UPDATE ${schema}.alert a
    SET notice_claimed_until = clock_timestamp() + $2::float8 * interval '1 millisecond'
    FROM (SELECT kind, subject FROM ${schema}.alert
      WHERE notice_id IS NOT NULL AND notice_due_at <= clock_timestamp()
        AND (notice_claimed_until IS NULL OR notice_claimed_until <= clock_timestamp())
      ORDER BY notice_due_at LIMIT $1 FOR UPDATE SKIP LOCKED) due
    WHERE a.kind = due.kind AND a.subject = due.subject
    RETURNING a.notice, a.notice_attempts AS attempts,
      extract(epoch FROM clock_timestamp() - a.notice_at)::float8 * 1000 AS age_ms`;
}

interface StoredRecord {
  readonly kind: AlertKind;
  readonly subject: string;
  readonly state: AlertRecord['state'];
  readonly since: number;
  readonly seen: number;
  readonly count: number;
  readonly summary: string;
  readonly advice: string;
  readonly told: number | null;
  readonly toldCount: number;
}

function toRecord({ since, seen, told, ...row }: StoredRecord): AlertRecord {
  return { ...row, sinceMs: since, seenMs: seen, toldMs: told };
}
