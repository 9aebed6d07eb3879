/**
 * Redis killed and empty again while jobs wait: a replay from the log brings them back, and what was handled already is not handled
 * twice. Redis full: nothing is parked, nothing lost, and all goes on by itself. Redis away for long: the lag grows, the breaker is
 * open, nothing is parked (I1, I3, I4, I13).
 *
 * Fails when OOM is taken for the fault of a message, and when a replayed message is parked behind the one of its key that waits for
 * what the broker lost.
 */
import { randomUUID } from 'node:crypto';
import { Redis } from 'ioredis';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { insertReplay } from '../../src/relay/delivery/replay-store.ts';
import { eventually } from '../support/eventually.ts';
import { writeTicks } from '../support/faults/domain.ts';
import { createWorld, type World } from '../support/faults/world.ts';
import { startRedis, type RedisServer } from '../support/servers.ts';

const KEYS = ['a', 'b', 'c'];

let redis: RedisServer;
let world: World;
beforeAll(async () => {
  redis = await startRedis();
});
beforeEach(async () => {
  world = await createWorld({ keys: KEYS, redisUrl: redis.url });
});
afterEach(() => world.close());
afterAll(() => redis.dispose());

const expectation = { consumers: ['exact'], orderedConsumers: ['exact'] } as const;
/** Messages that the relay has not delivered. */
const lag = async () =>
  Number(
    (await world.pool.query('SELECT count(*) AS lag FROM holdfast.outbox, holdfast.subscription WHERE seq > high'))
      .rows[0]?.['lag'],
  );
const parked = async () => (await world.pool.query('SELECT * FROM holdfast.parked_message')).rows;

async function replayAll(): Promise<string> {
  const id = randomUUID();
  const client = await world.pool.connect();
  const { rows } = await client.query<{ high: string }>('SELECT max(seq) AS high FROM holdfast.outbox');
  await insertReplay(client, 'holdfast', {
    id,
    subscription: 'faults',
    fromSeq: 1,
    toSeq: Number(rows[0]?.high),
    topic: null,
    key: null,
  });
  client.release();
  await eventually(
    'the replay to finish',
    async () =>
      (await world.pool.query('SELECT 1 FROM holdfast.replay WHERE id = $1 AND finished_at IS NOT NULL', [id]))
        .rowCount === 1,
  );
  return id;
}

describe('Redis killed and empty again', () => {
  it('gets its jobs back by a replay of the log, and no effect is doubled', async () => {
    await world.relay('relay');
    const early = await world.consumer({ name: 'exact', ordered: true });
    await writeTicks(world.pool, KEYS, 5);
    await world.settled(['exact']);
    await early.stop();
    await writeTicks(world.pool, KEYS, 20);
    await world.settled([]);
    await redis.kill();
    await redis.start();
    await world.consumer({ name: 'exact', ordered: true });
    await writeTicks(world.pool, KEYS, 5);
    await world.settled([]);
    // The jobs of the middle are gone for good as far as the broker is concerned.
    expect(await missing()).toBeGreaterThanOrEqual(60);
    const id = await replayAll();
    await world.settled(['exact']);
    expect(await world.breaches(expectation)).toEqual([]);
    expect(world.published().filter(({ replayId }) => replayId === id)).toHaveLength(90);
    // Once more: every message is a duplicate now.
    await replayAll();
    await writeTicks(world.pool, KEYS, 1);
    await world.settled(['exact']);
    expect(await world.breaches(expectation)).toEqual([]);
  });

  it('is waited for by relay and consumer, and what was in hand comes again', async () => {
    await world.relay('relay');
    await world.consumer({ name: 'exact', ordered: true });
    await writeTicks(world.pool, KEYS, 10);
    await redis.kill();
    await writeTicks(world.pool, KEYS, 10);
    await redis.start();
    // Not until all is settled: what the consumer had not taken in hand is lost with Redis, and what follows waits for the replay.
    await eventually('the relay to be through', async () => (await lag()) === 0);
    await replayAll();
    await world.settled(['exact']);
    expect(await world.breaches(expectation)).toEqual([]);
  });
});

describe('Redis full', () => {
  it('parks nothing, loses nothing, and goes on by itself once there is room', async () => {
    const admin = new Redis(redis.url);
    try {
      const relay = await world.relay('relay');
      await world.consumer({ name: 'exact', ordered: true });
      await writeTicks(world.pool, KEYS, 5);
      await world.settled(['exact']);
      await admin.config('SET', 'maxmemory', '1');
      await writeTicks(world.pool, KEYS, 10);
      await eventually('the breaker to open', async () => relay.states.every(({ breaker }) => breaker !== 'closed'));
      expect(await lag()).toBe(30);
      expect(await parked()).toEqual([]);
      await admin.config('SET', 'maxmemory', '0');
      await world.settled(['exact']);
      expect(await world.breaches(expectation)).toEqual([]);
    } finally {
      await admin.config('SET', 'maxmemory', '0');
      admin.disconnect();
    }
  });
});

describe('a long outage of the broker', () => {
  it('lets the lag grow, parks nothing, and delivers everything afterwards', async () => {
    const relay = await world.relay('relay');
    await world.consumer({ name: 'exact', ordered: true });
    await writeTicks(world.pool, KEYS, 5);
    await world.settled(['exact']);
    await redis.kill();
    for (let round = 1; round <= 5; round += 1) {
      await writeTicks(world.pool, KEYS, 10);
      await eventually('the breaker to open', async () => relay.states.every(({ breaker }) => breaker !== 'closed'));
      expect(await lag()).toBeGreaterThanOrEqual(round * 30);
    }
    expect(await parked()).toEqual([]);
    const { rows } = await world.pool.query<{ trouble: string | null }>('SELECT trouble FROM holdfast.subscription');
    expect(rows[0]?.trouble).toMatch(/broker/i);
    await redis.start();
    await world.settled(['exact']);
    expect(await world.breaches(expectation)).toEqual([]);
    expect(await parked()).toEqual([]);
  });
});

async function missing(): Promise<number> {
  const { rows } = await world.pool.query<{ count: string }>(
    'SELECT count(*) FROM fact WHERE id NOT IN (SELECT message_id FROM effect)',
  );
  return Number(rows[0]?.count);
}
