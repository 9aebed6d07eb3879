/**
 * Taking the lease of one shard of a subscription. All times are the database's.
 */
import type { PoolClient } from 'pg';
import type { Database } from '../../postgres/database.ts';
import { explainingLockWaits, SET_LOCAL_LOCK_PATIENCE } from '../../postgres/lock-wait.ts';
import { withOwnTypes } from '../../postgres/own-results.ts';
import { quoteIdentifier } from '../../postgres/quoting.ts';
import type { Cursor } from '../log/cursor.ts';
import { subscriptionGone, type SubscriptionKey } from './fence.ts';
import type { Losses, ProbeState } from './poison.ts';
import { lengthenedLeaseMs } from './lease-clock.ts';
import { settleCursor, type FailoverPolicy, type Settled } from './settle-cursor.ts';
import type { SharedSettings } from './shared-settings.ts';
import { subscriptionColumns, type SubscriptionRow } from './subscription-row.ts';

export interface Lease extends Losses {
  readonly epoch: number;
  /** For how long it was taken: longer than was asked for where leases have run out under relays that live. */
  readonly leaseMs: number;
  readonly cursor: Cursor;
  /** What had to be done before the cursor was good here. */
  readonly settled: Settled;
  readonly probe: ProbeState | null;
  /** Which server's log the cursor belongs to. */
  readonly server: string;
  /** Messages published so far, over the life of the subscription. */
  readonly published: number;
}

export type Acquisition = Taking & {
  /** A lease that was held here and has gone to others meanwhile; told once. */
  readonly outlived: OutlivedLease | null;
};

export interface OutlivedLease {
  readonly epoch: number;
  /** It had been counted as a death, and is no more. */
  readonly counted: boolean;
}

/** What came of asking for a lease. */
export type Taking =
  | { readonly kind: 'acquired'; readonly lease: Lease }
  /** A relay with other settings was started later: it is not for this one any more, held or not. */
  | { readonly kind: 'superseded'; readonly retryInMs: number }
  /** Somebody else holds it; it ends (unless renewed) in about `retryInMs` milliseconds. */
  | { readonly kind: 'held'; readonly owner: string; readonly retryInMs: number };

/** What a lease is asked for with. */
export interface LeaseRequest {
  readonly owner: string;
  readonly leaseMs: number;
  /** Default 'ignore'. */
  readonly failover?: FailoverPolicy;
  /** Default: not known, and so like any other. */
  readonly shared?: SharedSettings | undefined;
}

/** How long taking a lease may last, in milliseconds: finding the place to go on from looks at the log. */
const ACQUIRE_MS = 20_000;

export class LeaseTaker {
  readonly #database: Database;
  /** The epochs under which each lease was taken here, the last one for certain and those after it perhaps. */
  readonly #epochs = new Map<string, readonly number[]>();
  /** The epoch of the lease that was last held here, for certain. */
  readonly #held = new Map<string, number>();

  constructor(database: Database) {
    this.#database = database;
  }

  async acquire(key: SubscriptionKey, request: LeaseRequest): Promise<Acquisition> {
    const database = this.#database;
    const held = this.#held.get(idOf(key));
    const before = this.#epochs.get(idOf(key)) ?? [];
    const wait = { doing: `Taking subscription '${key.name}'`, tables: ['subscription', 'outbox'] };
    const take = async (client: PoolClient) => {
      await client.query(
        `SET LOCAL idle_in_transaction_session_timeout = ${Math.ceil(request.leaseMs / 2)}; ${SET_LOCAL_LOCK_PATIENCE}`,
      );
      const counted = held !== undefined && (await this.#sayAlive(client, key, held));
      return { taking: await this.#take(withOwnTypes(client), key, request), counted };
    };
    const { taking, counted } = await explainingLockWaits(database, wait, () =>
      database.transaction(take, { timeoutMs: Math.max(request.leaseMs, ACQUIRE_MS) }),
    );
    if (taking.kind === 'acquired') {
      this.#epochs.set(idOf(key), [taking.lease.epoch]);
      this.#held.set(idOf(key), taking.lease.epoch);
    } else this.#held.delete(idOf(key));
    const kept = taking.kind === 'acquired' && before.includes(taking.lease.epoch - 1);
    return { ...taking, outlived: held === undefined || kept ? null : { epoch: held, counted } };
  }

  async #take(client: PoolClient, key: SubscriptionKey, request: LeaseRequest): Promise<Taking> {
    const { owner, leaseMs, failover = 'ignore', shared } = request;
    const { schema } = this.#database;
    const settings = shared === undefined ? null : JSON.stringify(shared);
    const before = this.#epochs.get(idOf(key)) ?? [];
    // Takeover counts as a stall when the owner before did not give the lease back; progress sets the count to 0. Who comes
    // back to its own lease has not died, whatever it had marked as being published; it has stood still, when the lease was over.
    const own = `(lease_owner = $3 AND lease_epoch = ANY ($5::bigint[]))`;
    const taken = await client.query<SubscriptionRow>(
      `UPDATE ${quoteIdentifier(schema)}.subscription SET lease_owner = $3, lease_epoch = lease_epoch + 1,
         -- From now on whoever publishes what is parked claims it before: delivery/redrive.ts.
         claims_epoch = lease_epoch + 1, lease_until = clock_timestamp() + $4 * interval '1 millisecond',
         stalls = CASE WHEN lease_owner IS NULL OR ${own} THEN stalls ELSE stalls + 1 END,
         lost_epochs = CASE WHEN lease_owner IS NULL OR ${own} THEN lost_epochs ELSE ${withEpoch('lost_epochs', 'lease_epoch')} END,
         lapsed_epochs = CASE WHEN ${own} AND lease_until < clock_timestamp() THEN ${withEpoch('lapsed_epochs', 'lease_epoch')} ELSE lapsed_epochs END,
         probe = CASE WHEN ${own} AND probe IS NOT NULL THEN jsonb_set(probe, '{mark}', 'null') ELSE probe END
       WHERE name = $1 AND shard = $2 AND (lease_owner IS NULL OR ${own} OR lease_until < clock_timestamp())
         AND coalesce(settings = $6::jsonb, true)
       RETURNING ${subscriptionColumns(schema)}`,
      [key.name, key.shard, owner, leaseMs, before, settings],
    );
    const row = taken.rows[0];
    if (row === undefined) return whoHolds(client, schema, key, { settings, leaseMs });
    // Noted before COMMIT, whose answer may get lost: if it happened, the lease is known again by this.
    this.#epochs.set(idOf(key), [...new Set([...before, Number(row.lease_epoch)])]);
    const settled = await settleCursor(client, schema, { key, row, policy: failover });
    const longMs = lengthenedLeaseMs(leaseMs, row.lapsed.length);
    if (longMs > leaseMs) await this.#lengthen(client, key, longMs);
    const lease = {
      epoch: Number(row.lease_epoch),
      leaseMs: longMs,
      cursor: settled.cursor,
      settled,
      stalls: row.stalls,
      lapsed: row.lapsed,
      probe: row.probe,
      published: Number(row.published),
      server: row.server,
    };
    return { kind: 'acquired', lease };
  }

  /**
   * Whoever took the lease over from here took it for a death, and has counted one: it is taken back. Resolves with false when it is not
   * counted (any more). It touches no other, whatever has become of the row since.
   */
  async #sayAlive(client: PoolClient, key: SubscriptionKey, held: number): Promise<boolean> {
    const { rowCount } = await client.query(
      `UPDATE ${quoteIdentifier(this.#database.schema)}.subscription SET stalls = greatest(stalls - 1, 0),
         lost_epochs = array_remove(lost_epochs, $3), lapsed_epochs = ${withEpoch('lapsed_epochs', '$3::bigint')}
       WHERE name = $1 AND shard = $2 AND $3::bigint = ANY (lost_epochs)`,
      [key.name, key.shard, held],
    );
    return rowCount !== 0;
  }

  async #lengthen(client: PoolClient, key: SubscriptionKey, leaseMs: number): Promise<void> {
    await client.query(
      `UPDATE ${quoteIdentifier(this.#database.schema)}.subscription
       SET lease_until = clock_timestamp() + $3 * interval '1 millisecond' WHERE name = $1 AND shard = $2`,
      [key.name, key.shard, leaseMs],
    );
  }
}

/** So many epochs are remembered: where relays die for months without progress, there is no use in more. */
const MOST_EPOCHS = 32;

/** SQL: an array of epochs with one more. */
function withEpoch(column: string, epoch: string): string {
  return `(${column} || ${epoch})[greatest(cardinality(${column}) - ${MOST_EPOCHS - 2}, 1):]`;
}

const idOf = ({ name, shard }: SubscriptionKey): string => `${name}/${shard}`;

/** Why the row could not be taken. Rejects with HF_SUBSCRIPTION_UNKNOWN when there is none. */
async function whoHolds(
  client: PoolClient,
  schema: string,
  key: SubscriptionKey,
  { settings, leaseMs }: { readonly settings: string | null; readonly leaseMs: number },
): Promise<Taking> {
  const found = await client.query<{ owner: string | null; in_ms: number | null; other: boolean }>(
    `SELECT lease_owner AS owner, extract(epoch FROM lease_until - clock_timestamp())::float8 * 1000 AS in_ms,
       coalesce(settings <> $3::jsonb, false) AS other
     FROM ${quoteIdentifier(schema)}.subscription WHERE name = $1 AND shard = $2`,
    [key.name, key.shard, settings],
  );
  const row = found.rows[0];
  if (row === undefined) throw subscriptionGone(key);
  if (row.other) return { kind: 'superseded', retryInMs: leaseMs / 2 };
  return { kind: 'held', owner: row.owner ?? 'nobody', retryInMs: Math.max(0, row.in_ms ?? 0) };
}
