/**
 * kill -9 of the worker at every named I/O point, before and after, on the way forward and while runs are being compensated; each worker
 * takes over from the one that was killed before it, and is killed in the middle of that (I6-I13).
 *
 * Fails, for example, when a step begins before its intent is durable, when an attempt that was lost is not in doubt, when mail is
 * deleted before it is journaled, or when a compensation is taken for done because it had begun.
 */
import { afterEach, expect, it } from 'vitest';
import { actOnRuns, planBulk } from '../../src/operations/jobs/saga-bulk.ts';
import { openDatabase } from '../../src/postgres/database.ts';
import { REPLY_CRASH_POINTS } from '../../src/saga/protocol/reply-route.ts';
import { SAGA_CRASH_POINTS } from '../../src/saga/worker/worker.ts';
import { eventually } from '../support/eventually.ts';
import { endChildren, inParallel, type Child } from '../support/faults/child.ts';
import type { CrashPlan } from '../support/faults/crash-points.ts';
import { seeded, type Random } from '../support/faults/random.ts';
import { drawPlan, plan, type Fate, type Plan } from '../support/faults/saga-plan.ts';
import { createSagaWorld, type SagaWorld } from '../support/faults/saga-world.ts';

afterEach(endChildren);

/** One stands inside a transaction step, around its COMMIT; the last ones where replies come in. */
const POINTS = [...SAGA_CRASH_POINTS, 'saga.transaction.commit', ...REPLY_CRASH_POINTS].flatMap((point) => [
  `${point}:before`,
  `${point}:after`,
]);
/** Of what is passed on the way back as well. */
const UNDOING = POINTS.filter((point) => !/verify|fallback|step|collect|claim|reply/.test(point));
const FIRST_UNDO = 'saga.compensation:before';

const PLANS: readonly Omit<CrashPlan, 'signal'>[] = [
  ...POINTS.map((point) => ({ point, occurrence: 1 })),
  ...UNDOING.map((point) => ({ point, occurrence: 2, since: FIRST_UNDO })),
  { point: 'saga.commit:before', occurrence: 7 },
  { point: 'saga.commit:after', occurrence: 9 },
  { point: 'saga.step:after', occurrence: 5 },
  { point: 'saga.step:before', occurrence: 8 },
  { point: 'saga.transaction.commit:after', occurrence: 4 },
  { point: 'reply.hand:before', occurrence: 4 },
];

const NO: Fate = { kind: 'no', times: 0, effect: false };
const SILENT: Fate = { kind: 'fails', times: 6, effect: true };
const ONCE: Fate = { kind: 'fails', times: 1, effect: true };

/** Every point is passed by these: one that completes with a fallback, one that is compensated, one that is verified and compensated. */
function batch(first: number, random: Random): readonly Plan[] {
  return [
    plan(first, { fates: { tip: NO, gift: SILENT, charge: ONCE }, pauseMs: 5, lines: 1 }),
    plan(first + 1, { fates: { close: NO }, compensates: { charge: ONCE, debit: ONCE, reserve: ONCE }, lines: 1 }),
    plan(first + 2, { fates: { charge: SILENT } }),
    plan(first + 3, { fates: { reserve: NO } }),
    drawPlan(first + 4, random),
    drawPlan(first + 5, random),
  ];
}
const BATCH = 6;

it('passes every named point in one undisturbed life', () =>
  seeded(async (random) => {
    const world = await prepare();
    try {
      await world.start(batch(0, random));
      const child = world.child('whole', { parts: ['worker'] });
      await child.told('started');
      await world.settled({ messages: true });
      child.finish();
      await child.exit;
      const passed = child.events.filter(({ event }) => event === 'point').map(({ point }) => String(point));
      // Those of the consumer are passed by what has to go by itself.
      expect(passed.filter((point) => /^(saga|reply)\./.test(point)).toSorted()).toEqual(POINTS.toSorted());
      expect(await world.breaches()).toEqual([]);
    } finally {
      await world.close();
    }
  }));

/** In parts, each of two chains of deaths side by side: one alone takes minutes on a machine that is busy. */
const PARTS = [1, 2, 3, 4, 5, 6];
const CHAINS = 2 * PARTS.length;

it.each(PARTS)('every run ends as it must, wherever its workers are killed, part %i', (part) =>
  seeded(async (random) => {
    const chains = [2 * part - 2, 2 * part - 1].map((chain) => PLANS.filter((_, index) => index % CHAINS === chain));
    const failures: string[] = [];
    await inParallel(2, chains, async (chain) => {
      failures.push(...(await dieInTurn(chain, random.fork(`${chain[0]?.point} ${part}`))));
    });
    expect(failures).toEqual([]);
  }),
);

/** One worker after the other, each with new runs beside those of the one before. */
async function dieInTurn(plans: readonly Omit<CrashPlan, 'signal'>[], random: Random): Promise<readonly string[]> {
  const world = await prepare();
  const failures: string[] = [];
  try {
    for (const [index, crash] of plans.entries()) {
      const name = `${index} ${crash.point} #${crash.occurrence}${crash.since === undefined ? '' : ' compensating'}`;
      await world.start(batch(index * BATCH, random));
      const child: Child = world.child(name, { parts: ['worker'], crash: { ...crash, signal: 'SIGKILL' } });
      await eventually(`${name} to die`, async () => child.gone, 60_000).catch(async (error: unknown) => {
        failures.push(`${name}: ${String(error)}\n${child.log}`);
        child.kill('SIGKILL');
      });
      const { signal } = await child.exit;
      if (signal !== 'SIGKILL') failures.push(`${name}: it ended by itself\n${child.log}`);
      await world.endLeases(name);
    }
    await world.worker('heir');
    await world.settled({ messages: true });
    await retryBlamed(world);
    failures.push(...(await world.breaches()));
  } catch (error) {
    failures.push(String(error));
  } finally {
    await world.close();
  }
  return failures;
}

/**
 * Who kills workers in the middle of the same attempt six times over cannot be told from an attempt that kills them: such a run is stuck,
 * with nothing compensated, and goes on when a person has it retried.
 */
async function retryBlamed(world: SagaWorld): Promise<void> {
  const database = openDatabase({ pool: world.pool });
  const blamed = await planBulk(database, { kind: 'retry' }, { error: 'Every worker that' });
  if (blamed.runs === 0) return;
  await actOnRuns(database, { kind: 'retry' }, { error: 'Every worker that' }, { actor: 'test', reason: 'it was us' });
  await world.settled({ messages: true });
}

async function prepare(): Promise<SagaWorld> {
  const world = await createSagaWorld();
  await world.relay('relay');
  await world.participant();
  return world;
}
