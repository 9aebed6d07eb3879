/**
 * How the relay is doing, read from the database alone: it answers whether or not a relay runs.
 */
import { sql, type RawBuilder } from 'kysely';
import { isHoldfastError } from '../../errors.ts';
import { PARK_REASONS } from '../../inbox/handlers/decide.ts';
import type { Database } from '../../postgres/database.ts';
import { ageMs, firstRow, rows, tables, untilMs } from '../reads/reads.ts';

/** How many messages are parked, by what they wait for. */
export interface ParkedCounts {
  /** Could not go on by themselves and will be tried again. */
  readonly failed: number;
  /** Wait behind an earlier one of their key. */
  readonly behind: number;
  /** Failed, and no retry will take them up: they wait for a person. */
  readonly dead: number;
}

/** How one shard of one subscription is doing. */
export interface SubscriptionStatus {
  readonly name: string;
  readonly shard: number;
  readonly shards: number;
  /** Who reads for it, or did last; null when the lease was given back. `remainingMs` is 0 when it has run out. */
  readonly lease: { readonly owner: string; readonly epoch: number; readonly remainingMs: number } | null;
  /** Some relay holds it now. */
  readonly live: boolean;
  /** Everything up to this seq has been read. */
  readonly high: number;
  /**
   * Distance to the newest message. Counts all shards and topics, and the gaps that rollbacks leave, so it is an upper bound; 0 is
   * exact.
   */
  readonly behind: number;
  /** Age of the oldest message not yet read; null when there is none. */
  readonly oldestUnpublishedAgeMs: number | null;
  /** Over its whole life. */
  readonly published: number;
  /** Over the last seconds. */
  readonly ratePerSecond: number;
  /**
   * How long what is behind takes at this rate, at most, if nothing comes in meanwhile; 0 when nothing is behind, null while nothing goes
   * out.
   */
  readonly drainMs: number | null;
  readonly advancedAgoMs: number | null;
  /** The last failure of its broker; null while all is well. */
  readonly trouble: string | null;
  /** Takeovers in a row after which nothing had advanced, from relays that were not heard of since. */
  readonly stalls: number;
  /** Leases in a row that ran out under relays that live, and after which nothing had advanced. */
  readonly lapses: number;
  /** It is looking for a message that kills the relay. */
  readonly probing: boolean;
  readonly retentionMs: number | null;
  readonly parked: ParkedCounts;
}

/** What a consumer has parked, as {@link relayStatus} counts it. */
export interface ConsumerParked extends ParkedCounts {
  readonly consumer: string;
  readonly oldestAgeMs: number;
}

/** How far a replay is. */
export interface ReplayStatus {
  readonly id: string;
  readonly subscription: string;
  readonly fromSeq: number;
  readonly toSeq: number;
  readonly position: number;
  readonly published: number;
  /** Read and not published, for no route has their topic. */
  readonly unrouted: number;
  /** Read and not published, for the broker refused them. */
  readonly refused: number;
  readonly topic: string | null;
  readonly key: string | null;
  readonly requestedAgoMs: number;
  /** How often a relay has begun at `position`. From 3 on it takes one message at a time; more than that, and it does not get on at all. */
  readonly begunTimes: number;
}

/** What {@link relayStatus} found. */
export interface RelayStatus {
  readonly schema: string;
  readonly log: {
    readonly newestSeq: number | null;
    readonly oldestSeq: number | null;
    readonly oldestAgeMs: number | null;
  };
  readonly subscriptions: readonly SubscriptionStatus[];
  /** Messages whose time has not come. */
  readonly scheduled: { readonly count: number; readonly nextInMs: number | null };
  /** Consumers of this database with parked messages; none for a role that may not read them. */
  readonly consumers: readonly ConsumerParked[];
  /** Those not finished. */
  readonly replays: readonly ReplayStatus[];
}

/** Cheap enough to be asked every second. Rejects with HF_SCHEMA_MISSING, HF_DATABASE_UNAVAILABLE or HF_PERMISSION. */
export async function relayStatus(database: Database): Promise<RelayStatus> {
  const [{ subscriptions, log }, scheduled, consumers, replays] = await Promise.all([
    readSubscriptions(database),
    firstRow(database, scheduledQuery(database)),
    parkedByConsumers(database).catch(notPermitted),
    rows(database, replaysQuery(database)),
  ]);
  return {
    schema: database.schema,
    log,
    subscriptions,
    scheduled: { count: Number(scheduled?.count ?? 0), nextInMs: scheduled?.next_ms ?? null },
    consumers,
    replays: replays.map((row) => ({
      id: row.id,
      subscription: row.subscription,
      fromSeq: Number(row.from_seq),
      toSeq: Number(row.to_seq),
      position: Number(row.position),
      published: Number(row.published),
      unrouted: Number(row.unrouted),
      refused: Number(row.refused),
      topic: row.topic,
      key: row.key,
      requestedAgoMs: row.requested_ms,
      begunTimes: row.begun_times,
    })),
  };
}

/** Only what subscriptions are doing. Rejects as relayStatus does. */
export async function subscriptionStatuses(database: Database): Promise<readonly SubscriptionStatus[]> {
  return (await readSubscriptions(database)).subscriptions;
}

/** What consumers of this database have parked. Rejects with HF_PERMISSION for a role that may not read that. */
export async function parkedByConsumers(database: Database): Promise<readonly ConsumerParked[]> {
  const found = await rows(database, consumersQuery(database));
  return found.map((row) => ({ consumer: row.consumer, oldestAgeMs: row.oldest_ms, ...toCounts(row) }));
}

async function readSubscriptions(database: Database): Promise<Pick<RelayStatus, 'subscriptions' | 'log'>> {
  const [subscriptions, parked, log] = await Promise.all([
    rows(database, subscriptionsQuery(database)),
    rows(database, parkedQuery(database)),
    firstRow(database, logQuery(database)),
  ]);
  const newestSeq = toNumber(log?.newest_seq ?? null);
  return {
    log: { newestSeq, oldestSeq: toNumber(log?.oldest_seq ?? null), oldestAgeMs: log?.oldest_age_ms ?? null },
    subscriptions: subscriptions.map((row): SubscriptionStatus => {
      const remainingMs = Math.max(0, row.lease_left_ms ?? 0);
      const high = Number(row.high);
      const behind = row.oldest_ms === null ? 0 : Math.max(1, (newestSeq ?? 0) - high);
      const ratePerSecond = fadedRate(row.rate, row.advanced_ms);
      const counts = parked.find((each) => each.subscription === row.name && each.shard === row.shard);
      return {
        name: row.name,
        shard: row.shard,
        shards: row.shards,
        lease:
          row.lease_owner === null ? null : { owner: row.lease_owner, epoch: Number(row.lease_epoch), remainingMs },
        live: row.lease_owner !== null && remainingMs > 0,
        high,
        behind,
        oldestUnpublishedAgeMs: row.oldest_ms,
        published: Number(row.published),
        ratePerSecond,
        drainMs: behind === 0 ? 0 : ratePerSecond === 0 ? null : (behind / ratePerSecond) * 1_000,
        advancedAgoMs: row.advanced_ms,
        trouble: row.trouble,
        stalls: row.stalls,
        lapses: row.lapses,
        probing: row.probing,
        retentionMs: row.retention_ms,
        parked: toCounts(counts),
      };
    }),
  };
}

/** A relay's own role need not see what consumers keep (docs/roles.md). */
function notPermitted(error: unknown): [] {
  if (isHoldfastError(error, 'HF_PERMISSION')) return [];
  throw error;
}

/**
 * The stored rate is that of the last write of the cursor; a subscription that has been quiet since then has a lower one.
 * Fades with the same 5 s as the relay's own average. Pure.
 */
export function fadedRate(rate: number, advancedAgoMs: number | null): number {
  if (advancedAgoMs === null) return 0;
  const faded = rate * Math.exp(-Math.max(0, advancedAgoMs) / 5_000);
  return faded < 0.05 ? 0 : faded;
}

function subscriptionsQuery(database: Database) {
  return tables(database)
    .selectFrom('subscription as s')
    .leftJoinLateral(
      (from) =>
        from
          .selectFrom('outbox as o')
          .whereRef('o.seq', '>', 's.high')
          .select('o.created_at')
          .orderBy('o.seq')
          .limit(1)
          .as('next'),
      (join) => join.onTrue(),
    )
    .select(['s.name', 's.shard', 's.shards', 's.high', 's.lease_owner', 's.lease_epoch', 's.stalls', 's.published'])
    .select(['s.rate', 's.trouble'])
    .select([
      untilMs('s.lease_until').as('lease_left_ms'),
      ageMs<number | null>('s.advanced_at').as('advanced_ms'),
      ageMs<number | null>('next.created_at').as('oldest_ms'),
      sql<boolean>`s.probe is not null`.as('probing'),
      sql<number>`coalesce(cardinality(s.lapsed_epochs), 0)`.as('lapses'),
      sql<number | null>`extract(epoch from s.retention)::float8 * 1000`.as('retention_ms'),
    ])
    .orderBy('s.name')
    .orderBy('s.shard');
}

// One without a handler is taken up by the first process that has it, so it is no dead letter, as `parked ls` has it too.
const deadUnless = (due: string) => sql`${sql.raw(due)} is null and p.reason <> ${PARK_REASONS.noHandler}`;
const deadAtRelay = deadUnless('coalesce(p.next_attempt_at, p.revised_due_at)');
const deadAtConsumer = deadUnless('p.next_attempt_at');
const countStates = (dead: RawBuilder<unknown>) =>
  [
    sql<Count>`count(*) filter (where p.state = 'failed' and not (${dead}))`.as('failed'),
    sql<Count>`count(*) filter (where p.state = 'behind')`.as('behind'),
    sql<Count>`count(*) filter (where p.state = 'failed' and ${dead})`.as('dead'),
  ] as const;

type Count = string | number | bigint;

function parkedQuery(database: Database) {
  return tables(database)
    .selectFrom('parked_message as p')
    .innerJoin('subscription as s', (join) =>
      join.onRef('s.name', '=', 'p.subscription').on(sql<boolean>`p.lane % s.shards = s.shard`),
    )
    .select(['p.subscription', 's.shard'])
    .select(countStates(deadAtRelay))
    .groupBy(['p.subscription', 's.shard']);
}

function consumersQuery(database: Database) {
  return tables(database)
    .selectFrom('parked_delivery as p')
    .select('p.consumer')
    .select(countStates(deadAtConsumer))
    .select(sql<number>`extract(epoch from clock_timestamp() - min(p.parked_at))::float8 * 1000`.as('oldest_ms'))
    .groupBy('p.consumer')
    .orderBy('p.consumer');
}

function logQuery(database: Database) {
  // Two looks at the ends of the primary key; an aggregate over both would still be that, but min(created_at) would not.
  const from = tables(database);
  const oldest = from.selectFrom('outbox').select(['seq', 'created_at']).orderBy('seq').limit(1).as('oldest');
  return from.selectFrom(oldest).select((query) => [
    'oldest.seq as oldest_seq',
    ageMs('oldest.created_at').as('oldest_age_ms'),
    query
      .selectFrom('outbox')
      .select(({ fn }) => fn.max('seq').as('max'))
      .as('newest_seq'),
  ]);
}

function scheduledQuery(database: Database) {
  return tables(database)
    .selectFrom('scheduled_message')
    .select([
      sql<Count>`count(*)`.as('count'),
      sql<number | null>`extract(epoch from min(due_at) - clock_timestamp())::float8 * 1000`.as('next_ms'),
    ]);
}

function replaysQuery(database: Database) {
  return tables(database)
    .selectFrom('replay')
    .where('finished_at', 'is', null)
    .select(['id', 'subscription', 'from_seq', 'to_seq', 'position', 'published', 'unrouted', 'refused'])
    .select(['topic', 'key', sql<number>`CASE WHEN begun = position THEN begun_times ELSE 0 END`.as('begun_times')])
    .select(ageMs('requested_at').as('requested_ms'))
    .orderBy('requested_at');
}

function toCounts(row: { failed: Count; behind: Count; dead: Count } | undefined): ParkedCounts {
  return { failed: Number(row?.failed ?? 0), behind: Number(row?.behind ?? 0), dead: Number(row?.dead ?? 0) };
}

function toNumber(value: Count | null): number | null {
  return value === null ? null : Number(value);
}
