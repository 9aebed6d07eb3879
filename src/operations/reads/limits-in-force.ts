/**
 * The limits in force, as those who keep to them have said: workers when they registered, relays and consumers when they were started. Read
 * from the database alone.
 */
import type { Database } from '../../postgres/database.ts';
import { rows, tables, untilMs } from './reads.ts';

/** Of a worker. Times in milliseconds; null: it is of an older version, which did not say. */
export interface WorkerLimits {
  readonly id: string;
  readonly name: string;
  /** Its lease lasts. */
  readonly live: boolean;
  /** 'place-order@1', ... */
  readonly sagas: readonly string[];
  /** Most runs under way at once, and most that are kept in memory although they only wait. */
  readonly concurrency: number | null;
  readonly waiting: number | null;
  /** Most runs of one saga at once, of those that say so. */
  readonly sagaConcurrency: Readonly<Record<string, number>>;
  /** Most UTF-8 bytes of one value. */
  readonly maxBytes: number | null;
  /** What a journal may hold. */
  readonly maxEvents: number | null;
  readonly maxJournalBytes: number | null;
  readonly leaseMs: number | null;
  readonly standstillMs: number | null;
  /** How long runs that have ended are kept. */
  readonly retentionMs: number | null;
}

/** Of a subscription, all its shards together. */
export interface SubscriptionLimits {
  readonly name: string;
  readonly shards: number;
  /** How long what is published is kept. */
  readonly retentionMs: number | null;
  /** What is done with a message that is refused; null: not known. */
  readonly onRefused: string | null;
  readonly routes: readonly { readonly topics: readonly string[]; readonly to: string; readonly ordered: boolean }[];
}

/** Of a consumer whose inbox is in this database. */
export interface ConsumerLimits {
  readonly name: string;
  readonly queues: readonly string[];
  /** How long it remembers what it has handled; null: not known. */
  readonly retentionMs: number | null;
}

/** See {@link limitsInForce}. */
export interface LimitsInForce {
  readonly workers: readonly WorkerLimits[];
  readonly subscriptions: readonly SubscriptionLimits[];
  readonly consumers: readonly ConsumerLimits[];
}

/** Nobody has more of them, and no page shows them. */
const MOST = 500;

export async function limitsInForce(database: Database): Promise<LimitsInForce> {
  const [workers, subscriptions, consumers] = await Promise.all([
    workerLimits(database),
    subscriptionLimits(database),
    consumerLimits(database),
  ]);
  return { workers, subscriptions, consumers };
}

async function workerLimits(database: Database): Promise<readonly WorkerLimits[]> {
  const found = await rows(
    database,
    tables(database)
      .selectFrom('worker')
      .select(['id', 'name', 'sagas', 'max_bytes', 'max_events', 'max_journal_bytes', 'settings'])
      .select(untilMs<number>('lease_until').as('lease_ms'))
      .orderBy('name')
      .orderBy('id')
      .limit(MOST),
  );
  return found.map((row) => {
    const said = recordOf(row.settings);
    return {
      id: row.id,
      name: row.name,
      live: row.lease_ms > 0,
      sagas: row.sagas,
      concurrency: numberIn(said, 'concurrency'),
      waiting: numberIn(said, 'waiting'),
      sagaConcurrency: Object.fromEntries(
        Object.entries(recordOf(said['sagas'])).filter((each): each is [string, number] => typeof each[1] === 'number'),
      ),
      maxBytes: row.max_bytes,
      maxEvents: row.max_events,
      maxJournalBytes: row.max_journal_bytes === null ? null : Number(row.max_journal_bytes),
      leaseMs: numberIn(said, 'leaseMs'),
      standstillMs: numberIn(said, 'standstillMs'),
      retentionMs: numberIn(said, 'retentionMs'),
    };
  });
}

async function subscriptionLimits(database: Database): Promise<readonly SubscriptionLimits[]> {
  const found = await rows(
    database,
    tables(database)
      .selectFrom('subscription')
      .where('shard', '=', 0)
      .select(['name', 'shards', 'settings'])
      .orderBy('name')
      .limit(MOST),
  );
  return found.map(({ name, shards, settings }) => {
    const said = recordOf(settings);
    const onRefused = said['onRefused'];
    return {
      name,
      shards,
      retentionMs: numberIn(said, 'retentionMs'),
      onRefused: typeof onRefused === 'string' ? onRefused : null,
      routes: Array.isArray(said['routes']) ? (said['routes'] as SubscriptionLimits['routes']) : [],
    };
  });
}

async function consumerLimits(database: Database): Promise<readonly ConsumerLimits[]> {
  const found = await rows(
    database,
    tables(database)
      .selectFrom('delivery_attempt')
      .where('identity', 'is not', null)
      .select(['consumer', 'identity'])
      .orderBy('consumer')
      .limit(MOST),
  );
  return found.map(({ consumer, identity }) => {
    const said = recordOf(JSON.parse(identity ?? '{}'));
    const queues = Array.isArray(said['queues']) ? said['queues'].map(String) : [];
    return { name: consumer, queues, retentionMs: numberIn(said, 'retentionMs') };
  });
}

function recordOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>) : {};
}

function numberIn(record: Readonly<Record<string, unknown>>, name: string): number | null {
  const value = record[name];
  return typeof value === 'number' ? value : null;
}
