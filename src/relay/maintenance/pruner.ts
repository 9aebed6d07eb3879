/**
 * Retention of the log: deletes messages that every subscription has delivered and that are older than the retention, in chunks.
 * Runs in every relay. What is parked, or wanted by an open replay, stays.
 */
import type { Database } from '../../postgres/database.ts';
import { patientTransaction } from '../../postgres/lock-wait.ts';
import { quoteIdentifier } from '../../postgres/quoting.ts';

export interface PruneStep {
  readonly deleted: number;
  /** Go on after this seq; null when the end of what is old enough was reached. */
  readonly after: number | null;
}

const WAIT = { doing: 'Pruning the log', tables: ['outbox', 'key_head', 'replay', 'parked_message', 'subscription'] };

/** Rows looked at per transaction: bounds its locks, its WAL, and how long it keeps vacuum from cleaning up. */
const CHUNK = 5_000;

/**
 * One chunk of the log after `after`. A subscription that does not advance keeps everything behind it: drop it if it is gone for good.
 * The retention is the longest of all subscriptions.
 */
export async function pruneChunk(database: Database, after: number): Promise<PruneStep> {
  const s = quoteIdentifier(database.schema);
  const row = await patientTransaction(database, WAIT, async (client) => {
    const result = await client.query<{ deleted: string; last: string | null; looked: string; young: boolean | null }>(
      `WITH bound AS MATERIALIZED (
       SELECT min(high) AS high, clock_timestamp() - max(retention) AS before FROM ${s}.subscription),
     chunk AS MATERIALIZED (
       SELECT o.seq, o.xid, o.created_at >= (SELECT before FROM bound) AS young FROM ${s}.outbox o
       -- As a value, not a join: otherwise the scan does not end there, but goes through all that is not delivered yet.
       WHERE o.seq > $1 AND o.seq <= (SELECT high FROM bound) ORDER BY o.seq LIMIT ${CHUNK}),
     gone AS (
       DELETE FROM ${s}.outbox WHERE seq IN (
         SELECT c.seq FROM chunk c WHERE NOT c.young
           -- Not yet delivered by somebody whose cursor is further on: its transaction was late.
           AND NOT EXISTS (SELECT 1 FROM ${s}.subscription u WHERE c.seq > u.floor AND NOT pg_visible_in_snapshot(c.xid, u.snapshot))
           AND NOT EXISTS (SELECT 1 FROM ${s}.subscription u JOIN ${s}.parked_message p ON p.subscription = u.name WHERE p.seq = c.seq)
           AND NOT EXISTS (SELECT 1 FROM ${s}.replay r WHERE r.finished_at IS NULL AND c.seq BETWEEN r.position AND r.to_seq))
       RETURNING 1)
     SELECT (SELECT count(*) FROM gone) AS deleted, max(seq) AS last, count(*) AS looked, bool_or(young) AS young FROM chunk`,
      [after],
    );
    return result.rows[0];
  });
  const end = row === undefined || row.last === null || row.young === true || Number(row.looked) < CHUNK;
  return { deleted: Number(row?.deleted ?? 0), after: end ? null : Number(row.last) };
}

/** Forgets heads of keys that were silent for longer than the retention, and replays that ended long ago. */
export async function pruneRecords(database: Database): Promise<void> {
  const s = quoteIdentifier(database.schema);
  await patientTransaction(database, WAIT, async (client) => {
    await client.query(
      `DELETE FROM ${s}.key_head h USING (SELECT name, max(retention) AS retention FROM ${s}.subscription GROUP BY name) u
     WHERE h.subscription = u.name AND h.published_at < clock_timestamp() - u.retention`,
    );
    await client.query(`DELETE FROM ${s}.replay WHERE finished_at < clock_timestamp() - interval '90 days'`);
  });
}
