/** What the statements of a relay's tables do, each by itself: parked messages, the lease, the cursor, replays; and nothing under a lost lease. */
import { randomUUID } from 'node:crypto';
import type { PoolClient } from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { openDatabase, type Database } from '../../src/postgres/database.ts';
import { createParkingStore, KILLED, type ParkedRecord } from '../../src/relay/delivery/parking-store.ts';
import { advanceReplay, beginReplayPage, insertReplay } from '../../src/relay/delivery/replay-store.ts';
import type { LeaseHolder } from '../../src/relay/subscription/fence.ts';
import { createReplayHeads } from '../../src/relay/subscription/key-heads.ts';
import { createSubscriptionStore, type SubscriptionStore } from '../../src/relay/subscription/subscription-store.ts';
import { createTestDatabase, type TestDatabase } from '../support/servers.ts';

const KEY = { name: 'main', shard: 0 };
const scope = { ...KEY, schema: 'holdfast', shards: 1, keepsOrder: true };
const parking = createParkingStore(scope);
const loose = createParkingStore({ ...scope, keepsOrder: false });

let test: TestDatabase;
let database: Database;
let store: SubscriptionStore;
let client: PoolClient;
beforeAll(async () => {
  test = await createTestDatabase({ migrate: true });
  database = openDatabase({ url: test.url });
  client = await test.pool.connect();
});
beforeEach(async () => {
  await test.pool.query(
    'TRUNCATE holdfast.outbox, holdfast.subscription, holdfast.parked_message, holdfast.replay RESTART IDENTITY',
  );
  store = createSubscriptionStore(database);
  await store.ensure('main', { shards: 1, from: 'beginning', retentionMs: 1_000 });
});
afterAll(async () => {
  client.release();
  await database.close();
  await test.drop();
});

async function take(owner = 'me', by = store): Promise<LeaseHolder> {
  const taken = await by.acquire(KEY, { owner, leaseMs: 60_000 });
  if (taken.kind !== 'acquired') throw new Error(`not acquired: ${taken.kind}`);
  return { key: KEY, epoch: taken.lease.epoch, writeClient: client };
}

/** Resolves with their seqs. */
async function write(...keys: (string | null)[]): Promise<number[]> {
  for (const key of keys) await test.pool.query(`SELECT holdfast.send('note', '{}', key => $1::text)`, [key]);
  const { rows } = await test.pool.query<{ seq: string }>('SELECT seq FROM holdfast.outbox ORDER BY seq');
  return rows.map(({ seq }) => Number(seq));
}

const record = (seq: number | undefined, rest: Partial<ParkedRecord> = {}): ParkedRecord => ({
  seq: seq as number,
  state: 'failed',
  reason: 'refused',
  error: 'no',
  attempts: 3,
  retryInMs: null,
  ...rest,
});
const waiting = (seq: number | undefined) =>
  record(seq, { state: 'behind', reason: 'behind', error: null, attempts: 0 });

async function parkedRows() {
  const found = await test.pool.query<{
    seq: number;
    state: string;
    attempts: number;
    due: boolean | null;
    claim: number | null;
  }>(
    `SELECT seq::int AS seq, state, attempts, next_attempt_at <= clock_timestamp() AS due, claim_epoch::int AS claim
     FROM holdfast.parked_message ORDER BY seq`,
  );
  return found.rows;
}
const due = async () => (await parkedRows()).map((row) => row.due);

describe('a parked message', () => {
  it('that was given up stays so when its page is read again, and its key finds it blocked', async () => {
    const holder = await take();
    const [one] = await write('a');
    await parking.park(holder, [record(one)]);
    await parking.park(holder, [waiting(one)]);
    expect(await parkedRows()).toMatchObject([{ state: 'failed', attempts: 3, due: null }]);
  });

  it('that waited, and is due, stays due when its page is read again', async () => {
    const holder = await take();
    const [one, two] = await write('a', 'a');
    await parking.park(holder, [record(one), waiting(two)]);
    await parking.unpark(holder, [one as number]);
    expect(await due()).toEqual([true]);
    await parking.park(holder, [waiting(two)]);
    expect(await due()).toEqual([true]);
  });

  it('waits behind the first of its key, and is due at once when there is none any more', async () => {
    const holder = await take();
    const [one, two, three, other] = await write('a', 'a', 'a', 'b');
    await parking.park(holder, [record(one), waiting(two)]);
    await parking.park(holder, [waiting(three), waiting(other)]);
    expect(await due()).toEqual([null, null, null, true]);
  });

  it('that leaves makes the next of its key due when that only waited', async () => {
    const holder = await take();
    const [one, two, three, b, b2] = await write('a', 'a', 'a', 'b', 'b');
    await parking.park(holder, [record(one), waiting(two), waiting(three), record(b), record(b2)]);
    await parking.unpark(holder, [one as number, b as number]);
    expect(await parkedRows()).toMatchObject([
      { seq: two, due: true },
      { seq: three, due: null },
      { seq: b2, due: null },
    ]);
  });

  it('is claimed until it is parked again or released', async () => {
    const holder = await take();
    const [one, two, gone] = await write('a', 'b', 'c');
    await parking.park(holder, [record(one), record(two)]);
    const claimed = await parking.claim(holder, [one as number, two as number, gone as number]);
    expect(claimed).toEqual([
      { seq: one, revision: null },
      { seq: two, revision: null },
    ]);
    expect((await parkedRows()).map(({ claim }) => claim)).toEqual([holder.epoch, holder.epoch]);
    await parking.park(holder, [record(one)]);
    await parking.release(holder, [two as number]);
    expect((await parkedRows()).map(({ claim }) => claim)).toEqual([null, null]);
  });

  it('is kept from the log when it killed its relays or was edited, and only then', async () => {
    const holder = await take();
    const [killed, edited, plain] = await write('a', 'b', 'c');
    await parking.park(holder, [record(killed, { reason: KILLED }), record(edited), record(plain)]);
    await test.pool.query(
      `UPDATE holdfast.parked_message SET revision = '{"payload":{},"headers":{}}' WHERE seq = $1`,
      [edited],
    );
    expect(await parking.setAside(client)).toEqual(new Set([killed, edited]));
  });

  it('blocks its key, where order is kept', async () => {
    const holder = await take();
    const [one, none] = await write('a', null);
    await parking.park(holder, [record(one), record(none)]);
    expect([...(await parking.blockedKeys(client))]).toEqual(['a']);
    expect([...(await parking.stillBlocked(client, ['a', 'b']))]).toEqual(['a']);
    expect([(await loose.blockedKeys(client)).size, (await loose.stillBlocked(client, ['a'])).size]).toEqual([0, 0]);
  });

  it('that waits behind nothing any more is found now and then', async () => {
    const holder = await take();
    const [one, two, three] = await write('a', 'a', 'a');
    await parking.park(holder, [record(one), waiting(two), waiting(three)]);
    await parking.releaseOrphans(client);
    expect(await due()).toEqual([null, null, null]);
    await test.pool.query('DELETE FROM holdfast.parked_message WHERE seq = $1', [one]);
    await parking.releaseOrphans(client);
    expect(await due()).toEqual([true, null]);
  });
});

describe('parked messages to publish next', () => {
  const next = async (limit = 10, from = parking) => (await from.redrivable(client, limit)).map(({ seq }) => seq);

  it('are those that are due with what waits behind them, up to one that is not', async () => {
    const holder = await take();
    const seqs = await write('a', 'a', 'a', 'a', 'b', 'b', 'c', null, null);
    const [a, a2, a3, a4, b, b2, c, none, later] = seqs;
    await parking.park(holder, [
      record(a, { retryInMs: 0 }),
      waiting(a2),
      record(a3, { retryInMs: 60_000 }),
      waiting(a4),
      record(b, { retryInMs: 60_000 }),
      record(b2, { retryInMs: 0 }),
      record(c),
      record(none, { retryInMs: 0 }),
      record(later, { retryInMs: 60_000 }),
    ]);
    expect(await next()).toEqual([a, a2, none]);
    expect(await next(1)).toEqual([a]);
    expect(await next(10, loose)).toEqual([a, b2, none]);
  });
});

describe('under a lease that was lost', () => {
  it('nothing is written: neither what is parked nor the cursor nor a replay with its heads', async () => {
    const lost = await take();
    const [one, two] = await write('a', 'b');
    await parking.park(lost, [record(one)]);
    await insertReplay(client, 'holdfast', {
      id: randomUUID(),
      subscription: 'main',
      fromSeq: 1,
      toSeq: 2,
      topic: null,
      key: null,
    });
    const replay = await beginReplayPage(client, 'holdfast', 'main');
    await test.pool.query("UPDATE holdfast.subscription SET lease_until = now() - interval '1 second'");
    await take('other', createSubscriptionStore(database));
    const before = await parkedRows();
    const cursor = { snapshot: '1:1:', high: 9, catchup: null, floor: 0 };
    const heads = createReplayHeads('holdfast', replay?.id as string);
    heads.follow({ destination: 'all', key: 'k', id: randomUUID(), at: '2026-01-01T00:00:00Z', sentAt: null });
    heads.settle();
    const acts: readonly (() => Promise<unknown>)[] = [
      () => parking.park(lost, [record(two)]),
      () => parking.unpark(lost, [one as number]),
      () => parking.claim(lost, [one as number]),
      () => parking.release(lost, [one as number]),
      () => store.advance(lost, 60_000, { cursor, published: 1, rate: 0, probe: null, trouble: null }),
      () => store.renew(lost, 60_000, null),
      () => store.markProbe(lost, { size: 1, left: 1, mark: null }),
      () =>
        advanceReplay(
          'holdfast',
          lost,
          { id: replay?.id as string, position: 2, published: 1, unrouted: 0, refused: 0, finished: true },
          heads,
        ),
    ];
    for (const act of acts) await expect(act()).rejects.toMatchObject({ code: 'HF_LEASE_LOST' });
    await store.release(lost);
    expect(await parkedRows()).toEqual(before);
    const { rows: kept } = await test.pool.query(
      `SELECT s.high::int AS high, s.probe, s.lease_owner AS owner, r.finished_at AS finished FROM holdfast.subscription s, holdfast.replay r`,
    );
    expect(kept).toEqual([{ high: 0, probe: null, owner: 'other', finished: null }]);
    expect((await test.pool.query('SELECT 1 FROM holdfast.key_head')).rows).toEqual([]);
  });
});

describe('a lease', () => {
  const ask = (owner: string, by = createSubscriptionStore(database)) => by.acquire(KEY, { owner, leaseMs: 60_000 });
  const stalls = async () =>
    (await test.pool.query<{ stalls: number }>('SELECT stalls FROM holdfast.subscription')).rows[0]?.stalls;
  const end = () => test.pool.query("UPDATE holdfast.subscription SET lease_until = now() - interval '1 second'");

  it('is held against others until it is over or given back, whatever they are called', async () => {
    const holder = await take();
    expect(await ask('other')).toMatchObject({ kind: 'held', owner: 'me' });
    expect(await ask('me')).toMatchObject({ kind: 'held', owner: 'me' });
    await store.release(holder);
    expect(await ask('other')).toMatchObject({ kind: 'acquired', lease: { epoch: holder.epoch + 1 } });
  });

  it('counts takeovers from owners that died, and none from one that gave it back or comes back itself', async () => {
    await take();
    await take();
    expect(await stalls()).toBe(0);
    await end();
    const other = createSubscriptionStore(database);
    const second = await take('other', other);
    expect(await stalls()).toBe(1);
    await other.release(second);
    await take();
    expect(await stalls()).toBe(0);
  });

  it('that is renewed or moves the cursor lasts from then on, and progress ends the count of deaths', async () => {
    await take();
    await end();
    const other = createSubscriptionStore(database);
    const holder = await take('other', other);
    await end();
    await other.renew(holder, 60_000, null);
    expect(await ask('third')).toMatchObject({ kind: 'held' });
    await end();
    const cursor = { snapshot: '1:5:3', high: 4, catchup: { snapshot: '1:6:', seq: 2 }, floor: 0 };
    await other.advance(holder, 60_000, { cursor, published: 7, rate: 0, probe: null, trouble: null });
    expect([await stalls(), (await ask('third')).kind]).toEqual([0, 'held']);
    await end();
    expect(await ask('third')).toMatchObject({ kind: 'acquired', lease: { cursor, published: 7, stalls: 1 } });
  });

  it('leaves the mark of what was being published to whoever takes over from the dead, and to nobody else', async () => {
    const mark = { seqs: [4], crashes: 1 };
    const probe = { size: 1, left: 3, mark };
    const holder = await take();
    await store.markProbe(holder, probe);
    await end();
    const other = createSubscriptionStore(database);
    const taken = await other.acquire(KEY, { owner: 'other', leaseMs: 60_000 });
    expect(taken).toMatchObject({ lease: { probe } });
    if (taken.kind !== 'acquired') return;
    await other.release({ key: KEY, epoch: taken.lease.epoch, writeClient: client });
    expect(await ask('third')).toMatchObject({ lease: { probe: { size: 1, left: 3, mark: null } } });
  });
});
