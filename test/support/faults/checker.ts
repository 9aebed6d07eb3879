/**
 * The judge: compares what the tables say with what the ledger saw. Pure, but for `collectFacts`; used at the end of every fault-injection test's
 * case, when the faults are over and nothing moves any more.
 */
import type pg from 'pg';
import type { PublishedEntry } from './ledger.ts';

export interface Written {
  readonly id: string;
  readonly key: string;
  readonly n: number;
}

export interface Effect extends Written {
  readonly consumer: string;
}

export interface Facts {
  /** What the services committed, by their own tables. */
  readonly committed: readonly Written[];
  /** The messages in the outbox. */
  readonly outbox: readonly Written[];
  /** What the broker took, in that order. */
  readonly published: readonly PublishedEntry[];
  /** Ids parked by a relay, visible to an operator. */
  readonly parked: readonly string[];
  /** Effects in the order in which the consumers' handlers wrote them. */
  readonly effects: readonly Effect[];
  /** (consumer, message id) parked by a consumer. */
  readonly parkedDeliveries: readonly { readonly consumer: string; readonly id: string }[];
  /** (consumer, message id) marked in the inbox. */
  readonly inbox: readonly { readonly consumer: string; readonly id: string }[];
  /** Cursors, replays, schedules and parked messages that a relay or consumer should have finished. */
  readonly unfinished: readonly string[];
}

export interface Expectations {
  /** COMMITs that a writer saw succeed (I5). */
  readonly acknowledged?: readonly string[];
  /** Consumers that must have had an effect of every message. */
  readonly consumers?: readonly string[];
  /** Of those, the ones whose effects must be in order per key. Default: none. */
  readonly orderedConsumers?: readonly string[];
  /** Messages that are expected to be parked at the end, by a relay or a consumer. */
  readonly parked?: readonly string[];
  /** Messages that may be parked. */
  readonly perhapsParked?: readonly string[];
  /** Messages that were delivered may have left the outbox. */
  readonly pruned?: boolean;
  /** False when the publishing itself may be out of turn, as after a stopped process, and only the consumers have to be in order. */
  readonly publishedInOrder?: boolean;
}

/** Every breach of a promise, in words. Empty is good. */
export function breaches(facts: Facts, expectations: Expectations = {}): readonly string[] {
  const {
    consumers = [],
    orderedConsumers = [],
    acknowledged = [],
    publishedInOrder = true,
    pruned = false,
  } = expectations;
  const found: string[] = [];
  const committed = new Map(facts.committed.map((row) => [row.id, row]));
  const live = facts.published.filter((entry) => entry.replayId === null);
  const publishedIds = new Set(live.map(({ id }) => id));
  const parked = new Set(facts.parked);
  const deliveredTo = (consumer: string) =>
    new Set(facts.effects.filter((each) => each.consumer === consumer).map(({ id }) => id));

  const inOutbox = new Set(facts.outbox.map(({ id }) => id));
  for (const id of committed.keys()) {
    if (!inOutbox.has(id) && !pruned) found.push(`I1: message ${id} of a committed transaction is not in the outbox`);
    if (!publishedIds.has(id) && !parked.has(id))
      found.push(`I1: ${name(committed, id)} was committed, and neither published nor parked`);
  }
  for (const id of inOutbox)
    if (!committed.has(id)) found.push(`I2: the outbox has ${id}, whose transaction did not commit`);
  for (const id of new Set(facts.published.map((entry) => entry.id))) {
    if (!committed.has(id)) found.push(`I2: ${id} was published, and its transaction did not commit`);
  }
  for (const { id, consumer } of facts.effects)
    if (!committed.has(id)) found.push(`I2: ${consumer} has an effect of ${id}, which was not committed`);
  for (const id of acknowledged)
    if (!committed.has(id)) found.push(`I5: the commit of ${id} was acknowledged, and is gone`);

  // Copies that go out again after a death may name any message that went out before; the consumer has the first already.
  for (const { id, key, n, after } of firstOfEach(live)) {
    const before = after === null ? undefined : committed.get(after);
    if (before !== undefined && before.n >= n)
      found.push(`I3: ${key}${n} (${id}) names ${name(committed, before.id)} as its predecessor`);
  }
  if (publishedInOrder) found.push(...outOfOrder('published', firstOfEach(live)));
  for (const consumer of orderedConsumers) {
    found.push(
      ...outOfOrder(
        `effects at ${consumer}`,
        facts.effects.filter((each) => each.consumer === consumer),
      ),
    );
  }

  const seen = new Set<string>();
  for (const { consumer, id } of facts.effects) {
    const both = `${consumer} ${id}`;
    if (seen.has(both)) found.push(`I4: ${consumer} has more than one effect of ${name(committed, id)}`);
    seen.add(both);
  }
  for (const consumer of consumers) {
    const effects = deliveredTo(consumer);
    const aside = new Set(facts.parkedDeliveries.filter((each) => each.consumer === consumer).map(({ id }) => id));
    const marked = new Set(facts.inbox.filter((each) => each.consumer === consumer).map(({ id }) => id));
    for (const id of committed.keys()) {
      if (parked.has(id)) continue;
      if (!effects.has(id) && !aside.has(id))
        found.push(`I1: ${consumer} has no effect of ${name(committed, id)}, nor is it parked`);
      if (effects.has(id) && !marked.has(id))
        found.push(`I4: ${consumer} has the effect of ${name(committed, id)} without its mark`);
    }
  }

  found.push(...facts.unfinished.map((what) => `I13: unfinished: ${what}`));
  const aside = new Set([...facts.parked, ...facts.parkedDeliveries.map(({ id }) => id)]);
  const expected = new Set(expectations.parked ?? []);
  const allowed = new Set([...expected, ...(expectations.perhapsParked ?? [])]);
  for (const id of aside) if (!allowed.has(id)) found.push(`I13: ${name(committed, id)} is parked, and should not be`);
  for (const id of expected) if (!aside.has(id)) found.push(`I13: ${name(committed, id)} should be parked, and is not`);
  return found;
}

function name(committed: ReadonlyMap<string, Written>, id: string): string {
  const row = committed.get(id);
  return row === undefined ? id : `${row.key}${row.n} (${id})`;
}

function firstOfEach(entries: readonly PublishedEntry[]): readonly PublishedEntry[] {
  const seen = new Set<string>();
  return entries.filter(({ id }) => !seen.has(id) && seen.add(id) !== undefined);
}

function outOfOrder(
  what: string,
  entries: readonly { readonly key: string | null; readonly n: number }[],
): readonly string[] {
  const last = new Map<string, number>();
  const found: string[] = [];
  for (const { key, n } of entries) {
    if (key === null) continue;
    const before = last.get(key) ?? 0;
    if (n < before) found.push(`I3: ${what}: ${key}${n} came after ${key}${before}`);
    last.set(key, Math.max(n, before));
  }
  return found;
}

export type Queryable = Pick<pg.Pool, 'query'>;

/** Several queries that see the same state of the database. */
export async function inSnapshot<T>(pool: pg.Pool, look: (client: Queryable) => Promise<T>): Promise<T> {
  const client = await pool.connect();
  try {
    await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
    const seen = await look(client);
    await client.query('COMMIT');
    client.release();
    return seen;
  } catch (error) {
    client.release(true);
    throw error;
  }
}

/** From one database that is service and consumer alike. */
export async function collectFacts(pool: pg.Pool, published: readonly PublishedEntry[]): Promise<Facts> {
  return inSnapshot(pool, (client) => factsIn(client, published));
}

async function factsIn(client: Queryable, published: readonly PublishedEntry[]): Promise<Facts> {
  const rows = async <T extends pg.QueryResultRow>(sql: string) => (await client.query<T>(sql)).rows;
  const committed = await rows<Written>('SELECT id::text, key, n FROM fact ORDER BY key, n');
  const outbox = await rows<Written>(
    `SELECT id::text, key, (payload->>'n')::int AS n FROM holdfast.outbox ORDER BY seq`,
  );
  const parked = await rows<{ id: string }>('SELECT DISTINCT id::text FROM holdfast.parked_message');
  const effects = await rows<Effect>('SELECT consumer, message_id::text AS id, key, n FROM effect ORDER BY position');
  const parkedDeliveries = await rows<{ consumer: string; id: string }>(
    'SELECT consumer, message_id::text AS id FROM holdfast.parked_delivery',
  );
  const inbox = await rows<{ consumer: string; id: string }>(
    'SELECT consumer, message_id::text AS id FROM holdfast.inbox',
  );
  return {
    committed,
    outbox,
    published,
    parked: parked.map(({ id }) => id),
    effects,
    parkedDeliveries,
    inbox,
    unfinished: await unfinished(client),
  };
}

/** What relays still have to do, in words; empty when they are done with everything that is committed. */
export async function unfinished(client: Queryable): Promise<readonly string[]> {
  const { rows } = await client.query<{ what: string }>(`
    SELECT format('%s/%s has not delivered %s messages', s.name, s.shard, count(*)) AS what
      FROM holdfast.subscription s JOIN holdfast.outbox o ON o.lane % s.shards = s.shard
        AND (o.seq > s.high OR (o.seq > s.floor AND NOT pg_visible_in_snapshot(o.xid, s.snapshot)))
      GROUP BY s.name, s.shard
    UNION ALL SELECT 'no relay has begun' WHERE NOT EXISTS (SELECT 1 FROM holdfast.subscription)
    UNION ALL SELECT format('%s/%s is in the middle of a catch-up', name, shard) FROM holdfast.subscription WHERE catchup IS NOT NULL
    UNION ALL SELECT format('message %s is parked by %s and due at %s', id, subscription, coalesce(next_attempt_at, revised_due_at))
      FROM holdfast.parked_message WHERE coalesce(next_attempt_at, revised_due_at) IS NOT NULL
    UNION ALL SELECT format('message %s waits behind nothing', p.id) FROM holdfast.parked_message p WHERE p.state = 'behind' AND NOT EXISTS
      (SELECT 1 FROM holdfast.parked_message e WHERE e.subscription = p.subscription AND e.key = p.key AND e.seq < p.seq
         AND e.state = 'failed' AND coalesce(e.next_attempt_at, e.revised_due_at) IS NULL)
    UNION ALL SELECT format('replay %s is not finished', id) FROM holdfast.replay WHERE finished_at IS NULL
    UNION ALL SELECT format('message %s is scheduled and due', id) FROM holdfast.scheduled_message WHERE due_at <= clock_timestamp()
    UNION ALL SELECT format('delivery %s is parked by %s and due at %s', message_id, consumer, next_attempt_at)
      FROM holdfast.parked_delivery WHERE next_attempt_at IS NOT NULL
    UNION ALL SELECT format('delivery %s waits at %s behind nothing', d.message_id, d.consumer) FROM holdfast.parked_delivery d
      WHERE d.state = 'behind' AND NOT EXISTS (SELECT 1 FROM holdfast.parked_delivery e
        WHERE e.consumer = d.consumer AND e.key = d.key AND e.position < d.position AND e.state = 'failed' AND e.next_attempt_at IS NULL)`);
  return rows.map(({ what }) => what);
}
