/**
 * Nothing is written under a lost lease (I11): every write that a relay makes for its subscription, tried with the epoch of before.
 *
 * Fails when any one of them is not fenced.
 */
import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { isHoldfastError } from '../../src/errors.ts';
import { openDatabase, type Database } from '../../src/postgres/database.ts';
import { createParkingStore } from '../../src/relay/delivery/parking-store.ts';
import { advanceReplay, insertReplay } from '../../src/relay/delivery/replay-store.ts';
import { createSubscriptionStore } from '../../src/relay/subscription/subscription-store.ts';
import { createDomainDatabase, writeTicks } from '../support/faults/domain.ts';
import type { TestDatabase } from '../support/servers.ts';

const key = { name: 'faults', shard: 0 };
const LEASE_MS = 60_000;

let test: TestDatabase;
let database: Database;
beforeAll(async () => {
  test = await createDomainDatabase(['a']);
  database = openDatabase({ url: test.url, max: 4 });
});
afterAll(async () => {
  await database.close();
  await test.drop();
});

it('lets the owner of before write nothing', async () => {
  await writeTicks(test.pool, ['a'], 3);
  const store = createSubscriptionStore(database);
  const parking = createParkingStore({ ...key, schema: 'holdfast', shards: 1, keepsOrder: true });
  await store.ensure('faults', { shards: 1, from: 'beginning', retentionMs: 60_000 });
  const before = await store.acquire(key, { owner: 'before', leaseMs: LEASE_MS });
  if (before.kind !== 'acquired') throw new Error('it was free');
  const { epoch, cursor } = before.lease;
  const client = await test.pool.connect();
  const holder = { key, epoch, writeClient: client };
  const replay = randomUUID();
  await insertReplay(client, 'holdfast', {
    id: replay,
    subscription: 'faults',
    fromSeq: 1,
    toSeq: 3,
    topic: null,
    key: null,
  });
  await parking.park(holder, [{ seq: 1, state: 'failed', reason: 'test', error: null, attempts: 1, retryInMs: null }]);
  await test.pool.query(`UPDATE holdfast.subscription SET lease_until = now() - interval '1 second'`);
  const after = await store.acquire(key, { owner: 'after', leaseMs: LEASE_MS });
  expect(after).toMatchObject({ kind: 'acquired', lease: { stalls: 1 } });

  const state = await everything(test.pool);
  const parked = { seq: 2, state: 'failed', reason: 'late', error: null, attempts: 1, retryInMs: null } as const;
  const advance = { cursor: { ...cursor, high: 3 }, published: 3, rate: 0, probe: null, trouble: null };
  const writes: Readonly<Record<string, () => Promise<unknown>>> = {
    advance: () => store.advance(holder, LEASE_MS, advance),
    renew: () => store.renew(holder, LEASE_MS, null),
    markProbe: () => store.markProbe(holder, { size: 1, left: 1, mark: { seqs: [1], crashes: 0 } }),
    park: () => parking.park(holder, [parked]),
    unpark: () => parking.unpark(holder, [1]),
    claim: () => parking.claim(holder, [1]),
    releaseClaims: () => parking.release(holder, [1]),
    advanceReplay: () =>
      advanceReplay('holdfast', holder, {
        id: replay,
        position: 4,
        published: 3,
        unrouted: 0,
        refused: 0,
        finished: true,
      }),
  };
  const refused: string[] = [];
  for (const [name, write] of Object.entries(writes)) {
    const error = await write().then(
      () => undefined,
      (reason: unknown) => reason,
    );
    if (isHoldfastError(error, 'HF_LEASE_LOST')) refused.push(name);
  }
  await store.release(holder);
  client.release();
  expect(refused).toEqual(Object.keys(writes));
  expect(await everything(test.pool)).toEqual(state);
});

async function everything(pool: pg.Pool): Promise<unknown> {
  const tables = ['subscription', 'parked_message', 'replay', 'key_head'];
  return Promise.all(tables.map(async (table) => (await pool.query(`SELECT * FROM holdfast.${table}`)).rows));
}
