/**
 * kill -9 of a consumer at every named I/O point, before and after (I1, I3, I4, I13); and of one that a message kills every time.
 *
 * Fails, for example, when the mark is not written with the effect, when a message is acknowledged before COMMIT, or when a redrive
 * takes the parked row out before its effect has committed.
 */
import { afterEach, describe, expect, it } from 'vitest';
import { createRedisWindow } from '../../src/inbox/window/window-redis.ts';
import { INBOX_CRASH_POINTS } from '../../src/inbox/handlers/unit-of-work.ts';
import { eventually } from '../support/eventually.ts';
import { breaches } from '../support/faults/checker.ts';
import { endChildren, finishWhen, inParallel, startChild, type Child } from '../support/faults/child.ts';
import type { ConsumerChildSettings } from '../support/faults/consumer-child.ts';
import type { HandlerMisbehaviour } from '../support/faults/consumers.ts';
import type { CrashPlan } from '../support/faults/crash-points.ts';
import { writeTicks } from '../support/faults/domain.ts';
import { createWorld, unhandled, type World } from '../support/faults/world.ts';

afterEach(endChildren);

const KEYS = ['a', 'b', 'c'];
const TIMES = 6;
/** Given up in place, parked, kept by the first redrive, handled by the second: every point is passed. */
const FAILS: HandlerMisbehaviour = { failFor: { key: 'b', n: 3, times: 3 } };

/** Passed by a consumer that gets back what a dead one had in hand, and by no other. */
const SUSPECT = ['inbox.suspect:before', 'inbox.suspect:after'];
const POINTS = INBOX_CRASH_POINTS.flatMap((point) =>
  point === 'inbox.ack' ? [`${point}:before`] : [`${point}:before`, `${point}:after`],
);
const ORDINARY = POINTS.filter((point) => !SUSPECT.includes(point));
const LATER: Readonly<Record<string, number>> = {
  'inbox.commit:before': 5,
  'inbox.commit:after': 7,
  'inbox.ack:before': 9,
};

describe('a consumer', () => {
  it('passes every named point between the two of them: one undisturbed run, and one after a death', async () => {
    const world = await prepare();
    try {
      const child = startChild('consumer-child.ts', settingsOf(world, { crash: null, misbehaviour: FAILS }));
      await bringToItsEnd(world, child);
      await child.exit;
      expect(pointsOf(child)).toEqual(ORDINARY.toSorted());
      expect(await verdict(world)).toEqual([]);
    } finally {
      await world.close();
    }
    const second = await prepare();
    try {
      const plan: CrashPlan = { point: 'inbox.handler:after', occurrence: 1, signal: 'SIGKILL' };
      await startChild('consumer-child.ts', settingsOf(second, { crash: plan })).exit;
      const child = startChild('consumer-child.ts', settingsOf(second, { crash: null }));
      await bringToItsEnd(second, child);
      await child.exit;
      expect(pointsOf(child)).toEqual(expect.arrayContaining(SUSPECT));
      expect(await verdict(second)).toEqual([]);
    } finally {
      await second.close();
    }
  });

  it('has every effect once and in order, wherever it is killed', async () => {
    const first = POINTS.map((point) => ({ point, occurrence: 1 }));
    const later = Object.entries(LATER).map(([point, occurrence]) => ({ point, occurrence }));
    const failures: string[] = [];
    await inParallel(5, [...first, ...later], async ({ point, occurrence }) => {
      const world = await prepare();
      try {
        if (SUSPECT.includes(point)) {
          const plan: CrashPlan = { point: 'inbox.handler:after', occurrence: 2, signal: 'SIGKILL' };
          await startChild('consumer-child.ts', settingsOf(world, { crash: plan })).exit;
        }
        const child = startChild(
          'consumer-child.ts',
          settingsOf(world, { crash: { point, occurrence, signal: 'SIGKILL' }, misbehaviour: FAILS }),
        );
        await bringToItsEnd(world, child);
        const { signal } = await child.exit;
        if (signal !== 'SIGKILL') failures.push(`${point} #${occurrence} was never passed\n${child.log}`);
        await inherit(world);
        failures.push(...(await verdict(world)).map((breach) => `${point} #${occurrence}: ${breach}`));
      } catch (error) {
        failures.push(`${point} #${occurrence}: ${String(error)}`);
      } finally {
        await world.close();
      }
    });
    expect(failures).toEqual([]);
  }, 900_000);
});

/** Fails when attempts of suspects are not marked before they are made: the message then kills one process after the other. */
it('finds the message that kills every consumer, parks it, and handles all others', async () => {
  const world = await prepare();
  try {
    let deaths = 0;
    for (;;) {
      const child = startChild(
        'consumer-child.ts',
        settingsOf(world, { crash: null, misbehaviour: { dieOf: { key: 'b', n: 3 } } }),
      );
      await bringToItsEnd(world, child, ['exact']);
      const { signal } = await child.exit;
      if (signal !== 'SIGKILL') break;
      deaths += 1;
      if (deaths >= 12) throw new Error(`it goes on killing\n${child.log}`);
    }
    expect(deaths).toBeGreaterThan(1);
    const facts = await world.facts();
    const parked = facts.committed.filter(({ key, n }) => key === 'b' && n >= 3).map(({ id }) => id);
    expect(await world.breaches({ consumers: ['exact'], orderedConsumers: ['exact'], parked })).toEqual([]);
    const culprit = await world.pool.query(
      `SELECT reason, envelope->'data' AS data FROM holdfast.parked_delivery WHERE state = 'failed' AND consumer = 'exact'`,
    );
    expect(culprit.rows).toEqual([{ reason: 'crashed the consumer', data: { key: 'b', n: 3 } }]);
  } finally {
    await world.close();
  }
});

/** All messages with the broker already, for both consumers. */
async function prepare(): Promise<World> {
  const world = await createWorld({ keys: KEYS });
  await writeTicks(world.pool, KEYS, TIMES);
  const routes = [
    { topics: '**', to: 'exact', ordered: true },
    { topics: '**', to: 'windowed' },
  ];
  const relay = await world.relay('relay', { subscription: { routes, batchSize: 100 } });
  await world.settled([]);
  await relay.stop();
  return world;
}

function settingsOf(world: World, rest: Pick<ConsumerChildSettings, 'crash' | 'misbehaviour'>): ConsumerChildSettings {
  return { url: world.url, redis: world.redis, windowed: rest.misbehaviour?.dieOf === undefined, ...rest };
}

function pointsOf(child: Child): readonly string[] {
  return child.events
    .filter(({ event }) => event === 'point')
    .map(({ point }) => String(point))
    .toSorted();
}

/** The windowed consumer promises less: every effect, but a death may double those that were between effect and mark, at most four. */
async function verdict(world: World): Promise<readonly string[]> {
  const facts = await world.facts();
  const doubled = facts.effects.filter(({ consumer }) => consumer === 'windowed').length - facts.committed.length;
  const exact = { ...facts, effects: facts.effects.filter(({ consumer }) => consumer === 'exact') };
  const missing = await unhandled(world.pool, ['windowed']);
  return [
    ...breaches(exact, { consumers: ['exact'], orderedConsumers: ['exact'] }),
    ...missing,
    ...(doubled > 4 ? [`the windowed consumer has ${doubled} effects too many`] : []),
  ];
}

/** Consumers of the same names in this process, which finish what the dead one left. */
async function inherit(world: World): Promise<void> {
  // A redrive that died is taken up again after more than a minute, when its handler's time is surely over. That minute passes now.
  await world.pool.query(
    `UPDATE holdfast.parked_delivery SET next_attempt_at = now() WHERE next_attempt_at > now() + interval '30 seconds'`,
  );
  await world.consumer({ name: 'exact', ordered: true });
  const window = createRedisWindow({ connection: world.redis.url, prefix: `${world.redis.prefix}:window:` });
  await world.consumer({ name: 'windowed', kind: 'window', window });
  await world.settled(['exact', 'windowed']);
  await window.close();
}

async function bringToItsEnd(
  world: World,
  child: Child,
  consumers: readonly string[] = ['exact', 'windowed'],
): Promise<void> {
  await finishWhen(child, async () => {
    await child.told('started');
    await eventually('the consumer to finish', async () => {
      if (child.gone) return true;
      const left = await unhandled(world.pool, consumers);
      const { rows } = await world.pool.query(
        'SELECT 1 FROM holdfast.parked_delivery WHERE next_attempt_at IS NOT NULL',
      );
      return left.length === 0 && rows.length === 0;
    });
  });
}
