/**
 * PostgreSQL stopped with `immediate`, as in a crash, under load; and the connections of a worker cut in the middle of its commits,
 * before they reach the server or with their answers lost (I5-I11, I13).
 *
 * Fails when a step begins or a start is answered before it is durable, when a commit without an answer is made again without asking
 * whether it happened, and when anybody does not come back from a lost connection.
 */
import { expect, it } from 'vitest';
import { isHoldfastError } from '../../src/errors.ts';
import { eventually } from '../support/eventually.ts';
import { seeded, type Random } from '../support/faults/random.ts';
import { drawPlan, type Plan } from '../support/faults/saga-plan.ts';
import { createSagaWorld, type SagaWorld } from '../support/faults/saga-world.ts';
import { isCommit, startTcpProxy, type Fate } from '../support/faults/tcp-proxy.ts';
import { startPostgres } from '../support/servers.ts';

it('every run ends as it must when PostgreSQL crashes', () => seeded(crashes));

async function crashes(random: Random): Promise<void> {
  const server = await startPostgres({ durable: true });
  const world = await createSagaWorld({ adminUrl: server.adminUrl });
  try {
    await world.relay('relay');
    await world.participant();
    await world.worker('worker');
    const traffic = startTraffic(world, random);
    for (let crash = 1; crash <= 2; crash += 1) {
      const before = world.started.length;
      await eventually('runs to be started', async () => world.started.length >= before + 25);
      await server.restart('immediate');
    }
    const before = world.started.length;
    await eventually('runs to be started again', async () => world.started.length >= before + 10);
    await traffic.stop();
    // A redrive that died is taken up again after more than a minute, when its handler's time is surely over. That minute passes now.
    await world.pool.query(
      `UPDATE holdfast.parked_delivery SET next_attempt_at = now() WHERE next_attempt_at > now() + interval '30 seconds'`,
    );
    await world.settled({ messages: true });
    expect(await world.breaches()).toEqual([]);
  } finally {
    await world.close();
    await server.dispose();
  }
}

it('every run ends as it must, whichever side of a commit is cut', () => seeded(cuts));

async function cuts(random: Random): Promise<void> {
  const world = await createSagaWorld();
  const proxy = await startTcpProxy(world.url);
  try {
    await world.relay('relay');
    await world.participant();
    await world.worker('worker', { url: proxy.url });
    const fates = random.fork('cuts');
    proxy.judge = (bytes): Fate => {
      if (!(isCommit(bytes) || bytes.includes('holdfast-commit-runs')) || !fates.chance(0.06)) return 'pass';
      return fates.pick(['before', 'after'] as const);
    };
    const traffic = startTraffic(world, random);
    await eventually('every kind of cut', async () => proxy.cuts.before >= 6 && proxy.cuts.after >= 6);
    await traffic.stop();
    proxy.judge = () => 'pass';
    await world.settled({ messages: true });
    expect(await world.breaches()).toEqual([]);
  } finally {
    await world.close();
    await proxy.close();
  }
}

/** So many at most have not ended: more would be a backlog, which a slow machine is busy with for minutes at the end. */
const UNDER_WAY = 40;

/** Starts runs, a few at a time, again under the same key where it is not known whether they were started. */
function startTraffic(world: SagaWorld, random: Random): { stop(): Promise<void> } {
  let stopping = false;
  let n = 0;
  const surely = async (plan: Plan): Promise<void> => {
    for (;;) {
      try {
        while (!stopping && (await underWay(world)) >= UNDER_WAY) await pause(50);
        await world.start([plan]);
        return;
      } catch (error) {
        if (!isAway(error)) throw error;
        await pause(20);
      }
    }
  };
  const lane = async (): Promise<void> => {
    while (!stopping) {
      await surely(drawPlan((n += 1), random));
      await pause(10);
    }
  };
  const lanes = Promise.all([lane(), lane(), lane()]);
  lanes.catch(() => {});
  return {
    async stop() {
      stopping = true;
      await lanes;
    },
  };
}

async function underWay(world: SagaWorld): Promise<number> {
  const ended = new Set(['completed', 'compensated', 'stuck']);
  return Object.entries(await world.statuses()).reduce((sum, [status, n]) => sum + (ended.has(status) ? 0 : n), 0);
}

function isAway(error: unknown): boolean {
  if (isHoldfastError(error, 'HF_DATABASE_UNAVAILABLE') || isHoldfastError(error, 'HF_COMMIT_IN_DOUBT')) return true;
  const { code, message } = error as { readonly code?: unknown; readonly message?: unknown };
  return /^(08|57P|ECONN|EPIPE)/.test(String(code)) || /terminated|closed|not queryable/i.test(String(message));
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}
