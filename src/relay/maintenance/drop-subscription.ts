/**
 * Removes a subscription that is gone for good, with everything the relay keeps for it, so that the log is no longer held back for
 * it.
 */
import type { ClientBase } from 'pg';
import { HoldfastError } from '../../errors.ts';
import { quoteIdentifier } from '../../postgres/quoting.ts';
import { HEADS_OF_REPLAY } from '../subscription/key-heads.ts';
import { discardAllParked } from '../delivery/parked-selection.ts';

/** What {@link dropSubscription} has removed. */
export interface DroppedSubscription {
  readonly name: string;
  readonly shards: number;
  /** The seq up to which the whole log had been read. */
  readonly high: number;
  readonly published: number;
  /** Parked messages given up with it. */
  readonly parked: number;
  /** Replays that were not finished. */
  readonly replays: number;
}

/**
 * In the caller's transaction. Rejects with HF_SUBSCRIPTION_UNKNOWN, HF_SUBSCRIPTION_HELD while a relay holds it, and HF_CONFIG when
 * it has parked messages and `discardParked` is not set.
 */
export async function dropSubscriptionRows(
  client: ClientBase,
  schema: string,
  name: string,
  options: { readonly discardParked: boolean },
): Promise<DroppedSubscription> {
  const s = quoteIdentifier(schema);
  const { rows } = await client.query<{ shard: number; high: string; published: string; holder: string | null }>(
    `SELECT shard, high, published, CASE WHEN lease_until > clock_timestamp() THEN lease_owner END AS holder
     FROM ${s}.subscription WHERE name = $1 FOR UPDATE`,
    [name],
  );
  if (rows.length === 0) {
    throw new HoldfastError('HF_SUBSCRIPTION_UNKNOWN', `There is no subscription '${name}'.`, {
      advice: '`holdfast subscription ls` shows those that are there.',
      details: { subscription: name },
    });
  }
  const held = rows.find((row) => row.holder !== null);
  if (held !== undefined) {
    throw new HoldfastError('HF_SUBSCRIPTION_HELD', `Subscription '${name}' is held by the relay ${held.holder}.`, {
      advice: 'Take it out of the configuration of the relays and restart them, then drop it.',
      details: { subscription: name, owner: held.holder },
    });
  }
  const parked = await discardAllParked(client, schema, name);
  if (parked > 0 && !options.discardParked) {
    // The caller's transaction rolls the deletion back.
    throw new HoldfastError('HF_CONFIG', `Subscription '${name}' has ${parked} parked messages, which would be lost.`, {
      advice: 'Retry or discard them first, or give them up with it: --discard-parked.',
      details: { subscription: name, parked },
    });
  }
  await client.query(
    `DELETE FROM ${s}.key_head WHERE subscription = $1
       OR subscription IN (SELECT '${HEADS_OF_REPLAY}' || id FROM ${s}.replay WHERE subscription = $1)`,
    [name],
  );
  const replays = await client.query(`DELETE FROM ${s}.replay WHERE subscription = $1 AND finished_at IS NULL`, [name]);
  await client.query(`DELETE FROM ${s}.subscription WHERE name = $1`, [name]);
  return {
    name,
    shards: rows.length,
    high: Math.min(...rows.map((row) => Number(row.high))),
    published: rows.reduce((sum, row) => sum + Number(row.published), 0),
    parked,
    replays: replays.rowCount ?? 0,
  };
}
