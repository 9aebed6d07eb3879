/**
 * The connection cut in the middle of COMMIT, before it reaches PostgreSQL or with its answer lost, in all three roles (I1-I5, I13).
 * The writer finds out by the message's id; a consumer's mark tells; a relay reads its cursor again.
 *
 * Fails when a consumer takes a COMMIT without an answer for done or for rolled back without asking its mark, and when a relay goes
 * on in memory after a cursor write that it cannot be sure of.
 */
import { expect, it } from 'vitest';
import { eventually } from '../support/eventually.ts';
import { seeded, type Random } from '../support/faults/random.ts';
import { isCommit, startTcpProxy, type Fate, type TcpProxy } from '../support/faults/tcp-proxy.ts';
import { createWorld } from '../support/faults/world.ts';
import { startWriters } from '../support/faults/writers.ts';

const KEYS = ['a', 'b', 'c', 'd'];

it('has one effect of every committed message, whichever side of COMMIT is cut', () => seeded(scenario));

it('has one effect of every message of a batch, whichever side of its COMMIT is cut', () => seeded(batchScenario));

it('has one effect of every message whose COMMIT goes out with the BEGIN of the next, whichever side is cut', () =>
  seeded(handedOnScenario));

async function handedOnScenario(random: Random): Promise<void> {
  const world = await createWorld({ keys: KEYS });
  const proxy = await startTcpProxy(world.url);
  let together = 0;
  const isTogether = (bytes: Buffer): boolean => isCommit(bytes) && bytes.includes('BEGIN');
  try {
    await world.relay('relay', { subscription: { routes: [{ topics: '**', to: 'exact' }], batchSize: 100 } });
    // With few transactions at once, so that messages wait and a connection is handed on to them.
    await world.consumer({ name: 'exact', concurrency: 2, url: proxy.url });
    const cut = cutSome(random, 0.3, isTogether);
    proxy.judge = (bytes) => {
      if (isTogether(bytes)) together += 1;
      return cut(bytes);
    };
    const writers = startWriters(4, { url: world.url, keys: KEYS, random, rollback: 0.1, delayMs: 2 });
    await eventually('every kind of cut', async () => proxy.cuts.before >= 4 && proxy.cuts.after >= 4);
    await writers.stop();
    proxy.judge = () => 'pass';
    await world.settled(['exact']);
    expect(await world.breaches({ acknowledged: writers.acknowledged, consumers: ['exact'] })).toEqual([]);
    expect(together).toBeGreaterThan(8);
  } finally {
    await world.close();
    await proxy.close();
  }
}

async function batchScenario(random: Random): Promise<void> {
  const world = await createWorld({ keys: KEYS });
  const proxy = await startTcpProxy(world.url);
  try {
    await world.relay('relay', { subscription: { routes: [{ topics: '**', to: 'batched' }], batchSize: 100 } });
    await world.consumer({ name: 'batched', batch: true, concurrency: 1, url: proxy.url });
    proxy.judge = cutSome(random, 0.3, isCommit);
    const writers = startWriters(4, { url: world.url, keys: KEYS, random, rollback: 0.1, delayMs: 2 });
    await eventually('every kind of cut', async () => proxy.cuts.before >= 4 && proxy.cuts.after >= 4);
    await writers.stop();
    proxy.judge = () => 'pass';
    await world.settled(['batched']);
    expect(await world.breaches({ acknowledged: writers.acknowledged, consumers: ['batched'] })).toEqual([]);
    // Some of them shared a transaction, or this has tested nothing.
    const { rows } = await world.pool.query<{ most: number }>(
      'SELECT max(n)::int AS most FROM (SELECT count(*) AS n FROM holdfast.inbox GROUP BY xmin::text) AS sizes',
    );
    expect(rows[0]?.most).toBeGreaterThan(1);
  } finally {
    await world.close();
    await proxy.close();
  }
}

async function scenario(random: Random): Promise<void> {
  const world = await createWorld({ keys: KEYS });
  const [writer, consumer, relay] = (await Promise.all([0, 1, 2].map(() => startTcpProxy(world.url)))) as [
    TcpProxy,
    TcpProxy,
    TcpProxy,
  ];
  try {
    await world.relay('relay', { url: relay.url, subscription: { batchSize: 10 } });
    await world.consumer({ name: 'exact', ordered: true, url: consumer.url });
    writer.judge = cutSome(random.fork('writer'), 0.2, isCommit);
    consumer.judge = cutSome(random.fork('consumer'), 0.15, isCommit);
    // With heads to write the cursor goes in a transaction, without them in a prepared statement of this name.
    relay.judge = cutSome(random.fork('relay'), 0.1, (bytes) => isCommit(bytes) || bytes.includes('holdfast-advance'));
    const writers = startWriters(4, { url: writer.url, keys: KEYS, random, rollback: 0.1, delayMs: 5 });
    await eventually('every kind of cut', async () => {
      return [writer, consumer, relay].every(({ cuts }) => cuts.before >= 4 && cuts.after >= 4);
    });
    await writers.stop();
    for (const proxy of [writer, consumer, relay]) proxy.judge = () => 'pass';
    await world.settled(['exact']);
    expect(writers.counts.inDoubt).toBeGreaterThanOrEqual(8);
    const { acknowledged } = writers;
    expect(await world.breaches({ acknowledged, consumers: ['exact'], orderedConsumers: ['exact'] })).toEqual([]);
  } finally {
    await world.close();
    await Promise.all([writer, consumer, relay].map((proxy) => proxy.close()));
  }
}

function cutSome(random: Random, share: number, isTarget: (bytes: Buffer) => boolean): (bytes: Buffer) => Fate {
  return (bytes) => {
    if (!isTarget(bytes) || !random.chance(share)) return 'pass';
    return random.pick(['before', 'after'] as const);
  };
}
