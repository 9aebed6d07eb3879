/**
 * PostgreSQL stopped with `immediate`, as in a crash, and started again, three times under load, with writers, relay and consumer
 * going on by themselves (I1-I5, I13).
 *
 * Fails when writers are told of a commit before it is durable (try `synchronous_commit: 'off'` in the settings below), and when a
 * relay or consumer does not come back from a lost connection.
 */
import { expect, it } from 'vitest';
import { eventually } from '../support/eventually.ts';
import { seeded, type Random } from '../support/faults/random.ts';
import { createWorld } from '../support/faults/world.ts';
import { startWriters } from '../support/faults/writers.ts';
import { startPostgres } from '../support/servers.ts';

const KEYS = ['a', 'b', 'c', 'd'];

it('loses nothing that was acknowledged and delivers nothing that was rolled back', () => seeded(scenario));

async function scenario(random: Random): Promise<void> {
  const server = await startPostgres({ durable: true });
  const world = await createWorld({ keys: KEYS, adminUrl: server.adminUrl });
  try {
    await world.relay('relay', { subscription: { batchSize: 20 } });
    await world.consumer({ name: 'exact', ordered: true });
    const writers = startWriters(6, { url: world.url, keys: KEYS, random, rollback: 0.1, savepoint: 0.1, delayMs: 3 });
    for (let crash = 1; crash <= 3; crash += 1) {
      const before = writers.acknowledged.length;
      await eventually('the writers to be at work', async () => writers.acknowledged.length >= before + 40);
      await server.restart('immediate');
    }
    const before = writers.acknowledged.length;
    await eventually('the writers to be back', async () => writers.acknowledged.length >= before + 20);
    await writers.stop();
    await world.settled(['exact']);
    const { acknowledged, counts } = writers;
    expect(counts.inDoubt).toBeGreaterThan(0);
    expect(await world.breaches({ acknowledged, consumers: ['exact'], orderedConsumers: ['exact'] })).toEqual([]);
  } finally {
    await world.close();
    await server.dispose();
  }
}
