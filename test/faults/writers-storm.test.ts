/**
 * Twelve services writing at once in every way there is: random delays, 10 % rollbacks, savepoints, all isolation levels, prepared
 * transactions, bulk inserts, and somebody else's transaction open the whole time; read in small pages, so that low probes
 * and catch-ups are the rule (I1-I5, I13). Every key is written under its row lock, so its order is known exactly.
 *
 * Fails when either half of the low probe is left out of the log reader, when the xid is taken after the seq, or when an ordered
 * consumer does not hold a key to one message at a time.
 * `npm run soak:faults` runs it for HOLDFAST_SOAK_MINUTES (10), with new seeds, the relay being replaced by another all the time.
 */
import pg from 'pg';
import { expect, it } from 'vitest';
import { eventually } from '../support/eventually.ts';
import { tick } from '../support/faults/domain.ts';
import { createRandom, seeded, seedOfRun, type Random } from '../support/faults/random.ts';
import { createWorld, type World } from '../support/faults/world.ts';
import { startWriters } from '../support/faults/writers.ts';

const KEYS = Array.from({ length: 24 }, (_, index) => `key-${index}`);
const BULK = 500;
const soakMinutes = Number(
  process.env['HOLDFAST_SOAK_MINUTES'] ?? (process.env['npm_lifecycle_event'] === 'soak:faults' ? 10 : 0),
);

it(
  'delivers every committed message once and in order',
  async () => {
    const seed = seedOfRun();
    await seeded((random) => storm(random, 2_500, false), seed);
    for (const endAt = Date.now() + soakMinutes * 60_000, again = createRandom(seed); Date.now() < endAt;) {
      await seeded((random) => storm(random, 10_000, true), again.whole(1, 2 ** 30));
    }
  },
  300_000 + soakMinutes * 120_000,
);

async function storm(random: Random, messages: number, restless: boolean): Promise<void> {
  const world = await createWorld({ keys: KEYS, broker: { queues: { exact: { partitions: 8 } } } });
  const foreign = new pg.Client({ connectionString: world.url });
  try {
    await foreign.connect();
    await foreign.query('BEGIN');
    await foreign.query('SELECT pg_current_xact_id()');
    await world.consumer({ name: 'exact', ordered: true, concurrency: 8 });
    const relays = keepRelays(world, random.fork('relays'), restless);
    const writers = startWriters(12, {
      url: world.url,
      keys: KEYS,
      random,
      rollback: 0.1,
      savepoint: 0.15,
      prepared: 0.05,
      bulk: { share: 0.01, rows: BULK },
      isolation: true,
      delayMs: 8,
    });
    await eventually('the writers to write enough', async () => writers.acknowledged.length >= messages);
    await writers.stop();
    await relays.settle();
    await leapfrog(world);
    await world.settled(['exact']);
    const { acknowledged, counts } = writers;
    expect(await world.breaches({ acknowledged, consumers: ['exact'], orderedConsumers: ['exact'] })).toEqual([]);
    expect([counts.rolledBack, counts.prepared].every((count) => count > 0)).toBe(true);
  } finally {
    await foreign.end();
    await world.close();
  }
}

/**
 * An older transaction commits while a newer one, which drew its seq before, is open: the snapshot in between ends below the newer
 * one and does not list it. Rare among other writers, so it is brought about here, several times.
 */
async function leapfrog(world: World): Promise<void> {
  const older = await world.pool.connect();
  const newer = await world.pool.connect();
  for (let time = 1; time <= 15; time += 1) {
    for (const client of [older, newer]) {
      await client.query('BEGIN');
      await client.query('SELECT pg_current_xact_id()');
    }
    await tick(newer, 'key-0');
    const { id } = await tick(older, 'key-1');
    await older.query('COMMIT');
    await eventually('the older one to go out', async () => world.published().some((entry) => entry.id === id));
    await newer.query('COMMIT');
  }
  older.release();
  newer.release();
}

/** One relay; or, restless, one after the other, each stopped after a moment. */
function keepRelays(world: World, random: Random, restless: boolean): { settle(): Promise<void> } {
  let settled = false;
  const serve = async (): Promise<void> => {
    for (let turn = 1; ; turn += 1) {
      const relay = await world.relay(`relay ${turn}`, { subscription: { batchSize: random.whole(20, 80) } });
      if (!restless || settled) return;
      const published = world.published().length;
      await eventually(
        'some progress',
        async () => settled || world.published().length > published + random.whole(50, 500),
      );
      await relay.stop();
    }
  };
  const serving = serve();
  serving.catch(() => {});
  return {
    async settle() {
      settled = true;
      await serving;
    },
  };
}
