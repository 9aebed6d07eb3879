/**
 * Sagas under load while workers, participant and relay, each a process of its own, are killed with kill -9 and replaced, and workers
 * are stopped past their leases: runs started in transactions of which some are rolled back, signals sent twice, cancels and deadlines
 * at any moment (I2, I5-I13).
 *
 * Fails when any of them keeps something to itself that it has acknowledged.
 * `npm run soak:faults` runs it for HOLDFAST_SOAK_MINUTES (10), with new seeds.
 */
import { afterEach, expect, it } from 'vitest';
import { isHoldfastError } from '../../src/errors.ts';
import { eventually } from '../support/eventually.ts';
import { endChildren, type Child } from '../support/faults/child.ts';
import { createRandom, seeded, seedOfRun, type Random } from '../support/faults/random.ts';
import type { SagaChildSettings } from '../support/faults/saga-child.ts';
import { drawPlan } from '../support/faults/saga-plan.ts';
import { createSagaWorld, type SagaWorld } from '../support/faults/saga-world.ts';

afterEach(endChildren);

const soakMinutes = Number(
  process.env['HOLDFAST_SOAK_MINUTES'] ?? (process.env['npm_lifecycle_event'] === 'soak:faults' ? 10 : 0),
);

it(
  'every run ends as it must, whoever dies',
  async () => {
    const seed = seedOfRun();
    await seeded((random) => storm(random, 6), seed);
    for (const endAt = Date.now() + soakMinutes * 60_000, again = createRandom(seed); Date.now() < endAt;) {
      await seeded((random) => storm(random, 20), again.whole(1, 2 ** 30));
    }
  },
  300_000 + soakMinutes * 120_000,
);

type Parts = SagaChildSettings['parts'];
const CREW: readonly Parts[] = [['worker'], ['worker'], ['participant'], ['relay']];

async function storm(random: Random, deaths: number): Promise<void> {
  const world = await createSagaWorld({ replyTimeout: 3_000 });
  try {
    const crew = CREW.map((parts, index) => ({ parts, child: world.child(`${parts[0]} ${index}`, { parts }) }));
    await Promise.all(crew.map(({ child }) => child.told('started')));
    const traffic = startTraffic(world, random.fork('traffic'));
    for (let death = 1; death <= deaths; death += 1) {
      const before = world.started.length;
      await eventually('runs to be started', async () => world.started.length >= before + random.whole(5, 20));
      // All of the crew in turn, so that each is hit.
      const victim = crew[(death - 1) % crew.length] as (typeof crew)[number];
      if (victim.parts.includes('worker') && random.chance(0.4)) await stopForAWhile(world, victim.child);
      else {
        victim.child.kill('SIGKILL');
        await victim.child.exit;
        victim.child = world.child(`${victim.parts[0]} replaced ${death}`, { parts: victim.parts });
      }
    }
    const { rolledBack } = await traffic.stop();
    // A redrive that died is taken up again after more than a minute, when its handler's time is surely over. That minute passes now.
    await world.pool.query(
      `UPDATE holdfast.parked_delivery SET next_attempt_at = now() WHERE next_attempt_at > now() + interval '30 seconds'`,
    );
    await world.settled({ messages: true });
    for (const { child } of crew) child.finish();
    for (const { child } of crew) expect(await child.exit).toEqual({ code: 0, signal: null });
    expect(await world.breaches({ rolledBack })).toEqual([]);
    const statuses = await world.statuses();
    expect(Object.keys(statuses).toSorted()).toEqual(['compensated', 'completed']);
  } finally {
    await endChildren();
    await world.close();
  }
}

/** Until somebody else has its runs, or it has none. */
async function stopForAWhile(world: SagaWorld, child: Child): Promise<void> {
  child.kill('SIGSTOP');
  await eventually('the leases of those that stand still to end', async () => {
    const { rows } = await world.pool.query<{ n: number }>(
      `SELECT count(*)::int AS n FROM holdfast.worker WHERE lease_until > clock_timestamp()`,
    );
    return (rows[0]?.n ?? 0) <= 1;
  });
  child.kill('SIGCONT');
}

/** What a call to a run may be answered with when the run has gone on meanwhile. */
const TOO_LATE = ['HF_SAGA_FINISHED', 'HF_SAGA_UNDONE', 'HF_SAGA_PIVOTED'] as const;

function startTraffic(
  world: SagaWorld,
  random: Random,
): { stop(): Promise<{ readonly rolledBack: readonly string[] }> } {
  const rolledBack: string[] = [];
  let stopping = false;
  let n = 0;
  const politely = async (act: Promise<unknown>): Promise<void> => {
    await act.catch((error: unknown) => {
      if (!TOO_LATE.some((code) => isHoldfastError(error, code))) throw error;
    });
  };
  const lane = async (): Promise<void> => {
    while (!stopping) {
      const drawn = drawPlan((n += 1), random, { asks: 0.3, hangs: 0.05 });
      const client = await world.pool.connect();
      await client.query('BEGIN');
      const deadline = random.chance(0.1) ? { deadline: random.whole(1, 500) } : {};
      const run = await world.sagas.start(client, world.saga, drawn, deadline);
      const keep = random.chance(0.9);
      await client.query(keep ? 'COMMIT' : 'ROLLBACK');
      client.release();
      if (!keep) {
        rolledBack.push(run.id);
        continue;
      }
      world.started.push(run.id);
      if (random.chance(0.15)) await politely(run.cancel({ reason: 'changed our mind' }));
      if (drawn.asks) {
        // The same one twice, and another one that nobody waits for.
        for (const id of ['first', 'first', 'second'])
          await politely(run.signal('answer', { n: id === 'first' ? drawn.n : -drawn.n }, { id }));
      }
      await new Promise((resolve) => {
        setTimeout(resolve, random.whole(5, 60));
      });
    }
  };
  const lanes = Promise.all([lane(), lane()]);
  lanes.catch(() => {});
  return {
    async stop() {
      stopping = true;
      await lanes;
      return { rolledBack };
    },
  };
}
