/**
 * What the holder of a lease writes into the row of its subscription: progress, renewal, the mark of a probe. Each statement is fenced by
 * the epoch of the lease; all times are the database's.
 */
import { quoteIdentifier } from '../../postgres/quoting.ts';
import type { Cursor } from '../log/cursor.ts';
import { subscriptionLeaseLost, type LeaseHolder } from './fence.ts';
import type { ProbeState } from './poison.ts';

export interface Advance {
  readonly cursor: Cursor;
  readonly published: number;
  /** Messages per second, for status. */
  readonly rate: number;
  readonly probe: ProbeState | null;
  readonly trouble: string | null;
}

export interface LeaseWrites {
  /** Writes progress and renews the lease. Rejects with HF_LEASE_LOST when the epoch is not ours any more. */
  advance(holder: LeaseHolder, leaseMs: number, advance: Advance): Promise<void>;
  /** Renews the lease only. Rejects with HF_LEASE_LOST. */
  renew(holder: LeaseHolder, leaseMs: number, trouble: string | null): Promise<void>;
  /** Marks what is about to be published while probing, in a commit of its own. Rejects with HF_LEASE_LOST. */
  markProbe(holder: LeaseHolder, probe: ProbeState): Promise<void>;
  /** The epochs since the last progress whose holders have said that they live, though they had lost their leases. */
  lapsed(holder: LeaseHolder): Promise<readonly number[]>;
  /** Gives the lease back, so that a standby takes over at once. Never rejects for a lost lease. */
  release(holder: LeaseHolder): Promise<void>;
}

interface FencedUpdate {
  /** Of the prepared statement. */
  readonly name: string;
  /** Its own parameters begin with $5. */
  readonly set: string;
  readonly values: readonly unknown[];
}

export function createLeaseWrites(schema: string): LeaseWrites {
  const table = `${quoteIdentifier(schema)}.subscription`;
  // Where each row is: an update by ctid costs the same however many dead versions a pinned horizon keeps behind it,
  // where the primary key would lead through all of them.
  const tids = new Map<string, string>();

  async function update(holder: LeaseHolder, { name, set, values }: FencedUpdate): Promise<void> {
    const { key, epoch, writeClient } = holder;
    const id = `${key.name}/${key.shard}`;
    const at = async (where: string, tid: string | null) =>
      writeClient.query<{ tid: string }>({
        name: `holdfast-${name}-${tid === null ? 'key' : 'tid'}`,
        text: `UPDATE ${table} SET ${set}
               WHERE name = $1 AND shard = $2 AND lease_epoch = $3 AND lease_owner IS NOT NULL AND ${where}
               RETURNING ctid::text AS tid`,
        values: [key.name, key.shard, epoch, tid, ...values],
      });
    const tid = tids.get(id);
    let result = tid === undefined ? undefined : await at('ctid = $4::text::tid', tid);
    if (result === undefined || result.rowCount === 0) result = await at('$4::text IS NULL', null);
    const moved = result.rows[0]?.tid;
    if (moved === undefined) {
      tids.delete(id);
      throw subscriptionLeaseLost(key);
    }
    tids.set(id, moved);
  }

  return {
    advance: (holder, leaseMs, { cursor, published, rate, probe, trouble }) =>
      update(holder, {
        name: 'advance',
        set: `snapshot = $6::pg_snapshot, high = $7, catchup = $8::pg_snapshot, catchup_seq = $9, published = $10, rate = $11,
         probe = $12, trouble = $13, stalls = 0, lost_epochs = NULL, lapsed_epochs = NULL, advanced_at = clock_timestamp(),
         lease_until = clock_timestamp() + $5 * interval '1 millisecond'`,
        values: [
          leaseMs,
          cursor.snapshot,
          cursor.high,
          cursor.catchup?.snapshot ?? null,
          cursor.catchup?.seq ?? null,
          published,
          rate,
          probe === null ? null : JSON.stringify(probe),
          trouble,
        ],
      }),

    renew: (holder, leaseMs, trouble) =>
      update(holder, {
        name: 'renew',
        set: `lease_until = clock_timestamp() + $5 * interval '1 millisecond', trouble = $6`,
        values: [leaseMs, trouble],
      }),

    markProbe: (holder, probe) => update(holder, { name: 'probe', set: `probe = $5`, values: [JSON.stringify(probe)] }),

    async lapsed({ key, writeClient }) {
      const { rows } = await writeClient.query<{ epoch: string }>(
        `SELECT unnest(lapsed_epochs)::text AS epoch FROM ${table} WHERE name = $1 AND shard = $2`,
        [key.name, key.shard],
      );
      return rows.map(({ epoch }) => Number(epoch));
    },

    async release({ key, epoch, writeClient }) {
      await writeClient.query(
        `UPDATE ${table} SET lease_owner = NULL, lease_until = NULL, stalls = 0, lost_epochs = NULL, lapsed_epochs = NULL,
           -- Stopped on purpose in the middle of a mark: that was no death.
           probe = CASE WHEN probe IS NOT NULL THEN jsonb_set(probe, '{mark}', 'null') END
         WHERE name = $1 AND shard = $2 AND lease_epoch = $3`,
        [key.name, key.shard, epoch],
      );
    },
  };
}
