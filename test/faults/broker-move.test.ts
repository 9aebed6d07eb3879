/**
 * A destination moves from one broker to another while services go on writing, as docs/growing.md tells: nothing is lost, no effect is
 * doubled, and, where consumers are ordered, the order of each key is kept (I1, I3, I4).
 *
 * Fails when consumers on both brokers do not share the marks of the inbox. That the old broker is drained before is not what keeps the order
 * (a message waits for its predecessor), but what keeps messages from being parked for it.
 */
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { startNats, type NatsServer } from '../../src/servers/nats.ts';
import type { Relay } from '../../src/relay/relay.ts';
import { createBullmqTransport, type BullmqTransportOptions } from '../../src/transport/bullmq/redis-transport.ts';
import { createNatsTransport } from '../../src/transport/nats/nats-transport.ts';
import type { Transport } from '../../src/transport/port.ts';
import { eventually } from '../support/eventually.ts';
import { writeTicks } from '../support/faults/domain.ts';
import { createWorld, type World } from '../support/faults/world.ts';

const KEYS = ['a', 'b', 'c', 'd', 'e', 'f'];
const QUEUE = 'exact';
const queues = { [QUEUE]: { partitions: 4 } };

let nats: NatsServer;
beforeAll(async () => {
  nats = await startNats();
}, 90_000);
afterAll(() => nats.dispose());

const toEnd: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const end of toEnd.splice(0).toReversed()) await end();
});

/** A world whose relays and consumers are on the broker that is the present one when they are made. */
class Move {
  readonly world: World;
  readonly #onNats: { now: boolean };

  private constructor(world: World, onNats: { now: boolean }) {
    this.world = world;
    this.#onNats = onNats;
  }

  static async prepare(): Promise<Move> {
    const onNats = { now: false };
    const createTransport = (options: BullmqTransportOptions): Transport =>
      onNats.now
        ? createNatsTransport({
            connection: nats.url,
            prefix: (options.prefix ?? '').replaceAll(/[^a-z0-9]/gi, ''),
            queues,
          })
        : createBullmqTransport({ ...options, queues });
    const world = await createWorld({ keys: KEYS, createTransport });
    toEnd.push(() => world.close());
    return new Move(world, onNats);
  }

  /** On the old broker, or on the new one. */
  async consumer(onNats: boolean, ordered: boolean): Promise<void> {
    this.#onNats.now = onNats;
    await this.world.consumer({ name: QUEUE, ordered, concurrency: 4 });
  }

  relay(onNats: boolean): Promise<Relay> {
    this.#onNats.now = onNats;
    return this.world.relay(onNats ? 'relay on the new one' : 'relay on the old one', {
      subscription: { batchSize: 20 },
    });
  }

  /** How many messages are in the old broker and not done with. */
  async leftBehind(): Promise<number> {
    const { url, prefix } = this.world.redis;
    const transport = createBullmqTransport({ connection: url, prefix, queues });
    const found = await transport.queues?.({ signal: AbortSignal.timeout(5_000), known: [QUEUE] });
    await transport.close();
    return (found?.queues ?? []).reduce((sum, { state }) => sum + state.waiting + state.active + state.delayed, 0);
  }

  async effects(): Promise<number> {
    const { rows } = await this.world.pool.query<{ n: string }>('SELECT count(*) AS n FROM effect');
    return Number(rows[0]?.n);
  }

  async moreEffects(): Promise<void> {
    const before = await this.effects();
    await eventually('more effects', async () => (await this.effects()) > before + 30);
  }
}

/** Services go on writing until they are told to stop; what they write is kept to what can be worked off. */
function writers(move: Move): { stop(): Promise<void> } {
  let isStopped = false;
  const writing = (async () => {
    for (let rounds = 0; !isStopped && rounds < 400; rounds += 1) await writeTicks(move.world.pool, KEYS, 1);
  })();
  return {
    stop() {
      isStopped = true;
      return writing;
    },
  };
}

it('moves an ordered destination when the old broker is drained', async () => {
  const move = await Move.prepare();
  const old = await move.relay(false);
  await move.consumer(false, true);
  const writing = writers(move);
  await move.moreEffects();
  // Beside those with the old one, and under the same name, so that they share the inbox.
  await move.consumer(true, true);
  // In the middle of a batch: what it had sent and not noted comes to the new broker as well.
  await old.stop({ signal: AbortSignal.abort() });
  await eventually('the old broker to be drained', async () => (await move.leftBehind()) === 0);
  await move.relay(true);
  await move.moreEffects();
  await writing.stop();
  await move.world.settled([QUEUE]);
  expect(await move.world.breaches({ consumers: [QUEUE], orderedConsumers: [QUEUE] })).toEqual([]);
});

it('moves one without order while the old broker is still full, and both carry the same message', async () => {
  const move = await Move.prepare();
  const old = await move.relay(false);
  const writing = writers(move);
  await eventually('messages in the old broker', async () => (await move.leftBehind()) > 50);
  await move.consumer(true, false);
  await old.stop({ signal: AbortSignal.abort() });
  await move.relay(true);
  await move.moreEffects();
  expect(await move.leftBehind()).toBeGreaterThan(50);
  await move.consumer(false, false);
  await writing.stop();
  await move.world.settled([QUEUE]);
  await eventually('the old broker to be drained', async () => (await move.leftBehind()) === 0);
  expect(await move.world.breaches({ consumers: [QUEUE] })).toEqual([]);
});
