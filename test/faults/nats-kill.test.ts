/**
 * Servers of NATS killed under load: one by itself, and the leader of a stream in a cluster of three. What a service has committed comes to its
 * consumers once, and in its order (I1, I3, I4, I13).
 *
 * Fails when a batch that was answered in part is not sent again, when a receiver does not find out that the server has forgotten its request,
 * and when a link is not opened anew.
 */
import { jetstreamManager, type JetStreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { startNats, startNatsCluster, type NatsServer } from '../../src/servers/nats.ts';
import { createNatsTransport } from '../../src/transport/nats/nats-transport.ts';
import { eventually } from '../support/eventually.ts';
import { writeTicks } from '../support/faults/domain.ts';
import { createWorld, type World } from '../support/faults/world.ts';

const KEYS = ['a', 'b', 'c', 'd', 'e'];
const STREAM = 'holdfast-exact';
const expectation = { consumers: ['exact'], orderedConsumers: ['exact'] } as const;

let servers: readonly NatsServer[] = [];
let world: World;
afterEach(async () => {
  await world.close();
  await Promise.all(servers.map((server) => server.dispose()));
});

async function openWorld(started: readonly NatsServer[], replicas: 1 | 3): Promise<void> {
  servers = started;
  world = await createWorld({
    keys: KEYS,
    createTransport: () =>
      createNatsTransport({
        connection: started.map(({ url }) => url),
        replicas,
        queues: { exact: { partitions: 3 } },
        claimDuration: 1_500,
      }),
  });
  await world.relay('relay');
  for (let process = 0; process < 2; process += 1)
    await world.consumer({ name: 'exact', ordered: true, concurrency: 3 });
}

const effects = async (): Promise<number> =>
  Number((await world.pool.query('SELECT count(*) FROM effect')).rows[0]?.['count']);

/** Messages that consumers may be behind: there is load at all times, and not more than they get through afterwards. */
const MOST_BEHIND = 300;

/** Writes until `during` is through, and once more. */
async function writeWhile(during: () => Promise<void>): Promise<void> {
  let isOver = false;
  let written = 0;
  const writing = (async () => {
    do {
      await writeTicks(world.pool, KEYS, 5);
      written += KEYS.length * 5;
      await eventually('consumers to follow', async () => isOver || written - (await effects()) < MOST_BEHIND);
    } while (!isOver);
  })();
  try {
    await during();
  } finally {
    isOver = true;
    await writing;
  }
}

/** Some messages came through, after this was called. */
async function goesOn(): Promise<void> {
  const before = await effects();
  await eventually('messages to come through', async () => (await effects()) > before + 20);
}

describe('one server of NATS', () => {
  beforeEach(async () => openWorld([await startNats()], 1));

  it('is killed under load, and nothing is lost or doubled', async () => {
    const [server] = servers;
    await writeWhile(async () => {
      for (let round = 0; round < 2; round += 1) {
        await goesOn();
        await server!.kill();
        await server!.start();
      }
      await goesOn();
    });
    await world.settled(['exact']);
    expect(await world.breaches(expectation)).toEqual([]);
  });
});

describe('a cluster of three', () => {
  beforeEach(async () => openWorld(await startNatsCluster(3), 3));

  /** Asked of a server that is up. */
  async function withManager<T>(use: (manager: JetStreamManager) => Promise<T>): Promise<T> {
    const nc = await connect({ servers: servers.map(({ url }) => url) });
    try {
      return await use(await jetstreamManager(nc));
    } finally {
      await nc.close();
    }
  }

  async function leader(): Promise<NatsServer> {
    const name = await eventually('the stream to have a leader', () =>
      withManager(async ({ streams }) => (await streams.info(STREAM)).cluster?.leader).catch(() => undefined),
    );
    const found = servers.find((server) => server.name === name);
    if (found === undefined) throw new Error(`No server is called ${name}.`);
    return found;
  }

  it('loses its leader under load, and nothing is lost or doubled', async () => {
    await writeWhile(async () => {
      await goesOn();
      const killed = await leader();
      await killed.kill();
      await goesOn();
      await killed.start();
      await goesOn();
    });
    await world.settled(['exact']);
    expect(await world.breaches(expectation)).toEqual([]);
    const { config, state } = await withManager(({ streams }) => streams.info(STREAM));
    expect([config.num_replicas, state.messages]).toEqual([3, 0]);
  });
});
