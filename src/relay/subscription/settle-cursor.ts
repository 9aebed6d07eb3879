/**
 * Makes a stored cursor good in the server that is there now, before anything is read by it: another cluster (restore, logical
 * migration, pg_upgrade), another timeline (a promoted standby, a restore to a point in time), a sequence that is behind the log.
 * In the transaction that takes the lease.
 */
import type { PoolClient } from 'pg';
import { HoldfastError } from '../../errors.ts';
import { messageId } from '../../message/id.ts';
import { quoteIdentifier } from '../../postgres/quoting.ts';
import { raiseSequences, type SequenceBehind } from '../../postgres/sequences.ts';
import type { Cursor } from '../log/cursor.ts';
import type { SubscriptionKey } from './fence.ts';
import { seqBefore } from '../log/log-position.ts';
import { subscriptionColumns, toCursor, type SubscriptionRow } from './subscription-row.ts';

/** What to do when the server may have lost the end of what it knew: publish the last so many milliseconds again, wait for a person, or go on. */
export type FailoverPolicy = { readonly replayMs: number } | 'hold' | 'ignore';

export interface Settled {
  readonly cursor: Cursor;
  /** The cursor came from another cluster and was put back by seq: duplicates are possible. */
  readonly rebaselined: boolean;
  /** Sequences that were behind and have been raised. */
  readonly raised: readonly SequenceBehind[];
  /** Messages that were written behind the cursor meanwhile, and now stand at the end of the log. */
  readonly moved: number;
  /** The server is another one than last time, or a promoted one. */
  readonly failedOver: boolean;
  /** What is published again because of that; null: nothing. */
  readonly replay: { readonly id: string; readonly fromSeq: number; readonly toSeq: number } | null;
}

export type ServerChange = 'none' | 'cluster' | 'timeline';

/** Pure. A timeline that is not known says nothing. */
export function serverChange(row: Pick<SubscriptionRow, 'same_cluster' | 'timeline' | 'timeline_here'>): ServerChange {
  if (!row.same_cluster) return 'cluster';
  const { timeline, timeline_here: here } = row;
  return timeline !== null && here !== null && timeline !== here ? 'timeline' : 'none';
}

/** Pure. Whether the next number may be one that is in use, or lie where no reader looks. */
export function isSequenceBehind(row: Pick<SubscriptionRow, 'drawn' | 'newest' | 'high' | 'floor'>): boolean {
  return Number(row.drawn) < Math.max(Number(row.newest ?? 0), Number(row.high), Number(row.floor));
}

export interface Unsettled {
  readonly key: SubscriptionKey;
  /** As it was just read, or taken, in this transaction. */
  readonly row: SubscriptionRow;
  readonly policy: FailoverPolicy;
}

/** Rejects with HF_FAILOVER under the policy 'hold'. */
export async function settleCursor(
  client: PoolClient,
  schema: string,
  { key, row, policy }: Unsettled,
): Promise<Settled> {
  const change = serverChange(row);
  if (change !== 'none' && policy === 'hold' && !(await isAdopted(client, schema)))
    throw heldAfterFailover(key, change);
  const replay =
    change !== 'none' && typeof policy === 'object'
      ? await replayWhatMayBeLost(client, schema, key, policy.replayMs)
      : null;
  const behind = isSequenceBehind(row);
  const unseen = unseenRows(row, change);
  let cursor = toCursor(row);
  let raised: readonly SequenceBehind[] = [];
  let moved = 0;
  if (behind || change === 'cluster' || (await areThere(client, schema, unseen))) {
    // Waits for transactions that hold seqs already, and keeps new ones from drawing any.
    await client.query(`LOCK TABLE ${quoteIdentifier(schema)}.outbox IN SHARE ROW EXCLUSIVE MODE`);
    if (behind) raised = await raiseSequences(client, schema);
    if (await areThere(client, schema, unseen)) moved = await moveToEnd(client, schema, unseen.writtenAfterMs);
    if (change === 'cluster') cursor = await rebaseline(client, schema, key, cursor);
  }
  if (row.timeline_here !== null && row.timeline !== row.timeline_here) {
    await client.query(
      `UPDATE ${quoteIdentifier(schema)}.subscription SET timeline = $3 WHERE name = $1 AND shard = $2`,
      [key.name, key.shard, row.timeline_here],
    );
  }
  return { cursor, rebaselined: change === 'cluster', raised, moved, failedOver: change !== 'none', replay };
}

/**
 * The xids of the rows that are there say nothing in this cluster. Undelivered under the old cursor is what the old snapshot does not
 * show; the log is read again from the first such row, and from now on those rows are known by seq alone. The caller holds the lock.
 */
async function rebaseline(client: PoolClient, schema: string, key: SubscriptionKey, cursor: Cursor): Promise<Cursor> {
  const s = quoteIdentifier(schema);
  const result = await client.query<SubscriptionRow>(
    `WITH undelivered AS (
       SELECT min(seq) AS seq FROM ${s}.outbox
       WHERE seq <= $3::bigint AND seq > $4::bigint AND NOT pg_visible_in_snapshot(xid, $5::pg_snapshot))
     UPDATE ${s}.subscription SET
       high = coalesce((SELECT seq - 1 FROM undelivered), $3::bigint),
       floor = greatest($3::bigint, (SELECT max(seq) FROM ${s}.outbox)),
       snapshot = pg_current_snapshot(), catchup = NULL, catchup_seq = NULL,
       system_identifier = (SELECT system_identifier FROM pg_control_system())
     WHERE name = $1 AND shard = $2
     RETURNING ${subscriptionColumns(schema)}`,
    [key.name, key.shard, cursor.high, cursor.floor, cursor.snapshot],
  );
  return toCursor(result.rows[0] as SubscriptionRow);
}

/** Messages that were written in this cluster with numbers so low that no cursor comes by. */
interface UnseenRows {
  readonly upTo: number;
  /** Milliseconds since the epoch. What the old relay has read was written before its last advance. */
  readonly writtenAfterMs: number;
}

/** How far the clocks of two clusters may lie apart. */
const CLOCKS_MS = 3_600_000;

/**
 * Pure. In the cluster of the cursor, only rows up to the floor are out of its sight. In another one, so is all that was numbered there
 * from below, before this, up to `high`.
 */
export function unseenRows(row: SubscriptionRow, change: ServerChange): UnseenRows {
  const advancedMs = row.advanced_ms ?? 0;
  if (change !== 'cluster') return { upTo: Number(row.floor), writtenAfterMs: advancedMs };
  return { upTo: Math.max(Number(row.high), Number(row.floor)), writtenAfterMs: advancedMs - CLOCKS_MS };
}

async function areThere(client: PoolClient, schema: string, { upTo, writtenAfterMs }: UnseenRows): Promise<boolean> {
  if (upTo <= 0) return false;
  const { rowCount } = await client.query(`SELECT FROM ${quoteIdentifier(schema)}.unseen_messages($1, $2) LIMIT 1`, [
    writtenAfterMs,
    upTo,
  ]);
  return rowCount !== 0;
}

/**
 * All that was written here since, so that what can be seen does not pass what could not. By time, for numbers say nothing any more. The
 * caller holds the lock, and has seen to the sequence.
 */
async function moveToEnd(client: PoolClient, schema: string, writtenAfterMs: number): Promise<number> {
  const { rows } = await client.query<{ moved: string }>(`SELECT ${quoteIdentifier(schema)}.move_to_end($1) AS moved`, [
    writtenAfterMs,
  ]);
  return Number(rows[0]?.moved);
}

async function isAdopted(client: PoolClient, schema: string): Promise<boolean> {
  const { rows } = await client.query<{ adopted: boolean }>(
    `SELECT ${quoteIdentifier(schema)}.is_adopted() AS adopted`,
  );
  return rows[0]?.adopted === true;
}

/**
 * What a consumer had handled last may be forgotten by the server that is there now, while the cursor, and the broker, say that it was
 * delivered. So the end of what was published is published again; inboxes know what they have. Counted from the last advance that
 * this server remembers, not from now. One for the whole subscription, by its shard 0, which works replays off.
 */
async function replayWhatMayBeLost(
  client: PoolClient,
  schema: string,
  key: SubscriptionKey,
  replayMs: number,
): Promise<Settled['replay']> {
  if (key.shard !== 0) return null;
  const s = quoteIdentifier(schema);
  const { rows } = await client.query<{ high: string; since_ms: number }>(
    `SELECT max(high) AS high, extract(epoch FROM least(max(advanced_at), clock_timestamp()))::float8 * 1000 - $2::float8 AS since_ms
     FROM ${s}.subscription WHERE name = $1`,
    [key.name, replayMs],
  );
  const [facts] = rows;
  if (facts === undefined) return null;
  const toSeq = Number(facts.high);
  const fromSeq = await seqBefore(client, schema, new Date(facts.since_ms));
  if (fromSeq > toSeq || toSeq === 0) return null;
  const id = messageId();
  await client.query(
    `INSERT INTO ${s}.replay (id, subscription, from_seq, to_seq, position) VALUES ($1, $2, $3, $4, $3)`,
    [id, key.name, fromSeq, toSeq],
  );
  return { id, fromSeq, toSeq };
}

function heldAfterFailover(key: SubscriptionKey, change: ServerChange): HoldfastError {
  const what =
    change === 'cluster' ? 'another cluster' : 'another timeline: a standby was promoted, or a backup restored';
  return new HoldfastError(
    'HF_FAILOVER',
    `The cursor of subscription '${key.name}' comes from ${what}. What was handled last may be forgotten here.`,
    {
      advice:
        'Publish again what may be missing (`holdfast outbox replay --since …`), then `holdfast adopt`; or set failoverReplay, and the relay does so by itself.',
      details: { ...key, change },
    },
  );
}
