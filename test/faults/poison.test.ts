/**
 * A message that kills every relay that publishes it is found, parked and named, and all others are delivered (I1, I3, I13). The
 * same for consumers is in consumer-kill.test.ts.
 *
 * Fails when takeovers without progress are not counted, or when the mark is not committed before the batch is sent.
 */
import { afterEach, expect, it } from 'vitest';
import { openDatabase } from '../../src/postgres/database.ts';
import { createParkingStore, KILLED } from '../../src/relay/delivery/parking-store.ts';
import { createSubscriptionStore } from '../../src/relay/subscription/subscription-store.ts';
import { breaches, collectFacts } from '../support/faults/checker.ts';
import { endChildren, finishWhen, startChild } from '../support/faults/child.ts';
import { createDomainDatabase, writeTicks } from '../support/faults/domain.ts';
import { readLedger, temporaryLedger } from '../support/faults/ledger.ts';
import type { RelayChildSettings } from '../support/faults/relay-child.ts';
import { drain, drained, FAULTS_SUBSCRIPTION } from '../support/faults/relays.ts';

afterEach(endChildren);

const KEYS = ['a', 'b', 'c'];

it('is found by dying of it a bounded number of times', async () => {
  const database = await createDomainDatabase(KEYS);
  const ledger = temporaryLedger();
  await writeTicks(database.pool, KEYS, 8);
  let deaths = 0;
  for (;;) {
    const settings: RelayChildSettings = {
      url: database.url,
      ledger: ledger.path,
      owner: `relay ${deaths}`,
      crash: null,
      misbehaviour: { dieOf: { key: 'b', n: 4 } },
      subscription: { ...FAULTS_SUBSCRIPTION, batchSize: 6 },
    };
    const child = startChild('relay-child.ts', settings);
    await finishWhen(child, () => drained(database.pool, () => child.gone));
    const { signal } = await child.exit;
    if (signal !== 'SIGKILL') break;
    deaths += 1;
    // Three to grow suspicious, then a batch halved down to one message, and that one twice; all of it once more when the batch
    // before had gone out and its cursor was not yet stored.
    if (deaths >= 16) throw new Error(`it goes on killing\n${child.log}`);
  }
  expect(deaths).toBeGreaterThan(3);
  const facts = await collectFacts(database.pool, readLedger(ledger.path));
  const parked = facts.committed.filter(({ key, n }) => key === 'b' && n >= 4).map(({ id }) => id);
  expect(breaches(facts, { parked })).toEqual([]);
  const culprit = await database.pool.query(
    `SELECT p.reason, o.payload FROM holdfast.parked_message p JOIN holdfast.outbox o USING (seq) WHERE p.state = 'failed'`,
  );
  expect(culprit.rows).toEqual([{ reason: 'it killed the relay that published it', payload: { key: 'b', n: 4 } }]);
  await database.drop();
  ledger.remove();
});

/** Fails when the next relay, whose cursor is still before it, sends it once more or forgets why it was parked. */
it.each(['park-key', 'skip'] as const)('is left alone by the relays that come after (%s)', async (onRefused) => {
  const database = await createDomainDatabase(KEYS);
  const ledger = temporaryLedger();
  await writeTicks(database.pool, KEYS, 8);
  const holdfast = openDatabase({ url: database.url, max: 2 });
  const key = { name: 'faults', shard: 0 };
  const store = createSubscriptionStore(holdfast);
  await store.ensure('faults', { shards: 1, from: 'beginning', retentionMs: 60_000 });
  const acquired = await store.acquire(key, { owner: 'the one that found it', leaseMs: 60_000 });
  if (acquired.kind !== 'acquired') throw new Error('it was free');
  const { rows } = await database.pool.query<{ seq: string }>(
    `SELECT seq FROM holdfast.outbox WHERE payload @> '{"key": "b", "n": 4}'`,
  );
  const client = await database.pool.connect();
  const holder = { key, epoch: acquired.lease.epoch, writeClient: client };
  const parking = createParkingStore({ ...key, schema: 'holdfast', shards: 1, keepsOrder: onRefused === 'park-key' });
  await parking.park(holder, [
    { seq: Number(rows[0]?.seq), state: 'failed', reason: KILLED, error: null, attempts: 2, retryInMs: null },
  ]);
  await store.release(holder);
  client.release();
  for (const by of ['second', 'third']) {
    await drain(database.url, database.pool, ledger.path, { by, subscription: { onRefused, batchSize: 6 } });
  }
  const facts = await collectFacts(database.pool, readLedger(ledger.path));
  const parked = facts.committed.filter((row) => row.key === 'b' && (onRefused === 'skip' ? row.n === 4 : row.n >= 4));
  expect(breaches(facts, { parked: parked.map(({ id }) => id) })).toEqual([]);
  expect(facts.published.filter((entry) => entry.key === 'b' && entry.n === 4)).toEqual([]);
  await holdfast.close();
  await database.drop();
  ledger.remove();
});
