/**
 * Moves scheduled messages (`deliverAt`, `delay`) into the outbox when they are due. Runs in every relay; an advisory lock lets one
 * at a time move them, so that they enter the log in the order in which they became due.
 */
import type { Database } from '../postgres/database.ts';
import { quoteIdentifier } from '../postgres/quoting.ts';

export interface SchedulerStep {
  readonly moved: number;
  /** Left out, because a message with their id is in the log already: scheduled twice, or sent meanwhile. */
  readonly duplicates: readonly string[];
  /** Milliseconds until the next is due; null: none is waiting. */
  readonly nextInMs: number | null;
}

export interface Scheduler {
  /** Moves at most one batch, in one commit. */
  moveDue(): Promise<SchedulerStep>;
}

const BATCH = 500;

export function createScheduler(database: Database): Scheduler {
  const s = quoteIdentifier(database.schema);
  return {
    async moveDue() {
      // statement_timestamp(), because an index is no use to a comparison with clock_timestamp(), which may change from row to row:
      // every look would read all that is scheduled.
      const result = await database.query<{ moved: string; duplicates: string[] | null; next_in_ms: number | null }>(
        `WITH turn AS MATERIALIZED (SELECT pg_try_advisory_xact_lock(hashtextextended($1, 0)) AS mine),
         due AS (
           DELETE FROM ${s}.scheduled_message WHERE id IN (
             SELECT id FROM ${s}.scheduled_message
             WHERE (SELECT mine FROM turn) AND due_at <= statement_timestamp() ORDER BY due_at, id LIMIT ${BATCH} FOR UPDATE SKIP LOCKED)
           RETURNING id, topic, key, payload, headers, due_at),
         known AS (SELECT id FROM due JOIN ${s}.outbox o USING (id)),
         batch AS (
           SELECT count(*) AS moved, json_agg(json_build_object('id', id, 'topic', topic, 'key', key, 'payload', payload, 'headers', headers)
             ORDER BY due_at, id)::text AS messages FROM due WHERE id NOT IN (SELECT id FROM known)),
         written AS MATERIALIZED (SELECT ${s}.write_outbox(messages, false) FROM batch WHERE moved > 0)
         SELECT moved, (SELECT count(*) FROM written) AS written, (SELECT array_agg(id::text) FROM known) AS duplicates,
           (SELECT extract(epoch FROM min(due_at) - clock_timestamp())::float8 * 1000 FROM ${s}.scheduled_message
             WHERE due_at > statement_timestamp()) AS next_in_ms
         FROM batch`,
        [`${database.schema}/scheduler`],
      );
      const row = result.rows[0];
      return { moved: Number(row?.moved ?? 0), duplicates: row?.duplicates ?? [], nextInMs: row?.next_in_ms ?? null };
    },
  };
}

/** How long to wait before looking again: not past the next one due, and often enough to see newly scheduled ones. Pure. */
export function schedulerWaitMs({ moved, duplicates, nextInMs }: SchedulerStep): number {
  if (moved + duplicates.length >= BATCH) return 0;
  return Math.max(1, Math.min(500, Math.ceil(nextInMs ?? 500)));
}
