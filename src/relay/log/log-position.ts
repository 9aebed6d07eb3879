/**
 * From times to places in the log.
 */
import type { Queryable } from '../../postgres/sequences.ts';
import { quoteIdentifier } from '../../postgres/quoting.ts';
import { translateSqlError } from '../../postgres/sql-state.ts';

/** How far the order of times may differ from that of seqs: clock corrections, rows of one moment. */
const SLACK_MS = 10_000;

/**
 * A seq so far down that every message written at or after `time` has it or a greater one. There is no index by time and none is
 * needed: the log is written in time order, near enough, so it is bisected along its primary key.
 */
export async function seqBefore(on: Queryable, schema: string, time: Date): Promise<number> {
  return bisect(on, schema, new Date(time.getTime() - SLACK_MS));
}

/** A seq so far up that every message written before `time` has a smaller one. */
export async function seqAfter(on: Queryable, schema: string, time: Date): Promise<number> {
  return bisect(on, schema, new Date(time.getTime() + SLACK_MS));
}

/** The place where messages written at or after `time` begin. */
async function bisect(on: Queryable, schema: string, time: Date): Promise<number> {
  const outbox = `${quoteIdentifier(schema)}.outbox`;
  // [low, high] holds the place. The probe is the first row from the middle on; where none is left below `high`, the place is at
  // the middle or before.
  const { rows } = await on
    .query<{ place: string }>(
      `WITH RECURSIVE search (low, high) AS (
         SELECT coalesce(min(seq), 0), coalesce(max(seq), 0) + 1 FROM ${outbox}
         UNION ALL
         SELECT CASE WHEN probe.created_at < $1 THEN probe.seq + 1 ELSE low END,
                CASE WHEN probe.created_at < $1 THEN high ELSE (low + high) / 2 END
         FROM search LEFT JOIN LATERAL (
           SELECT seq, created_at FROM ${outbox} WHERE seq >= (low + high) / 2 AND seq < high ORDER BY seq LIMIT 1
         ) AS probe ON true
         WHERE low < high
       ) SELECT low AS place FROM search WHERE low >= high`,
      [time],
    )
    .catch((error: unknown) => {
      throw translateSqlError(error);
    });
  return Number(rows[0]?.place ?? 0);
}
