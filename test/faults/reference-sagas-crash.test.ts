/**
 * Each of the four reference sagas on PostgreSQL, forward and through its compensations, with a worker that dies before and after every
 * kind of point of I/O (at each time that it is passed where that is not often, else sampled), with its heir that dies there too or
 * anywhere in the recovery, sampled, and with processes that are killed, sampled (I6-I10). `npm run soak:faults` leaves out none.
 *
 * Fails, for example, when a step begins before its intent is durable, when compensations are begun in the order of their steps, when
 * one that was under way is forgotten, or when mail stays that was taken in.
 */
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { endChildren, startChild } from '../support/faults/child.ts';
import { temporaryLedger } from '../support/faults/ledger.ts';
import { seeded } from '../support/faults/random.ts';
import {
  everyDeath,
  everyDeathTwice,
  sampleOfDeaths,
  sampleOfDeathsTwice,
  sampleOfTwo,
  type Deaths,
} from '../support/faults/reference-deaths.ts';
import type { Scenario } from '../support/faults/reference-scenarios.ts';
import {
  openReferenceWorld,
  prepareReferenceDatabase,
  type AttemptOptions,
  type ReferenceWorld,
} from '../support/faults/reference-world.ts';
import { createTestDatabase, type TestDatabase } from '../support/servers.ts';

/** The scenarios by name: they are made with the world, which is not there yet when the tests are named. */
const NAMES = [
  'an order is placed',
  'an order that cannot be shipped is compensated',
  'a trip is booked',
  'a trip without a hotel is compensated',
  'a trip whose flight is in doubt is compensated',
  'a transfer arrives',
  'a transfer to nobody comes back',
  'an expense is paid',
  'an expense without an answer lapses',
] as const;
/** Runs of each in which one worker dies, in which two die anywhere, and in which two die at the same point; in a soak at every point. */
const ONCE = 40;
const TWICE = 6;
const TWICE_THERE = 3;
const soak = process.env['npm_lifecycle_event'] === 'soak:faults';

const ledger = temporaryLedger();
let test: TestDatabase;
let world: ReferenceWorld;
beforeAll(async () => {
  test = await createTestDatabase();
  await prepareReferenceDatabase(test.url, test.pool);
  world = await openReferenceWorld(test.url, ledger.path, startChild);
});
afterEach(endChildren);
afterAll(async () => {
  await world?.close();
  await test?.drop();
  ledger.remove();
});

function scenarioOf(name: string): Scenario {
  const scenario = world.scenarios.find((each) => each.name === name);
  if (scenario === undefined) throw new Error(`There is no scenario '${name}'.`);
  return scenario;
}

/** What does not hold after these deaths, and where workers died. */
async function tryAll(scenario: Scenario, all: readonly Deaths[], options: AttemptOptions = {}) {
  const failures: string[] = [];
  const died = new Set<string>();
  for (const deaths of all) {
    const attempt = await world.attempt(scenario, { ...options, deaths });
    for (const point of attempt.died) died.add(point);
    if (attempt.breaches.length > 0) failures.push([JSON.stringify(deaths), ...attempt.breaches].join('\n'));
  }
  return { failures, died };
}

it('the scenarios are these', () => {
  expect(world.scenarios.map(({ name }) => name)).toEqual(NAMES);
});

it.each(NAMES)('%s, wherever its workers die', (name) =>
  seeded(async (random) => {
    const scenario = scenarioOf(name);
    const { points, breaches } = await world.attempt(scenario);
    expect(breaches).toEqual([]);
    const { failures, died } = await tryAll(scenario, [
      ...(soak ? everyDeath(points) : sampleOfDeaths(points, ONCE, random.fork('once'))),
      ...(soak ? everyDeathTwice(points) : sampleOfDeathsTwice(points, TWICE_THERE, random.fork('there'))),
      ...sampleOfTwo(points, soak ? 2 * TWICE : TWICE, random.fork(name)),
    ]);
    expect(failures).toEqual([]);
    // How many commits a run takes is a matter of what comes together; but each kind of point is passed, and was the end of a worker.
    expect(points.filter((point) => !died.has(point))).toEqual([]);
  }),
);

it('each of them, though its process is killed', () =>
  seeded(async (random) => {
    const wrong: string[] = [];
    let killed = 0;
    for (const name of NAMES) {
      const scenario = scenarioOf(name);
      const { points } = await world.attempt(scenario);
      const death = random.fork(name).pick(everyDeath(points));
      const { failures, died } = await tryAll(scenario, [death], { bySignal: true });
      wrong.push(...failures.map((failure) => `${name}: ${failure}`));
      killed += died.size;
    }
    expect(wrong).toEqual([]);
    // One that does not come to its point, because commits came together otherwise, is killed at the end.
    expect(killed).toBeGreaterThan(NAMES.length / 2);
  }));
