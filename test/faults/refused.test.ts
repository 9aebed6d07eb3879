/**
 * What the broker refuses stays parked with its key behind it, over any number of relays, until a person decides (I1, I3, I13).
 */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { eventually } from '../support/eventually.ts';
import { openDatabase } from '../../src/postgres/database.ts';
import { createRelay } from '../../src/relay/relay.ts';
import { breaches, collectFacts } from '../support/faults/checker.ts';
import { createDomainDatabase, writeTicks } from '../support/faults/domain.ts';
import { ledgerTransport } from '../support/faults/ledger-transport.ts';
import { openLedger, readLedger, temporaryLedger } from '../support/faults/ledger.ts';
import { FAULTS_SUBSCRIPTION } from '../support/faults/relays.ts';
import { createWorld } from '../support/faults/world.ts';
import type { TestDatabase } from '../support/servers.ts';

let test: TestDatabase;
beforeAll(async () => {
  test = await createDomainDatabase(['a', 'b']);
});
afterAll(() => test.drop());

/** Fails when the window over the parked rows of a key forgets that a dead letter has no next attempt. */
it('holds a key behind its dead letter, whoever takes over', async () => {
  const file = temporaryLedger();
  const ledger = openLedger(file.path);
  const database = openDatabase({ url: test.url, max: 4 });
  await writeTicks(test.pool, ['a', 'b'], 8);
  for (const by of ['first', 'second', 'third']) {
    const transport = ledgerTransport({ ledger, by, misbehaviour: { refuseForGood: { key: 'a', n: 3 } } });
    // One message a page, so that nothing of the key shares a batch with the refused one.
    const relay = createRelay({
      database,
      owner: by,
      subscriptions: [{ ...FAULTS_SUBSCRIPTION, transport, batchSize: 1 }],
    });
    await relay.prepare();
    for (let page = 0; page < 20; page += 1) await relay.tick();
    await relay.stop();
  }
  const facts = await eventually('the cursor to be stored', async () => {
    const found = await collectFacts(test.pool, readLedger(file.path));
    return found.unfinished.length === 0 ? found : undefined;
  });
  const parked = facts.committed.filter(({ key, n }) => key === 'a' && n >= 3).map(({ id }) => id);
  expect(breaches(facts, { parked })).toEqual([]);
  expect(facts.published.filter(({ key }) => key === 'a').map(({ n }) => n)).toEqual([1, 2]);
  await database.close();
  ledger.close();
  file.remove();
});

/**
 * Fails when a message that is sent again names one as its predecessor that went out behind it in the same batch: each would wait for
 * the other.
 */
it('keeps order at an ordered consumer when a message is refused for a while in the middle of its batch', async () => {
  const world = await createWorld({ keys: ['a', 'b'] });
  try {
    await world.consumer({ name: 'exact', ordered: true });
    await writeTicks(world.pool, ['a', 'b'], 10);
    // First within the retries in place, then beyond them: parked, and redriven.
    const misbehaviour = { refuseForNow: { key: 'a', n: 2, times: 1 } };
    const relay = await world.relay('first', { misbehaviour, subscription: { batchSize: 10 } });
    await world.settled(['exact']);
    await relay.stop();
    await writeTicks(world.pool, ['a', 'b'], 10);
    await world.relay('second', {
      misbehaviour: { refuseForNow: { key: 'b', n: 12, times: 5 } },
      subscription: { batchSize: 10 },
    });
    await world.settled(['exact']);
    expect(
      await world.breaches({ consumers: ['exact'], orderedConsumers: ['exact'], publishedInOrder: false }),
    ).toEqual([]);
  } finally {
    await world.close();
  }
});
