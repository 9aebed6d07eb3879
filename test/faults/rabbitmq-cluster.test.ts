/**
 * Three nodes of RabbitMQ, of which one is killed under load: the one that leads the first queue, and that some are connected to. Relay and
 * consumers find the others by themselves; nothing that was confirmed is lost, no effect is doubled, and the order of each key is kept (I1,
 * I3, I4, I13). The same with the node that came back, when another one is killed.
 *
 * Fails when messages count as published that are on one node alone, and when an ordered queue goes on with the next consumer before what the
 * former had in hand is back.
 */
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { startRabbitmq, type RabbitmqServer } from '../../src/servers/rabbitmq.ts';
import { createRabbitmqTransport } from '../../src/transport/rabbitmq/rabbitmq-transport.ts';
import { goesOn, steadyWriters } from '../support/faults/steady-writers.ts';
import { createWorld, type World } from '../support/faults/world.ts';

const KEYS = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'];
const PARTITIONS = 4;
const expectation = { consumers: ['exact'], orderedConsumers: ['exact'] } as const;

let cluster: RabbitmqServer;
let world: World;
beforeAll(async () => {
  cluster = await startRabbitmq({ nodes: 3 });
  const connection = cluster.nodes.map(({ url }) => url);
  const queues = { exact: { ordered: true, partitions: PARTITIONS } };
  world = await createWorld({
    keys: KEYS,
    createTransport: () => createRabbitmqTransport({ connection, queues, heartbeat: '2s', publishTimeout: '10s' }),
  });
}, 180_000);
afterEach(() => world.close());
afterAll(() => cluster.dispose());

/** Of the node that leads a queue. */
function leaderOf(queue: string, askedOn: number): number {
  const said = cluster.ctl(['list_queues', 'name', 'leader', '--formatter', 'json'], askedOn);
  const queues = JSON.parse(said) as readonly { readonly name: string; readonly leader: string }[];
  const leader = queues.find(({ name }) => name === queue)?.leader;
  return Number(/^node(\d)@/.exec(leader ?? '')?.[1]) - 1;
}

it('goes on without a node that is killed, loses nothing, doubles nothing, and keeps the order of each key', async () => {
  await world.relay('relay', { subscription: { batchSize: 50 } });
  for (const _ of ['one', 'two']) await world.consumer({ name: 'exact', ordered: true, concurrency: PARTITIONS });
  const writing = steadyWriters(world, KEYS);
  await goesOn(world);
  const first = leaderOf('holdfast.exact', 0);
  await cluster.nodes[first]?.kill();
  await goesOn(world);
  await cluster.nodes[first]?.start();
  await goesOn(world);
  const second = leaderOf('holdfast.exact', first);
  expect(second).not.toBe(first);
  await cluster.nodes[second]?.kill();
  await goesOn(world);
  await writing.stop();
  await world.settled(['exact']);
  expect(await world.breaches(expectation)).toEqual([]);
});
