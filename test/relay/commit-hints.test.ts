/**
 * A relay hears at once of what its own process commits. Its clock stands still here: without a hint it would not look again within the
 * test.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { z } from 'zod';
import { createConsumer } from '../../src/inbox/consumer.ts';
import { on } from '../../src/inbox/handlers/handler.ts';
import { message } from '../../src/message/message-type.ts';
import { createOutbox } from '../../src/outbox/outbox.ts';
import { openDatabase, type Database } from '../../src/postgres/database.ts';
import { createRelay } from '../../src/relay/relay.ts';
import { systemClock } from '../../src/runtime/clock.ts';
import { saga } from '../../src/saga/definition/definition.ts';
import { command } from '../../src/saga/kinds/command.ts';
import { emit } from '../../src/saga/kinds/emit.ts';
import { transaction } from '../../src/saga/kinds/transaction.ts';
import { handle } from '../../src/saga/participant/handle.ts';
import { createParticipant } from '../../src/saga/participant/participant.ts';
import { createWorker } from '../../src/saga/worker/worker.ts';
import { createMemoryTransport } from '../../src/transport/memory.ts';
import { eventually } from '../support/eventually.ts';
import { createRelayLab, type RelayLab } from '../support/relay-lab.ts';
import { createTestDatabase } from '../support/servers.ts';

let lab: RelayLab;
beforeAll(async () => {
  lab = await createRelayLab();
});
beforeEach(() => lab.reset());
afterAll(() => lab.close());

const standing = { ...systemClock, sleep: (_ms: number, signal?: AbortSignal) => systemClock.sleep(3_600_000, signal) };
/** Longer than a relay needs that looks at once. */
const A_WHILE_MS = 200;

/** As another process would: nobody here is told. */
async function writeElsewhere(n: number): Promise<void> {
  const client = await lab.database.pool.connect();
  await client.query('BEGIN');
  await lab.send(client, { n });
  await client.query('COMMIT');
  client.release(true);
}

it('looks at once when a transaction of its database has committed messages, by whatever pool, and for nothing else', async () => {
  const { relay, transport } = await lab.relay({}, { clock: standing });
  await relay.start();
  await lab.write({ n: 1 });
  await lab.until(async () => transport.sent.length === 1);
  await sleep(A_WHILE_MS);
  await writeElsewhere(2);
  const stranger = await createTestDatabase({ migrate: true });
  const [other, same] = [openDatabase({ url: stranger.url }), openDatabase({ url: lab.url })];
  const write = (database: Database, n: number) => database.transaction((tx) => lab.send(tx, { n }));
  await write(other, 100);
  await lab.database.transaction((tx) => tx.query('SELECT 1'));
  await expect(
    lab.database.transaction(async (tx) => {
      await lab.send(tx, { n: 101 });
      throw new Error('not this time');
    }),
  ).rejects.toThrow('not this time');
  await sleep(A_WHILE_MS);
  expect(lab.numbers(transport)).toEqual([1]);
  await write(same, 3);
  await lab.until(async () => transport.sent.length === 3);
  expect(lab.numbers(transport)).toEqual([1, 2, 3]);
  await relay.stop();
  await Promise.all([other.close(), same.close()]);
  await stranger.drop();
});

it('looks at once for what a handler has sent', async () => {
  const { relay, transport } = await lab.relay({ routes: [{ topics: 'reserved', to: 'all' }] }, { clock: standing });
  const [Placed, Reserved] = [
    message('placed', { schema: z.object({}) }),
    message('reserved', { schema: z.object({}) }),
  ];
  const queue = createMemoryTransport();
  const consumer = createConsumer('stock', {
    transport: queue,
    database: lab.database,
    destination: 'stock',
    outbox: createOutbox(),
    handlers: [on(Placed, async (_placed, { send }) => void (await send(Reserved, {})))],
  });
  await Promise.all([relay.start(), consumer.start()]);
  await sleep(A_WHILE_MS);
  const [id, time] = [randomUUID(), new Date().toISOString()];
  const wire = JSON.stringify({
    specversion: '1.0',
    holdfast: 1,
    schemaversion: 1,
    source: 'test',
    type: 'placed',
    id,
    time,
    data: {},
  });
  const outbound = { id, topic: 'placed', key: null, destination: 'stock', wire, replayId: null };
  await queue.publisher().publish([outbound], { signal: new AbortController().signal });
  await eventually('what was sent is out', async () => transport.sent.length === 1);
  await Promise.all([consumer.stop(), relay.stop()]);
});

it('carries a saga of commands, messages and transactions without a look by itself', async () => {
  const transport = createMemoryTransport();
  const typeOf = <Topic extends string>(topic: Topic) => message(topic, { schema: z.object({}) });
  const [Ask, Answer, Event] = [typeOf('ask'), typeOf('answer'), typeOf('a.type')];
  const flow = saga({
    name: 'flow',
    input: z.object({}),
    steps: {
      ask: command(Ask, { reply: Answer, pivot: true }),
      say: emit(Event),
      write: transaction({ run: async (_: null, { tx }) => void (await createOutbox().send(tx, Event, {})) }),
    },
    async run({ steps }) {
      await steps.ask({});
      await steps.say({});
      await steps.write(null);
      await steps.ask({}, { id: 'again' });
    },
  });
  const seen: string[] = [];
  const services = createParticipant('services', {
    transport,
    database: lab.database,
    destination: 'asked',
    handlers: [handle(Ask, { reply: Answer }, async () => ({}))],
  });
  const listener = createConsumer('listener', {
    transport,
    database: lab.database,
    destination: 'events',
    handlers: [on(Event, async () => void seen.push('event'))],
  });
  const routes = [
    { topics: 'ask', to: 'asked' },
    { topics: 'saga.reply', to: 'replies' },
    { topics: 'a.type', to: 'events' },
  ];
  const relay = createRelay({
    database: lab.database,
    subscriptions: [{ name: 'all', transport, routes }],
    clock: standing,
  });
  const worker = createWorker({
    database: lab.database,
    sagas: [flow],
    replies: { transport, destination: 'replies' },
  });
  await Promise.all([services.start(), listener.start(), relay.start(), worker.start()]);
  await sleep(A_WHILE_MS);
  const run = await worker.sagas.start(flow, {});
  await run.result();
  await eventually('both events are out', async () => seen.length === 2);
  await worker.stop();
  await Promise.all([services.stop(), listener.stop(), relay.stop()]);
  await transport.close();
});
