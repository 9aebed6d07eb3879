/**
 * Redis killed and empty again while commands and replies are in flight (I6-I9, I13): commands that are not answered are sent again by
 * themselves; those that would wait for long are brought back by a replay from the log.
 *
 * Fails when a command that is sent again is done twice, and when a participant does not answer one that it has done before.
 */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { insertReplay } from '../../src/relay/delivery/replay-store.ts';
import { eventually } from '../support/eventually.ts';
import { createRandom, seeded, seedOfRun, type Random } from '../support/faults/random.ts';
import { drawPlan, plan, type Plan } from '../support/faults/saga-plan.ts';
import { createSagaWorld, type SagaWorld } from '../support/faults/saga-world.ts';
import { startRedis, type RedisServer } from '../support/servers.ts';

let redis: RedisServer;
beforeAll(async () => {
  redis = await startRedis();
});
afterAll(() => redis.dispose());

it('commands whose replies are lost are sent again', () =>
  seeded(async (random) => {
    const plans = Array.from({ length: 40 }, (_, n) => drawPlan(n, random));
    const world = await createSagaWorld({ redisUrl: redis.url, replyTimeout: 700 });
    try {
      await loseInFlight(world, plans);
      await world.settled({ messages: true });
      expect(await world.breaches()).toEqual([]);
    } finally {
      await world.close();
    }
  }));

it('a replay from the log brings back what nobody sends again', () => seeded(replayed));

async function replayed(random: Random): Promise<void> {
  const plans = Array.from({ length: 40 }, (_, n) => plan(n, { lines: random.whole(0, 1) }));
  const world = await createSagaWorld({ redisUrl: redis.url, replyTimeout: 3_600_000 });
  try {
    await loseInFlight(world, plans);
    const client = await world.pool.connect();
    const { rows } = await client.query<{ high: string }>('SELECT max(seq) AS high FROM holdfast.outbox');
    const range = { fromSeq: 1, toSeq: Number(rows[0]?.high), topic: null, key: null };
    await insertReplay(client, 'holdfast', { id: randomUUID(), subscription: 'sagas', ...range });
    client.release();
    await world.settled({ messages: true });
    expect(await world.statuses()).toEqual({ completed: plans.length });
    expect(await world.breaches()).toEqual([]);
  } finally {
    await world.close();
  }
}

/** Redis dies with commands in it, and then with replies. */
async function loseInFlight(world: SagaWorld, plans: readonly Plan[]): Promise<void> {
  await world.relay('relay');
  await world.worker('worker');
  const half = plans.length / 2;
  await world.start(plans.slice(0, half));
  await published(world, 'faults.reserve', half / 2);
  // Nobody has taken them.
  await redis.kill();
  await redis.start();
  await world.participant();
  const random = createRandom(seedOfRun());
  await world.start(plans.slice(half));
  await published(world, 'saga.reply', random.whole(3, 8));
  await redis.kill();
  await redis.start();
  await eventually('the relay to be done', async () => (await lag(world)) === 0);
}

/** Until so many messages of the topic have been written, and handed to the broker. */
async function published(world: SagaWorld, topic: string, count: number): Promise<void> {
  await eventually(`${count} of ${topic}`, async () => {
    const { rows } = await world.pool.query<{ n: number }>(
      `SELECT count(*)::int AS n FROM holdfast.outbox o, holdfast.subscription s WHERE o.topic = $1 AND o.seq <= s.high`,
      [topic],
    );
    return (rows[0]?.n ?? 0) >= count;
  });
}

async function lag(world: SagaWorld): Promise<number> {
  const { rowCount } = await world.pool.query(
    'SELECT 1 FROM holdfast.outbox o, holdfast.subscription s WHERE o.seq > s.high',
  );
  return rowCount ?? 0;
}
