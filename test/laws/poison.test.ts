/**
 * A message that kills every relay that publishes it is found, parked and named, and all others are delivered (I1, I3, I13). The
 * same for consumers is in consumer-kill.test.ts.
 *
 * Fails when takeovers without progress are not counted, or when the mark is not committed before the batch is sent.
 */
import { afterEach, expect, it } from 'vitest';
import { breaches, collectFacts } from '../support/laws/checker.ts';
import { endChildren, finishWhen, startChild } from '../support/laws/child.ts';
import { createDomainDatabase, writeTicks } from '../support/laws/domain.ts';
import { readLedger, temporaryLedger } from '../support/laws/ledger.ts';
import type { RelayChildSettings } from '../support/laws/relay-child.ts';
import { drained, LAW_SUBSCRIPTION } from '../support/laws/relays.ts';

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
      subscription: { ...LAW_SUBSCRIPTION, batchSize: 6 },
    };
    const child = startChild('relay-child.ts', settings);
    await finishWhen(child, () => drained(database.pool, () => child.gone));
    const { signal } = await child.exit;
    if (signal !== 'SIGKILL') break;
    deaths += 1;
    // Three to grow suspicious, then the batch halved down to one message, and that one twice.
    if (deaths >= 10) throw new Error(`it goes on killing\n${child.log}`);
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
