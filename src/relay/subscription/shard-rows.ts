/**
 * Making the rows of a subscription, one a shard: new ones, another number of them, or one that has vanished. Only while nobody holds
 * their leases. All times are the database's.
 */
import type { PoolClient } from 'pg';
import { HoldfastError } from '../../errors.ts';
import type { Database } from '../../postgres/database.ts';
import { patientTransaction, type LockWait } from '../../postgres/lock-wait.ts';
import { quoteIdentifier } from '../../postgres/quoting.ts';
import { mergeCursors, type Cursor } from '../log/cursor.ts';
import type { SubscriptionKey } from './fence.ts';
import { settleCursor, type FailoverPolicy } from './settle-cursor.ts';
import type { SharedSettings, Superseded } from './shared-settings.ts';
import { serverSql, subscriptionColumns, type SubscriptionRow } from './subscription-row.ts';

export interface EnsureOptions {
  readonly shards: number;
  readonly from: 'beginning' | 'now';
  readonly retentionMs: number;
  /** Topic patterns of its routes, which tell operations what it would publish; undefined: all topics. */
  readonly topics?: readonly string[] | undefined;
  /** Default 'ignore'. */
  readonly failover?: FailoverPolicy;
  /** Default: not known, and so like any other. */
  readonly shared?: SharedSettings;
  /** Where it publishes; default as above. */
  readonly broker?: string | undefined;
}

/** Where a vanished row was, as far as it is known. */
export interface LastPlace {
  readonly cursor: Cursor | null;
  readonly server: string | null;
}

/** As often it is looked at again when another relay makes the same rows at the same time. */
const MOST_LOOKS = 5;

type ShardRow = SubscriptionRow & { readonly shard: number; readonly shards: number; readonly held: boolean };

export async function ensureSubscription(
  database: Database,
  name: string,
  options: EnsureOptions,
): Promise<Superseded | null> {
  return patientTransaction(database, preparing(name), async (client) => {
    await makeShards(client, database.schema, name, options);
    return storeSettings(client, database.schema, name, options);
  });
}

function preparing(name: string): LockWait {
  return { doing: `Preparing subscription '${name}'`, tables: ['subscription', 'outbox'] };
}

/** Makes the rows `options.shards` in number. Rejects with HF_SHARDS_MISMATCH while others hold another number. */
async function makeShards(client: PoolClient, schema: string, name: string, options: EnsureOptions): Promise<void> {
  const { shards, from } = options;
  // Another relay may be making its rows at the same time, perhaps in another number of parts; then they are looked at again.
  for (let look = 1; ; look += 1) {
    const found = await lockShards(client, schema, name);
    const wanted = found.every((row) => row.shards === shards);
    if (wanted && found.length === shards) return;
    // None: it is new. Some of its own: the others have vanished.
    if (wanted) await insertShards(client, schema, { name, shards, place: `${beginning(schema, from)}, 0` });
    else if (look > MOST_LOOKS || found.some((row) => row.held)) throw shardsMismatch(name, shards, found);
    else await reshard(client, schema, found, { name, shards, failover: options.failover ?? 'ignore' });
  }
}

/** Its rows, locked; none when it is new. */
async function lockShards(client: PoolClient, schema: string, name: string): Promise<readonly ShardRow[]> {
  const found = await client.query<ShardRow>(
    `SELECT ${subscriptionColumns(schema)}, shard, shards, lease_until > clock_timestamp() AND lease_owner IS NOT NULL AS held
     FROM ${quoteIdentifier(schema)}.subscription WHERE name = $1 ORDER BY shard FOR UPDATE`,
    [name],
  );
  return found.rows;
}

/** SQL: snapshot, high and floor of a subscription that begins now. */
function beginning(schema: string, from: EnsureOptions['from']): string {
  const s = quoteIdentifier(schema);
  const high = from === 'beginning' ? '0::bigint' : `(SELECT coalesce(max(seq), 0) FROM ${s}.outbox)`;
  // A row that is visible bears a later xid than the snapshot's last only if it came from another cluster.
  const foreign = `(SELECT max(seq + 0) FROM ${s}.outbox WHERE xid >= pg_snapshot_xmax(pg_current_snapshot()))`;
  const floor = `CASE WHEN (SELECT xid FROM ${s}.outbox ORDER BY xid DESC LIMIT 1) >= pg_snapshot_xmax(pg_current_snapshot())
    THEN coalesce(${foreign}, 0) ELSE 0 END`;
  return `pg_current_snapshot(), ${high}, ${floor}`;
}

interface NewShards {
  readonly name: string;
  readonly shards: number;
  /** SQL: snapshot, high, floor and epoch. */
  readonly place: string;
  /** From $3 on. */
  readonly values?: readonly unknown[];
}

/** Rows that are there already stay as they are. */
async function insertShards(client: PoolClient, schema: string, rows: NewShards): Promise<void> {
  const { name, shards, place, values = [] } = rows;
  await client.query(
    `INSERT INTO ${quoteIdentifier(schema)}.subscription (name, shard, shards, snapshot, high, floor, lease_epoch, system_identifier)
     SELECT $1, shard, $2, ${place}, (SELECT system_identifier FROM pg_control_system())
     FROM generate_series(0, $2::int - 1) AS shard ON CONFLICT DO NOTHING`,
    [name, shards, ...values],
  );
}

/** One cursor is made of those of all shards, and each of the new ones begins there. */
async function reshard(
  client: PoolClient,
  schema: string,
  rows: readonly ShardRow[],
  { name, shards, failover }: { readonly name: string; readonly shards: number; readonly failover: FailoverPolicy },
): Promise<void> {
  // Snapshots of different clusters cannot be merged, nor may one pass for this cluster's.
  const cursors: Cursor[] = [];
  for (const row of rows) {
    const key = { name, shard: row.shard };
    const settled = await settleCursor(client, schema, { key, row, policy: failover });
    cursors.push(settled.cursor);
  }
  const merged = mergeCursors(cursors);
  // A relay that slept through all this must not find its epoch in the new rows.
  const epoch = Math.max(...rows.map((row) => Number(row.lease_epoch)));
  await client.query(`DELETE FROM ${quoteIdentifier(schema)}.subscription WHERE name = $1`, [name]);
  await insertShards(client, schema, {
    name,
    shards,
    place: `$3::pg_snapshot, $4::bigint, $5::bigint, $6::bigint`,
    values: [merged.snapshot, merged.high, merged.floor, epoch],
  });
}

function shardsMismatch(name: string, shards: number, rows: readonly ShardRow[]): HoldfastError {
  return new HoldfastError(
    'HF_SHARDS_MISMATCH',
    `Subscription '${name}' is running with ${rows[0]?.shards} shards, not ${shards}.`,
    {
      advice: 'Stop the relays that run it with the other number (or wait until their leases end), then start again.',
      details: { subscription: name, running: rows[0]?.shards, configured: shards },
    },
  );
}

/** Resolves with what was stored before, where it differs. Who holds a lease under other settings loses it. */
async function storeSettings(
  client: PoolClient,
  schema: string,
  name: string,
  { retentionMs, topics = ['**'], shared, broker }: EnsureOptions,
): Promise<Superseded | null> {
  const table = `${quoteIdentifier(schema)}.subscription`;
  const settings = shared === undefined ? null : JSON.stringify(shared);
  const other = await client.query<{ before: string | null; broker: string | null; held: boolean }>(
    `SELECT CASE WHEN settings <> $2::jsonb THEN settings END::text AS before, CASE WHEN broker <> $3 THEN broker END AS broker,
       coalesce(lease_until > clock_timestamp(), false) AS held
     FROM ${table} WHERE name = $1 AND (settings <> $2::jsonb OR broker <> $3) ORDER BY held DESC LIMIT 1`,
    [name, settings, broker ?? null],
  );
  // Whoever holds it with other settings finds its epoch gone at its next write.
  await client.query(
    `UPDATE ${table} SET retention = $2 * interval '1 millisecond', topics = $3, settings = coalesce($4::jsonb, settings),
       broker = coalesce($5, broker),
       lease_owner = CASE WHEN settings <> $4::jsonb THEN NULL ELSE lease_owner END,
       lease_until = CASE WHEN settings <> $4::jsonb THEN NULL ELSE lease_until END,
       lease_epoch = CASE WHEN settings <> $4::jsonb THEN lease_epoch + 1 ELSE lease_epoch END
     WHERE name = $1`,
    [name, retentionMs, topics, settings, broker ?? null],
  );
  const [row] = other.rows;
  return row === undefined ? null : { ...row, before: JSON.parse(row.before ?? 'null') as SharedSettings | null };
}

export async function restoreShard(
  database: Database,
  key: SubscriptionKey,
  { shards, from, retentionMs, topics = ['**'], shared }: EnsureOptions,
  { cursor, server }: LastPlace,
): Promise<boolean> {
  const s = quoteIdentifier(database.schema);
  return patientTransaction(database, preparing(key.name), async (client) => {
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
       FROM (SELECT ${beginning(database.schema, from)}) AS b (snapshot, high, floor)
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
}
