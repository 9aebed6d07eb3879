/**
 * kill -9 of a consumer with `batch` at every named I/O point of a batch; and of one that a message kills every time.
 *
 * Fails, for example, when the marks of a batch are committed without the effects of all of them, when a savepoint that was rolled back
 * leaves its mark, when a message of a batch is acknowledged before COMMIT, or when what came back from a dead process shares a transaction.
 */
import { afterEach, expect, it } from 'vitest';
import { BATCH_CRASH_POINTS } from '../../src/inbox/handlers/batch-work.ts';
import { eventually } from '../support/eventually.ts';
import { breaches } from '../support/faults/checker.ts';
import { endChildren, finishWhen, inParallel, startChild, type Child } from '../support/faults/child.ts';
import type { HandlerMisbehaviour } from '../support/faults/consumers.ts';
import type { CrashPlan } from '../support/faults/crash-points.ts';
import { writeTicks } from '../support/faults/domain.ts';
import { createWorld, unhandled, type World } from '../support/faults/world.ts';

afterEach(endChildren);

const KEYS = ['a', 'b', 'c', 'd'];
const TIMES = 10;
/** In a batch, then twice alone; then it is parked, and handled by the redrive. */
const FAILS: HandlerMisbehaviour = { failFor: { key: 'b', n: 3, times: 3 } };

it('has every effect once, wherever it is killed', async () => {
  const points = BATCH_CRASH_POINTS.flatMap((point) => [`${point}:before`, `${point}:after`]);
  const first = [...points, 'inbox.ack:before'].map((point) => ({ point, occurrence: 1 }));
  const later = ['batch.handler:after', 'inbox.ack:before'].map((point) => ({ point, occurrence: 7 }));
  const failures: string[] = [];
  await inParallel(5, [...first, ...later], async ({ point, occurrence }) => {
    const world = await prepare();
    try {
      const child = start(world, FAILS, { point, occurrence, signal: 'SIGKILL' });
      await bringToItsEnd(world, child);
      const { signal } = await child.exit;
      if (signal !== 'SIGKILL') failures.push(`${point} #${occurrence} was never passed\n${child.log}`);
      await world.consumer({ name: 'batched', batch: true });
      await world.settled(['batched']);
      failures.push(...(await verdict(world, [])).map((breach) => `${point} #${occurrence}: ${breach}`));
    } catch (error) {
      failures.push(`${point} #${occurrence}: ${String(error)}`);
    } finally {
      await world.close();
    }
  });
  expect(failures).toEqual([]);
}, 900_000);

it('finds the message that kills every consumer, parks it alone, and handles all others', async () => {
  const world = await prepare();
  try {
    let deaths = 0;
    for (;;) {
      const child = start(world, { dieOf: { key: 'b', n: 3 } }, null);
      await bringToItsEnd(world, child);
      const { signal } = await child.exit;
      if (signal !== 'SIGKILL') break;
      deaths += 1;
      if (deaths >= 12) throw new Error(`it goes on killing\n${child.log}`);
    }
    expect(deaths).toBeGreaterThan(1);
    const facts = await world.facts();
    const parked = facts.committed.filter(({ key, n }) => key === 'b' && n === 3).map(({ id }) => id);
    expect(await verdict(world, parked)).toEqual([]);
    const culprit = await world.pool.query(
      `SELECT reason, envelope->'data' AS data FROM holdfast.parked_delivery WHERE consumer = 'batched'`,
    );
    expect(culprit.rows).toEqual([{ reason: 'crashed the consumer', data: { key: 'b', n: 3 } }]);
  } finally {
    await world.close();
  }
});

/** All messages with the broker already. */
async function prepare(): Promise<World> {
  const world = await createWorld({ keys: KEYS });
  await writeTicks(world.pool, KEYS, TIMES);
  const relay = await world.relay('relay', {
    subscription: { routes: [{ topics: '**', to: 'batched' }], batchSize: 100 },
  });
  await world.settled([]);
  await relay.stop();
  return world;
}

function start(world: World, misbehaviour: HandlerMisbehaviour, crash: CrashPlan | null): Child {
  const { url, redis } = world;
  return startChild('consumer-child.ts', { url, redis, crash, misbehaviour, batched: true });
}

async function verdict(world: World, parked: readonly string[]): Promise<readonly string[]> {
  return breaches(await world.facts(), { consumers: ['batched'], parked });
}

async function bringToItsEnd(world: World, child: Child): Promise<void> {
  await finishWhen(child, async () => {
    await child.told('started');
    await eventually('the consumer to finish', async () => {
      if (child.gone) return true;
      const left = await unhandled(world.pool, ['batched']);
      const { rows } = await world.pool.query(
        'SELECT 1 FROM holdfast.parked_delivery WHERE next_attempt_at IS NOT NULL',
      );
      return left.length === 0 && rows.length === 0;
    });
  });
}
