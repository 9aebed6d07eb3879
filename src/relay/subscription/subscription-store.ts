/**
 * The table `subscription`: cursor, lease and probe of every reader of the log. Used by the subscription runner.
 * Every write is fenced by the lease epoch; all times are the database's.
 */
import { withOwnTypes } from '../../postgres/own-results.ts';
import type { ClientBase, PoolClient } from 'pg';
import { HoldfastError } from '../../errors.ts';
import type { Database } from '../../postgres/database.ts';
import { explainingLockWaits, SET_LOCAL_LOCK_PATIENCE } from '../../postgres/lock-wait.ts';
import { quoteIdentifier } from '../../postgres/quoting.ts';
import { mergeCursors, type Cursor } from '../log/cursor.ts';
import { leaseLost, subscriptionGone, type SubscriptionKey } from './fence.ts';
import type { ProbeState } from './poison.ts';
import { settleCursor, type FailoverPolicy, type Settled } from './settle-cursor.ts';
import type { SharedSettings, Superseded } from './shared-settings.ts';
import { serverSql, subscriptionColumns, type SubscriptionRow } from './subscription-row.ts';

export interface Lease {
  readonly epoch: number;
  readonly cursor: Cursor;
  /** What had to be done before the cursor was good here. */
  readonly settled: Settled;
  /** Takeovers in a row from owners that died without having advanced. */
  readonly stalls: number;
  readonly probe: ProbeState | null;
  /** Which server's log the cursor belongs to. */
  readonly server: string;
  /** Messages published so far, over the life of the subscription. */
  readonly published: number;
}

export type Acquisition =
  | { readonly kind: 'acquired'; readonly lease: Lease }
  /** A relay with other settings was started later: it is not for this one any more, held or not. */
  | { readonly kind: 'superseded'; readonly retryInMs: number }
  /** Somebody else holds it; it ends (unless renewed) in about `retryInMs` milliseconds. */
  | { readonly kind: 'held'; readonly owner: string; readonly retryInMs: number };

export interface Advance {
  readonly cursor: Cursor;
  readonly published: number;
  /** Messages per second, for status. */
  readonly rate: number;
  readonly probe: ProbeState | null;
  readonly trouble: string | null;
}

export interface EnsureOptions {
  readonly shards: number;
  readonly from: 'beginning' | 'now';
  readonly retentionMs: number;
  /** Topic patterns of its routes, which tell operations what it would publish; undefined: all topics. */
  readonly topics?: readonly string[] | undefined;
  /** Default 'ignore', as in acquire. */
  readonly failover?: FailoverPolicy;
  /** Default: not known, and so like any other. */
  readonly shared?: SharedSettings;
  /** Where it publishes; default as above. */
  readonly broker?: string | undefined;
}

export type AcquireOptions = Pick<EnsureOptions, 'failover' | 'shared'>;

export interface SubscriptionStore {
  /**
   * Creates the rows of a new subscription, or brings an existing one to `shards` when nobody holds it. With other settings than those
   * stored, takes it from whoever holds it, and resolves with these; also with the broker, when that was another one.
   */
  ensure(name: string, options: EnsureOptions): Promise<Superseded | null>;
  /**
   * Takes the lease when it is free, over, or was taken through this store and not given back (who lost its connection, say). A name
   * alone proves nothing: two relays may have been given the same, or one that died may come back under it.
   */
  acquire(key: SubscriptionKey, owner: string, leaseMs: number, options?: AcquireOptions): Promise<Acquisition>;
  /** Writes progress and renews the lease. Rejects with HF_LEASE_LOST when the epoch is not ours any more. */
  advance(client: ClientBase, key: SubscriptionKey, epoch: number, leaseMs: number, advance: Advance): Promise<void>;
  /** Renews the lease only. Rejects with HF_LEASE_LOST. */
  renew(
    client: ClientBase,
    key: SubscriptionKey,
    epoch: number,
    leaseMs: number,
    trouble: string | null,
  ): Promise<void>;
  /** Gives the lease back, so that a standby takes over at once. Never rejects for a lost lease. */
  release(client: ClientBase, key: SubscriptionKey, epoch: number): Promise<void>;
  /**
   * Puts a shard's row back that has vanished, at `cursor`, or as a new subscription begins when that is null. Resolves with false when
   * the subscription is there with another number of shards.
   */
  restore(
    key: SubscriptionKey,
    options: EnsureOptions & { readonly cursor: Cursor | null; readonly server: string | null },
  ): Promise<boolean>;
  /** Marks what is about to be published while probing, in a commit of its own. Rejects with HF_LEASE_LOST. */
  markProbe(client: ClientBase, key: SubscriptionKey, epoch: number, probe: ProbeState): Promise<void>;
}

/** How long taking a lease may last, in milliseconds: finding the place to go on from looks at the log. */
const ACQUIRE_MS = 20_000;

export function createSubscriptionStore(database: Database): SubscriptionStore {
  const s = quoteIdentifier(database.schema);
  const ROW = subscriptionColumns(database.schema);
  // Where each row is: an update by ctid costs the same however many dead versions a pinned horizon keeps behind it,
  // where the primary key would lead through all of them.
  const tids = new Map<string, string>();
  // The epochs under which each lease was taken here, the last one for certain and those after it perhaps.
  const epochs = new Map<string, readonly number[]>();

  async function fencedUpdate(
    client: ClientBase,
    key: SubscriptionKey,
    epoch: number,
    name: string,
    set: string,
    values: readonly unknown[],
  ): Promise<void> {
    const id = `${key.name}/${key.shard}`;
    const update = async (where: string, tid: string | null) =>
      client.query<{ tid: string }>({
        name: `holdfast-${name}-${tid === null ? 'key' : 'tid'}`,
        text: `UPDATE ${s}.subscription SET ${set}
               WHERE name = $1 AND shard = $2 AND lease_epoch = $3 AND lease_owner IS NOT NULL AND ${where}
               RETURNING ctid::text AS tid`,
        values: [key.name, key.shard, epoch, tid, ...values],
      });
    const tid = tids.get(id);
    let result = tid === undefined ? undefined : await update('ctid = $4::text::tid', tid);
    if (result === undefined || result.rowCount === 0) result = await update('$4::text IS NULL', null);
    const moved = result.rows[0]?.tid;
    if (moved === undefined) {
      tids.delete(id);
      throw leaseLost(key);
    }
    tids.set(id, moved);
  }

  return {
    async ensure(name, { shards, from, retentionMs, topics = ['**'], failover = 'ignore', shared, broker }) {
      const wait = { doing: `Preparing subscription '${name}'`, tables: ['subscription', 'outbox'] };
      const write = async (given: PoolClient) => {
        const client = withOwnTypes(given);
        // A process that is stopped in here must not keep others from the row for ever.
        await client.query(`SET LOCAL idle_in_transaction_session_timeout = '10s'; ${SET_LOCAL_LOCK_PATIENCE}`);
        // Another relay may be making its rows at the same time, perhaps in another number of parts; then they are looked at again.
        for (let attempt = 1; ; attempt += 1) {
          const found = await lockShards(client, name);
          if (found.length === shards && found.every((row) => row.shards === shards)) break;
          // None: it is new. Some of its own: the others have vanished.
          if (found.every((row) => row.shards === shards))
            await insertShards(client, name, shards, `${beginning(from)}, 0`, []);
          else await reshard(client, name, { shards, failover }, found, attempt);
        }
        const settings = shared === undefined ? null : JSON.stringify(shared);
        const other = await client.query<{ before: string | null; broker: string | null; held: boolean }>(
          `SELECT CASE WHEN settings <> $2::jsonb THEN settings END::text AS before, CASE WHEN broker <> $3 THEN broker END AS broker,
             coalesce(lease_until > clock_timestamp(), false) AS held
           FROM ${s}.subscription WHERE name = $1 AND (settings <> $2::jsonb OR broker <> $3) ORDER BY held DESC LIMIT 1`,
          [name, settings, broker ?? null],
        );
        // Whoever holds it with other settings finds its epoch gone at its next write.
        await client.query(
          `UPDATE ${s}.subscription SET retention = $2 * interval '1 millisecond', topics = $3, settings = coalesce($4::jsonb, settings),
             broker = coalesce($5, broker),
             lease_owner = CASE WHEN settings <> $4::jsonb THEN NULL ELSE lease_owner END,
             lease_until = CASE WHEN settings <> $4::jsonb THEN NULL ELSE lease_until END,
             lease_epoch = CASE WHEN settings <> $4::jsonb THEN lease_epoch + 1 ELSE lease_epoch END
           WHERE name = $1`,
          [name, retentionMs, topics, settings, broker ?? null],
        );
        const [row] = other.rows;
        return row === undefined ? null : { ...row, before: JSON.parse(row.before ?? 'null') as SharedSettings | null };
      };
      return explainingLockWaits(database, wait, () => database.transaction(write));
    },

    async restore(key, { shards, from, retentionMs, topics = ['**'], shared, cursor, server }) {
      return database.transaction(async (client) => {
        await client.query(SET_LOCAL_LOCK_PATIENCE);
        const found = await client.query<{ shards: number }>(`SELECT shards FROM ${s}.subscription WHERE name = $1`, [
          key.name,
        ]);
        if (found.rows.some((row) => row.shards !== shards)) return false;
        // A place in one server's log says nothing in another's. And a relay that slept through this must not find its epoch.
        const place = `CASE WHEN ${serverSql(database.schema)} = $6 THEN`;
        await client.query(
          `INSERT INTO ${s}.subscription (name, shard, shards, retention, topics, settings, snapshot, high, floor, lease_epoch,
             system_identifier)
           SELECT $1, $2, $3, $4 * interval '1 millisecond', $5, $10::jsonb,
             ${place} coalesce($7::pg_snapshot, b.snapshot) ELSE b.snapshot END, ${place} coalesce($8::bigint, b.high) ELSE b.high END,
             ${place} coalesce($9::bigint, b.floor) ELSE b.floor END, extract(epoch FROM clock_timestamp())::bigint,
             (SELECT system_identifier FROM pg_control_system())
           FROM (SELECT ${beginning(from)}) AS b (snapshot, high, floor)
           ON CONFLICT DO NOTHING`,
          [
            key.name,
            key.shard,
            shards,
            retentionMs,
            topics,
            server,
            cursor?.snapshot ?? null,
            cursor?.high ?? null,
            cursor?.floor ?? null,
            shared === undefined ? null : JSON.stringify(shared),
          ],
        );
        return true;
      });
    },

    async acquire(key, owner, leaseMs, { failover = 'ignore', shared } = {}) {
      const settings = shared === undefined ? null : JSON.stringify(shared);
      const id = `${key.name}/${key.shard}`;
      const before = epochs.get(id) ?? [];
      const take = async (given: PoolClient): Promise<Acquisition> => {
        const client = withOwnTypes(given);
        await client.query(
          `SET LOCAL idle_in_transaction_session_timeout = ${Math.ceil(leaseMs / 2)}; ${SET_LOCAL_LOCK_PATIENCE}`,
        );
        // Takeover counts as a stall when the owner before did not give the lease back; advance() sets the count to 0. Who comes
        // back to its own lease has not died, whatever it had marked as being published.
        const own = `(lease_owner = $3 AND lease_epoch = ANY ($5::bigint[]))`;
        const taken = await client.query<SubscriptionRow>(
          `UPDATE ${s}.subscription SET lease_owner = $3, lease_epoch = lease_epoch + 1,
             lease_until = clock_timestamp() + $4 * interval '1 millisecond',
             stalls = CASE WHEN lease_owner IS NULL OR ${own} THEN stalls ELSE stalls + 1 END,
             probe = CASE WHEN ${own} AND probe IS NOT NULL THEN jsonb_set(probe, '{mark}', 'null') ELSE probe END
           WHERE name = $1 AND shard = $2 AND (lease_owner IS NULL OR ${own} OR lease_until < clock_timestamp())
             AND coalesce(settings = $6::jsonb, true)
           RETURNING ${ROW}`,
          [key.name, key.shard, owner, leaseMs, before, settings],
        );
        const row = taken.rows[0];
        if (row === undefined) return whoHolds(client, key, { settings, leaseMs });
        // Noted before COMMIT, whose answer may get lost: if it happened, the lease is known again by this.
        epochs.set(id, [...new Set([...before, Number(row.lease_epoch)])]);
        const settled = await settleCursor(client, database.schema, key, row, failover);
        const lease = {
          epoch: Number(row.lease_epoch),
          cursor: settled.cursor,
          settled,
          stalls: row.stalls,
          probe: row.probe,
          published: Number(row.published),
          server: row.server,
        };
        return { kind: 'acquired', lease };
      };
      const wait = { doing: `Taking subscription '${key.name}'`, tables: ['subscription', 'outbox'] };
      const acquisition = await explainingLockWaits(database, wait, () =>
        database.transaction(take, { timeoutMs: Math.max(leaseMs, ACQUIRE_MS) }),
      );
      if (acquisition.kind === 'acquired') epochs.set(id, [acquisition.lease.epoch]);
      return acquisition;
    },

    async advance(client, key, epoch, leaseMs, { cursor, published, rate, probe, trouble }) {
      await fencedUpdate(
        client,
        key,
        epoch,
        'advance',
        `snapshot = $6::pg_snapshot, high = $7, catchup = $8::pg_snapshot, catchup_seq = $9, published = $10, rate = $11, probe = $12,
         trouble = $13, stalls = 0, advanced_at = clock_timestamp(), lease_until = clock_timestamp() + $5 * interval '1 millisecond'`,
        [
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
      );
    },

    async renew(client, key, epoch, leaseMs, trouble) {
      await fencedUpdate(
        client,
        key,
        epoch,
        'renew',
        `lease_until = clock_timestamp() + $5 * interval '1 millisecond', trouble = $6`,
        [leaseMs, trouble],
      );
    },

    async release(client, key, epoch) {
      await client.query(
        `UPDATE ${s}.subscription SET lease_owner = NULL, lease_until = NULL, stalls = 0,
           -- Stopped on purpose in the middle of a mark: that was no death.
           probe = CASE WHEN probe IS NOT NULL THEN jsonb_set(probe, '{mark}', 'null') END
         WHERE name = $1 AND shard = $2 AND lease_epoch = $3`,
        [key.name, key.shard, epoch],
      );
    },

    async markProbe(client, key, epoch, probe) {
      await fencedUpdate(client, key, epoch, 'probe', `probe = $5`, [JSON.stringify(probe)]);
    },
  };

  /** Its rows, locked; none when it is new. */
  async function lockShards(client: PoolClient, name: string) {
    const found = await client.query<SubscriptionRow & { shard: number; shards: number; held: boolean }>(
      `SELECT ${ROW}, shard, shards, lease_until > clock_timestamp() AND lease_owner IS NOT NULL AS held
       FROM ${s}.subscription WHERE name = $1 ORDER BY shard FOR UPDATE`,
      [name],
    );
    return found.rows;
  }

  /** Snapshot, high and floor of a subscription that begins now. */
  function beginning(from: EnsureOptions['from']): string {
    const high = from === 'beginning' ? '0::bigint' : `(SELECT coalesce(max(seq), 0) FROM ${s}.outbox)`;
    // A row that is visible bears a later xid than the snapshot's last only if it came from another cluster.
    const foreign = `(SELECT max(seq + 0) FROM ${s}.outbox WHERE xid >= pg_snapshot_xmax(pg_current_snapshot()))`;
    const floor = `CASE WHEN (SELECT xid FROM ${s}.outbox ORDER BY xid DESC LIMIT 1) >= pg_snapshot_xmax(pg_current_snapshot())
      THEN coalesce(${foreign}, 0) ELSE 0 END`;
    return `pg_current_snapshot(), ${high}, ${floor}`;
  }

  /** Rows that are there already stay as they are. */
  async function insertShards(
    client: PoolClient,
    name: string,
    shards: number,
    cursorSql: string,
    values: readonly unknown[],
  ) {
    await client.query(
      `INSERT INTO ${s}.subscription (name, shard, shards, snapshot, high, floor, lease_epoch, system_identifier)
       SELECT $1, shard, $2, ${cursorSql}, (SELECT system_identifier FROM pg_control_system())
       FROM generate_series(0, $2::int - 1) AS shard ON CONFLICT DO NOTHING`,
      [name, shards, ...values],
    );
  }

  async function reshard(
    client: PoolClient,
    name: string,
    { shards, failover }: Required<Pick<EnsureOptions, 'shards' | 'failover'>>,
    rows: (SubscriptionRow & { shard: number; shards: number; held: boolean })[],
    attempt: number,
  ) {
    if (rows.some((row) => row.held) || attempt > 5) {
      throw new HoldfastError(
        'HF_SHARDS_MISMATCH',
        `Subscription '${name}' is running with ${rows[0]?.shards} shards, not ${shards}.`,
        {
          advice:
            'Stop the relays that run it with the other number (or wait until their leases end), then start again.',
          details: { subscription: name, running: rows[0]?.shards, configured: shards },
        },
      );
    }
    // Snapshots of different clusters cannot be merged, nor may one pass for this cluster's.
    const cursors: Cursor[] = [];
    for (const row of rows) {
      const settled = await settleCursor(client, database.schema, { name, shard: row.shard }, row, failover);
      cursors.push(settled.cursor);
    }
    const merged = mergeCursors(cursors);
    // A relay that slept through all this must not find its epoch in the new rows.
    const epoch = Math.max(...rows.map((row) => Number(row.lease_epoch)));
    await client.query(`DELETE FROM ${s}.subscription WHERE name = $1`, [name]);
    await insertShards(client, name, shards, `$3::pg_snapshot, $4::bigint, $5::bigint, $6::bigint`, [
      merged.snapshot,
      merged.high,
      merged.floor,
      epoch,
    ]);
  }

  async function whoHolds(
    client: PoolClient,
    key: SubscriptionKey,
    { settings, leaseMs }: { readonly settings: string | null; readonly leaseMs: number },
  ): Promise<Acquisition> {
    const found = await client.query<{ owner: string | null; in_ms: number | null; other: boolean }>(
      `SELECT lease_owner AS owner, extract(epoch FROM lease_until - clock_timestamp())::float8 * 1000 AS in_ms,
         coalesce(settings <> $3::jsonb, false) AS other
       FROM ${s}.subscription WHERE name = $1 AND shard = $2`,
      [key.name, key.shard, settings],
    );
    const row = found.rows[0];
    if (row === undefined) throw subscriptionGone(key);
    if (row.other) return { kind: 'superseded', retryInMs: leaseMs / 2 };
    return { kind: 'held', owner: row.owner ?? 'nobody', retryInMs: Math.max(0, row.in_ms ?? 0) };
  }
}
