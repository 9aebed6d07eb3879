/**
 * kill -9 of a relay at every point of bringing out a message that a person has edited (I1, I3, I19).
 *
 * Fails, for example, when the row is taken out before its new payload is published, or when the log's payload goes out in its place.
 */
import { afterEach, expect, it } from 'vitest';
import { reviseParked } from '../../src/operations/parked/revise.ts';
import { openDatabase } from '../../src/postgres/database.ts';
import { endChildren, finishWhen, inParallel, startChild } from '../support/faults/child.ts';
import { createDomainDatabase, writeTicks } from '../support/faults/domain.ts';
import { readLedger, temporaryLedger } from '../support/faults/ledger.ts';
import { drain, drained, FAULTS_SUBSCRIPTION } from '../support/faults/relays.ts';

afterEach(endChildren);

const KEY = 'c';
const POINTS = ['relay.claim', 'relay.publish', 'relay.redrive'].flatMap((name) => [`${name}:before`, `${name}:after`]);
const REFUSED = { refuseForGood: { key: KEY, n: 3 } };

it('brings out the new payload in its place, wherever a relay is killed', async () => {
  const failures: string[] = [];
  await inParallel(3, POINTS, async (point) => {
    const test = await createDomainDatabase([KEY]);
    const ledger = temporaryLedger();
    const database = openDatabase({ url: test.url, max: 2 });
    try {
      await writeTicks(test.pool, [KEY], 8);
      await drain(test.url, test.pool, ledger.path, { misbehaviour: REFUSED });
      const before = readLedger(ledger.path).length;
      const { rows } = await test.pool.query<{ id: string }>(
        `SELECT id::text FROM holdfast.parked_message WHERE state = 'failed'`,
      );
      const id = rows[0]?.id ?? '';
      await reviseParked(database, { id }, { patch: { n: 33 } }, { actor: 'anna', reason: 'three is refused' });
      const child = startChild('relay-child.ts', {
        url: test.url,
        ledger: ledger.path,
        owner: 'victim',
        crash: { point, occurrence: 1, signal: 'SIGKILL' },
        misbehaviour: REFUSED,
        subscription: FAULTS_SUBSCRIPTION,
      });
      await finishWhen(child, async () => {
        await child.told('started');
        await drained(test.pool, () => child.gone);
      });
      if ((await child.exit).signal !== 'SIGKILL') failures.push(`${point} was never passed\n${child.log}`);
      await drain(test.url, test.pool, ledger.path, { misbehaviour: REFUSED });
      // The first time that each went out: duplicates come of the kill.
      const after = [
        ...new Set(
          readLedger(ledger.path)
            .slice(before)
            .map(({ n }) => n),
        ),
      ];
      const tail = after.slice(1).join(' ');
      const ofRevised = readLedger(ledger.path).filter((each) => each.id === id);
      // The fourth was perhaps in one batch with the one that was refused.
      if (after[0] !== 33 || (tail !== '4 5 6 7 8' && tail !== '5 6 7 8'))
        failures.push(`${point}: ${after.join(' ')}`);
      if (ofRevised.some(({ n }) => n !== 33)) failures.push(`${point}: the old payload went out`);
      if ((await test.pool.query('SELECT 1 FROM holdfast.parked_message')).rowCount !== 0)
        failures.push(`${point}: parked`);
    } catch (error) {
      failures.push(`${point}: ${String(error)}`);
    } finally {
      await database.close();
      await test.drop();
      ledger.remove();
    }
  });
  expect(failures).toEqual([]);
}, 300_000);
