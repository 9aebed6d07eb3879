/**
 * Retention of runs: deletes those that ended long ago, with their journals, their run messages and what says that they were started in place
 * of others, and what participants remember of calls.
 */
import type { Database } from '../../../postgres/database.ts';
import { quoteIdentifier } from '../../../postgres/quoting.ts';
import { systemClock, type Clock } from '../../../runtime/clock.ts';
import { inPacedChunks } from '../../../runtime/paced.ts';

export interface PruneSagasOptions {
  /** Since the end of a run, in milliseconds; of a participant's call: since it was answered. */
  readonly olderThanMs: number;
  /** Most runs, or calls, that it deletes; default: all that are old enough. */
  readonly limit?: number | undefined;
  /** Ends it after the chunk that is under way. */
  readonly signal?: AbortSignal | undefined;
  /** Paces the chunks; default: the system's. */
  readonly clock?: Clock | undefined;
}

/** Rows per transaction: bounds its locks, its WAL, and how long it keeps vacuum from cleaning up. */
export const SAGA_PRUNE_CHUNK = 1_000;
const NEVER = new AbortController().signal;

/**
 * A child stays as long as its parent has not ended, because the parent may still have to compensate it; a run that a worker holds stays as
 * well. Resolves with how many runs were deleted.
 */
export async function pruneSagas(database: Database, options: PruneSagasOptions): Promise<number> {
  const s = quoteIdentifier(database.schema);
  return inChunks(options, async (limit) => {
    const { rows } = await database.query<{ n: number }>(
      `WITH old AS MATERIALIZED (
         SELECT r.id FROM ${s}.saga_run r
         WHERE r.finished_at < now() - $1::float8 * interval '1 millisecond' AND r.worker IS NULL
           AND NOT EXISTS (SELECT 1 FROM ${s}.saga_run p WHERE p.id = r.parent AND p.finished_at IS NULL)
         ORDER BY r.finished_at LIMIT $2::int FOR UPDATE OF r SKIP LOCKED),
       ids AS MATERIALIZED (SELECT array_agg(id) AS ids FROM old),
       journals AS (DELETE FROM ${s}.saga_journal WHERE saga_id = ANY ((SELECT ids FROM ids)::uuid[])),
       mails AS (DELETE FROM ${s}.saga_mail WHERE saga_id = ANY ((SELECT ids FROM ids)::uuid[])),
       restarts AS (DELETE FROM ${s}.saga_restart WHERE restarted_as = ANY ((SELECT ids FROM ids)::uuid[])),
       gone AS (DELETE FROM ${s}.saga_run WHERE id = ANY ((SELECT ids FROM ids)::uuid[]) RETURNING 1)
       SELECT count(*)::int AS n FROM gone`,
      [options.olderThanMs, limit],
    );
    return rows[0]?.n ?? 0;
  });
}

async function inChunks(
  { limit = Infinity, signal = NEVER, clock = systemClock }: PruneSagasOptions,
  chunk: (limit: number) => Promise<number>,
): Promise<number> {
  let deleted = 0;
  if (limit <= 0) return 0;
  await inPacedChunks(clock, signal, async () => {
    const wanted = Math.min(SAGA_PRUNE_CHUNK, limit - deleted);
    const some = await chunk(wanted);
    deleted += some;
    return some === wanted && deleted < limit;
  });
  return deleted;
}
