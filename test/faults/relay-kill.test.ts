/**
 * kill -9 of the relay at every named I/O point, before and after (I1, I2, I3, I11, I13).
 *
 * Fails, for example, when the cursor is written before the batch is published, when parking is left out of `deliver`, when a
 * redrive takes the rows out before it has published them, or when the log is pruned of what is old and not delivered, parked or replayed.
 */
import { randomUUID } from 'node:crypto';
import { afterEach, expect, it } from 'vitest';
import { insertReplay } from '../../src/relay/delivery/replay-store.ts';
import { breaches, collectFacts } from '../support/faults/checker.ts';
import { endChildren, finishWhen, inParallel, startChild, type Child } from '../support/faults/child.ts';
import type { CrashPlan } from '../support/faults/crash-points.ts';
import { createDomainDatabase, writeTicks } from '../support/faults/domain.ts';
import { readLedger, temporaryLedger } from '../support/faults/ledger.ts';
import type { RelayChildSettings } from '../support/faults/relay-child.ts';
import { drain, drained, FAULTS_SUBSCRIPTION } from '../support/faults/relays.ts';

afterEach(endChildren);

const KEYS = ['a', 'b', 'c'];
const TIMES = 10;
/** Refused for now (parked, redriven) and for good (stays parked, its key behind it): every point is passed in one run. */
const MISBEHAVIOUR = { refuseForNow: { key: 'b', n: 3, times: 5 }, refuseForGood: { key: 'c', n: 7 } };

const OPERATIONS = [
  'acquire',
  'read',
  'publish',
  'park',
  'advance',
  'renew',
  'release',
  'claim',
  'redrive',
  'replay',
  'prune',
];
const POINTS = OPERATIONS.flatMap((operation) => [`relay.${operation}:before`, `relay.${operation}:after`]);
/** Points that are passed often die in the middle as well, when there is something behind them; the last two in a redrive. */
const LATER: readonly Omit<CrashPlan, 'signal'>[] = [
  { point: 'relay.publish:before', occurrence: 5 },
  { point: 'relay.publish:after', occurrence: 6 },
  { point: 'relay.read:after', occurrence: 4 },
  { point: 'relay.advance:before', occurrence: 2 },
  { point: 'relay.advance:after', occurrence: 3 },
  { point: 'relay.park:before', occurrence: 2 },
  { point: 'relay.park:after', occurrence: 2 },
  { point: 'relay.redrive:after', occurrence: 2 },
  // An idle relay renews; what is published from then on had been parked.
  { point: 'relay.publish:before', occurrence: 1, since: 'relay.renew:before' },
  { point: 'relay.publish:after', occurrence: 1, since: 'relay.renew:before' },
];

it('passes every named point in one undisturbed run', async () => {
  const run = await prepare();
  try {
    const child = startChild('relay-child.ts', run.settings(null));
    await bringToItsEnd(run, child);
    await child.exit;
    const passed = child.events.filter(({ event }) => event === 'point').map(({ point }) => String(point));
    expect(passed.toSorted()).toEqual(POINTS.toSorted());
    expect(await run.breaches()).toEqual([]);
  } finally {
    await run.close();
  }
});

it('loses nothing and invents nothing, wherever it is killed', async () => {
  const first: Omit<CrashPlan, 'signal'>[] = POINTS.map((point) => ({ point, occurrence: 1 }));
  const failures: string[] = [];
  await inParallel(4, [...first, ...LATER], async (plan) => {
    const name = `${plan.point} #${plan.occurrence}${plan.since === undefined ? '' : ` since ${plan.since}`}`;
    const run = await prepare();
    try {
      const child = startChild('relay-child.ts', run.settings({ ...plan, signal: 'SIGKILL' }));
      await bringToItsEnd(run, child);
      const { signal } = await child.exit;
      if (signal !== 'SIGKILL') failures.push(`${name} was never passed\n${child.log}`);
      await drain(run.url, run.pool, run.ledger, { misbehaviour: { refuseForGood: MISBEHAVIOUR.refuseForGood } });
      failures.push(...(await run.breaches()).map((breach) => `${name}: ${breach}`));
    } catch (error) {
      failures.push(`${name}: ${String(error)}`);
    } finally {
      await run.close();
    }
  });
  expect(failures).toEqual([]);
}, 900_000);

interface Run {
  readonly url: string;
  readonly pool: Awaited<ReturnType<typeof createDomainDatabase>>['pool'];
  readonly ledger: string;
  settings(crash: CrashPlan | null): RelayChildSettings;
  breaches(): Promise<readonly string[]>;
  close(): Promise<void>;
}

async function prepare(): Promise<Run> {
  const database = await createDomainDatabase(KEYS);
  const { pool, url } = database;
  const ledger = temporaryLedger();
  await writeTicks(pool, KEYS, TIMES);
  // Older than what is kept: whatever is delivered may be pruned, by the relay that died or by the next one.
  await pool.query(`UPDATE holdfast.outbox SET created_at = created_at - interval '30 days'`);
  const client = await pool.connect();
  await insertReplay(client, 'holdfast', {
    id: randomUUID(),
    subscription: 'faults',
    fromSeq: 1,
    toSeq: 30,
    topic: null,
    key: 'a',
  });
  client.release();
  return {
    url,
    pool,
    ledger: ledger.path,
    settings: (crash) => ({
      url,
      ledger: ledger.path,
      owner: 'victim',
      crash,
      misbehaviour: MISBEHAVIOUR,
      subscription: FAULTS_SUBSCRIPTION,
    }),
    async breaches() {
      const published = readLedger(ledger.path);
      const facts = await collectFacts(pool, published);
      const parked = facts.committed.filter(({ key, n }) => key === 'c' && (n === 7 || n >= 9)).map(({ id }) => id);
      // It may have gone out in one batch with the refused one before it.
      const perhapsParked = facts.committed.filter(({ key, n }) => key === 'c' && n === 8).map(({ id }) => id);
      const replayed = new Set(published.filter(({ replayId }) => replayId !== null).map(({ n }) => n));
      return [
        ...breaches(facts, { parked, perhapsParked, pruned: true }),
        ...(replayed.size === TIMES ? [] : [`only ${[...replayed].join(', ')} of key a were replayed`]),
      ];
    },
    async close() {
      await database.drop();
      ledger.remove();
    },
  };
}

/** Until everything is delivered and the idle relay has renewed its lease; then it is asked to stop. Unless it dies before. */
async function bringToItsEnd(run: Run, child: Child): Promise<void> {
  await finishWhen(child, async () => {
    await child.told('started');
    await drained(run.pool, () => child.gone);
    await child.told('point', { point: 'relay.renew:after' });
  });
}
