/**
 * Time that is not what it should be: workers whose clocks are an hour off, and handlers that hang whatever their signal says (I6, I8,
 * I12, I13).
 *
 * Fails when anything but the store's time and monotonic time decides when a timer is due, and when an attempt that was given up is
 * taken for one that failed.
 */
import { expect, it } from 'vitest';
import { systemClock, type Clock } from '../../src/runtime/clock.ts';
import { seeded, type Random } from '../support/faults/random.ts';
import { drawPlan, plan, type Fate, type Plan } from '../support/faults/saga-plan.ts';
import { createSagaWorld, type SagaWorld } from '../support/faults/saga-world.ts';

const HOUR_MS = 3_600_000;
const HANGS: Fate = { kind: 'hangs', times: 1, effect: false };
const HANGS_AND_DOES: Fate = { kind: 'hangs', times: 1, effect: true };
const NEVER_ENDS: Fate = { kind: 'hangs', times: 100, effect: true };

it('timers are neither early nor an hour late when the clocks of workers are an hour off', () => seeded(wrongClocks));

async function wrongClocks(random: Random): Promise<void> {
  const world = await createSagaWorld();
  try {
    await surround(world);
    await world.worker('ahead', { clock: shifted(HOUR_MS) });
    await world.worker('behind', { clock: shifted(-HOUR_MS) });
    const plans = Array.from({ length: 30 }, (_, n) => ({
      ...drawPlan(n, random),
      pauseMs: random.whole(20, 300),
      vainMs: random.whole(20, 300),
    }));
    await world.start(plans);
    const late = await world.sagas.start(world.saga, plan(100, { asks: true }), { deadline: 400 });
    world.started.push(late.id);
    await world.settled({ messages: true });
    expect(await world.breaches()).toEqual([]);
    expect(await late.status()).toMatchObject({ status: 'compensated', reason: 'timed out' });
  } finally {
    await world.close();
  }
}

function shifted(byMs: number): Clock {
  return { ...systemClock, now: () => systemClock.now() + byMs };
}

it('a handler that hangs is in doubt: it is tried again, or compensated', async () => {
  const world = await createSagaWorld();
  try {
    await surround(world);
    await world.worker('worker');
    const plans: readonly Plan[] = [
      plan(0, { fates: { charge: HANGS } }),
      plan(1, { fates: { charge: HANGS_AND_DOES } }),
      plan(2, { fates: { gift: HANGS_AND_DOES, close: HANGS_AND_DOES } }),
      plan(3, { fates: { gift: NEVER_ENDS } }),
      plan(4, { fates: { close: NEVER_ENDS, gift: HANGS } }),
    ];
    const ids = await world.start(plans);
    await world.settled({ messages: true });
    expect(await world.breaches()).toEqual([]);
    const statuses = new Map((await world.facts()).runs.map(({ id, status }) => [id, status]));
    expect(ids.map((id) => statuses.get(id))).toEqual([
      'completed',
      'completed',
      'completed',
      'completed',
      'compensated',
    ]);
  } finally {
    await world.close();
  }
});

async function surround(world: SagaWorld): Promise<void> {
  await world.relay('relay');
  await world.participant();
}
