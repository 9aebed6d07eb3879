/**
 * Retention of the log: deletes messages that every subscription has delivered and that are older than the retention, in chunks.
 * Runs in every relay; one at a time does it. What is parked, or wanted by an open replay, stays.
 */
import { createHash } from 'node:crypto';
import type { Database } from '../../postgres/database.ts';
import { patientTransaction } from '../../postgres/lock-wait.ts';
import { quoteIdentifier } from '../../postgres/quoting.ts';
import { HEADS_OF_REPLAY } from '../subscription/key-heads.ts';

export interface PruneStep {
  readonly deleted: number;
  /** Up to this seq nothing is left that is old enough to go, but for what is still needed. */
  readonly reached: number;
  /** There may be more behind it. */
  readonly more: boolean;
  /** Another relay is at it at this moment: nothing was done. */
  readonly elsewhere: boolean;
}

const WAIT = { doing: 'Pruning the log', tables: ['outbox', 'key_head', 'replay', 'parked_message', 'subscription'] };

/** Rows looked at per transaction: bounds its locks, its WAL, and how long it keeps vacuum from cleaning up. */
export const PRUNE_CHUNK = 5_000;

interface Row {
  readonly mine: boolean;
  readonly deleted: string;
  readonly looked: string;
  readonly last: string | null;
  readonly young: string | null;
}

/**
 * One chunk of the log after `after`. A subscription that does not advance keeps everything behind it: drop it if it is gone for good.
 * The retention is the longest of all subscriptions.
 */
export async function pruneChunk(database: Database, after: number): Promise<PruneStep> {
  const row = await patientTransaction(database, WAIT, async (client) => {
    const { rows } = await client.query<Row>(pruneQuery(database.schema), [after, pruneLock(database.schema)]);
    return rows[0];
  });
  if (row === undefined) throw new TypeError('The query that prunes the log returned no row.');
  const { mine, young, last } = row;
  const reached = young === null ? Number(last ?? after) : Number(young) - 1;
  const more = mine && young === null && Number(row.looked) === PRUNE_CHUNK;
  return { deleted: Number(row.deleted), reached, more, elsewhere: !mine };
}

/**
 * $1 the seq to go on after, $2 the number of the lock under which one relay prunes at a time: a second one would wait for the rows that
 * the first is deleting, only to find them gone.
 *
 * The rows are deleted by their places, which the look at them tells: a place is that of the same row for as long as this statement's
 * snapshot lasts. Most rows are of transactions that no cursor can have missed; of the others each is asked for.
 */
function pruneQuery(schema: string): string {
  const s = quoteIdentifier(schema);
  return `WITH mine AS MATERIALIZED (SELECT pg_try_advisory_xact_lock($2::bigint) AS mine),
    bound AS MATERIALIZED (
      SELECT min(high) AS high, clock_timestamp() - max(retention) AS before,
        -- Not min(), which xid8 has from PostgreSQL 15 on.
        (SELECT pg_snapshot_xmin(snapshot) FROM ${s}.subscription ORDER BY 1 LIMIT 1) AS settled
      FROM ${s}.subscription WHERE (SELECT mine FROM mine)),
    chunk AS MATERIALIZED (
      SELECT o.ctid AS place, o.seq, o.xid, o.created_at >= (SELECT before FROM bound) AS young FROM ${s}.outbox o
      -- As a value, not a join: otherwise the scan does not end there, but goes through all that is not delivered yet.
      WHERE o.seq > $1::bigint AND o.seq <= (SELECT high FROM bound) ORDER BY o.seq LIMIT (
        -- Mostly there is nothing to do, which the first one tells.
        SELECT CASE WHEN (SELECT f.created_at FROM ${s}.outbox f WHERE f.seq > $1::bigint ORDER BY f.seq LIMIT 1)
          < (SELECT before FROM bound) THEN ${PRUNE_CHUNK} ELSE 1 END)),
    parked AS MATERIALIZED (
      -- OFFSET 0 keeps it from being joined otherwise than by name and seq, which the index has: very much may be parked.
      SELECT p.seq FROM (SELECT DISTINCT name FROM ${s}.subscription) AS u CROSS JOIN LATERAL (
        SELECT m.seq FROM ${s}.parked_message m WHERE m.subscription = u.name
          AND m.seq BETWEEN (SELECT min(seq) FROM chunk) AND (SELECT max(seq) FROM chunk) OFFSET 0) AS p),
    replayed AS MATERIALIZED (SELECT position, to_seq FROM ${s}.replay WHERE finished_at IS NULL),
    gone AS (
      DELETE FROM ${s}.outbox WHERE ctid = ANY (ARRAY(
        SELECT c.place FROM chunk c WHERE NOT c.young
          -- Not yet delivered by somebody whose cursor is further on: its transaction was late.
          AND (c.xid < (SELECT settled FROM bound)
            OR NOT EXISTS (SELECT 1 FROM ${s}.subscription u WHERE c.seq > u.floor AND NOT pg_visible_in_snapshot(c.xid, u.snapshot)))
          AND c.seq NOT IN (SELECT seq FROM parked)
          AND NOT EXISTS (SELECT 1 FROM replayed r WHERE c.seq BETWEEN r.position AND r.to_seq)))
      RETURNING 1)
    SELECT (SELECT mine FROM mine) AS mine, (SELECT count(*) FROM gone) AS deleted, count(*) AS looked, max(seq) AS last,
      min(seq) FILTER (WHERE young) AS young FROM chunk`;
}

function pruneLock(schema: string): string {
  return createHash('sha256').update(`holdfast.prune\0${schema}`).digest().readBigInt64BE(0).toString();
}

/** Forgets heads of keys that were silent for longer than the retention, those of replays that are over, and replays that ended long ago. */
export async function pruneRecords(database: Database): Promise<void> {
  const s = quoteIdentifier(database.schema);
  await patientTransaction(database, WAIT, async (client) => {
    await client.query(
      `DELETE FROM ${s}.key_head h USING (SELECT name, max(retention) AS retention FROM ${s}.subscription GROUP BY name) u
     WHERE h.subscription = u.name AND h.published_at < clock_timestamp() - u.retention`,
    );
    await client.query(
      `DELETE FROM ${s}.key_head h WHERE h.subscription LIKE '${HEADS_OF_REPLAY}%' AND h.subscription NOT IN (
         SELECT '${HEADS_OF_REPLAY}' || id FROM ${s}.replay WHERE finished_at IS NULL)`,
    );
    await client.query(`DELETE FROM ${s}.replay WHERE finished_at < clock_timestamp() - interval '90 days'`);
  });
}
