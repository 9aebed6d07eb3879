/**
 * The table `replay`: requests to publish part of the log again. Written by operations, worked off by the runner of shard 0.
 */
import type { ClientBase } from 'pg';
import { quoteIdentifier } from '../../postgres/quoting.ts';
import { fenceSql, subscriptionLeaseLost, type LeaseHolder } from '../subscription/fence.ts';
import { writeHeadsSql, type KeyHeads } from '../subscription/key-heads.ts';

export interface Replay {
  readonly id: string;
  /** The seq to go on from. */
  readonly position: number;
  readonly toSeq: number;
  /** A topic pattern and a key to which it is limited; null: all. */
  readonly topic: string | null;
  readonly key: string | null;
  /** How often the page at `position` was begun, this time included. */
  readonly begunTimes: number;
}

export interface ReplayRequest {
  readonly id: string;
  readonly subscription: string;
  readonly fromSeq: number;
  readonly toSeq: number;
  readonly topic: string | null;
  readonly key: string | null;
}

export interface ReplayCounts {
  readonly published: number;
  /** No route had their topic. */
  readonly unrouted: number;
  readonly refused: number;
}

/** Asks for a replay, in the caller's transaction. */
export async function insertReplay(client: ClientBase, schema: string, request: ReplayRequest): Promise<void> {
  await client.query(
    `INSERT INTO ${quoteIdentifier(schema)}.replay (id, subscription, from_seq, to_seq, topic, key, position) VALUES ($1, $2, $3, $4, $5, $6, $3)`,
    [request.id, request.subscription, request.fromSeq, request.toSeq, request.topic, request.key],
  );
}

/** The oldest replay of the subscription that is not finished; notes that its next page is begun, before anything is published. */
export async function beginReplayPage(
  client: ClientBase,
  schema: string,
  subscription: string,
): Promise<Replay | null> {
  const table = `${quoteIdentifier(schema)}.replay`;
  const result = await client.query<{
    id: string;
    position: string;
    to_seq: string;
    topic: string | null;
    key: string | null;
    begun_times: number;
  }>(
    `UPDATE ${table} SET begun = position, begun_times = CASE WHEN begun = position THEN begun_times + 1 ELSE 1 END
     WHERE id = (SELECT id FROM ${table} WHERE subscription = $1 AND finished_at IS NULL ORDER BY requested_at, id LIMIT 1)
     RETURNING id, position, to_seq, topic, key, begun_times`,
    [subscription],
  );
  const row = result.rows[0];
  if (row === undefined) return null;
  const { id, topic, key } = row;
  return { id, position: Number(row.position), toSeq: Number(row.to_seq), topic, key, begunTimes: row.begun_times };
}

/**
 * Notes progress, fenced by the lease, and with it the heads of what was published. Resolves with the counts of the whole replay so far.
 * Rejects with HF_LEASE_LOST. One statement: the progress of the live log is written by the same connection, in transactions.
 */
export async function advanceReplay(
  schema: string,
  { key, epoch, writeClient }: LeaseHolder,
  progress: ReplayCounts & { readonly id: string; readonly position: number; readonly finished: boolean },
  heads: KeyHeads | null = null,
): Promise<ReplayCounts> {
  const { id, position, published, unrouted, refused, finished } = progress;
  const unwritten = heads?.dirty === true ? heads.unwritten() : null;
  const parameters = [key.name, key.shard, epoch, id, position, published, finished, unrouted, refused];
  const headsSql = writeHeadsSql(schema, { subscription: '$10', rows: '$11' }, 'EXISTS (SELECT 1 FROM moved)');
  const result = await writeClient.query<Record<keyof ReplayCounts, string>>(
    `WITH fence AS MATERIALIZED (${fenceSql(schema)}),
     moved AS (
       UPDATE ${quoteIdentifier(schema)}.replay SET position = $5, published = published + $6, unrouted = unrouted + $8, refused = refused + $9,
         finished_at = CASE WHEN $7 THEN clock_timestamp() END
       FROM fence WHERE id = $4 RETURNING published, unrouted, refused)
     ${unwritten === null ? '' : `, heads AS (${headsSql})`}
     SELECT published, unrouted, refused FROM moved`,
    unwritten === null ? parameters : [...parameters, unwritten.subscription, unwritten.rows],
  );
  const row = result.rows[0];
  if (row === undefined) throw subscriptionLeaseLost(key);
  unwritten?.written();
  return { published: Number(row.published), unrouted: Number(row.unrouted), refused: Number(row.refused) };
}
