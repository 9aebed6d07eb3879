/** One order's whole way, from every place where one can begin: with real relays, consumers, participants and a worker. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { Rejection } from '../../src/errors.ts';
import { createConsumer } from '../../src/inbox/consumer.ts';
import { on } from '../../src/inbox/handlers/handler.ts';
import { message } from '../../src/message/message-type.ts';
import { findAnything } from '../../src/operations/path/find-anything.ts';
import { messagePath } from '../../src/operations/path/message-path.ts';
import { foldTimeline } from '../../src/operations/sagas/saga-timeline.ts';
import { showRun } from '../../src/operations/sagas/sagas.ts';
import { createOutbox } from '../../src/outbox/outbox.ts';
import { openDatabase, type Database } from '../../src/postgres/database.ts';
import { createRelay } from '../../src/relay/relay.ts';
import { saga } from '../../src/saga/definition/definition.ts';
import { command } from '../../src/saga/kinds/command.ts';
import { emit } from '../../src/saga/kinds/emit.ts';
import { transaction } from '../../src/saga/kinds/transaction.ts';
import { handle } from '../../src/saga/participant/handle.ts';
import { createParticipant } from '../../src/saga/participant/participant.ts';
import { createSagas } from '../../src/saga/client/client.ts';
import { writeSagaCall } from '../../src/saga/protocol/wire.ts';
import { createWorker } from '../../src/saga/worker/worker.ts';
import { createMemoryTransport } from '../../src/transport/memory.ts';
import { eventually } from '../support/eventually.ts';
import { createTestDatabase, type TestDatabase } from '../support/servers.ts';
import { NOBODY } from './lab.ts';
import { seedRun } from './saga-lab.ts';

const Order = z.object({ orderId: z.string() });
const OrderPlaced = message('order.placed', { schema: Order, key: ({ orderId }) => orderId });
const OrderSeen = message('order.seen', { schema: Order });
const OrderBooked = message('order.booked', { schema: Order });
const Charge = message('payment.charge', { schema: Order });
const Refund = message('payment.refund', { schema: Order });
const Ship = message('parcel.ship', { schema: Order });
const Told = message('customer.told', { schema: Order });

const outbox = createOutbox();
const placeOrder = saga({
  name: 'place-order',
  input: Order,
  steps: {
    book: transaction({
      run: async (order: { orderId: string }, { tx }) => {
        await outbox.send(tx, OrderBooked, order);
      },
    }),
    charge: command(Charge, { compensate: { message: Refund, payload: ({ input }) => input } }),
    tell: emit(Told),
    ship: command(Ship),
  },
  async run({ input, steps }) {
    await steps.book(input);
    await steps.charge(input);
    await steps.tell(input);
    await steps.ship(input);
  },
});

let test: TestDatabase;
let database: Database;
const stops: (() => Promise<unknown>)[] = [];

beforeAll(async () => {
  test = await createTestDatabase({ migrate: true });
  database = openDatabase({ url: test.url, max: 20 });
  const transport = createMemoryTransport();
  const relay = createRelay({
    database,
    subscriptions: [
      {
        name: 'main',
        transport,
        from: 'beginning',
        routes: [
          { topics: 'order.placed', to: 'audit' },
          { topics: 'payment.*', to: 'services' },
          { topics: 'parcel.*', to: 'services' },
          { topics: 'saga.reply', to: 'replies' },
        ],
      },
    ],
  });
  const audit = createConsumer('audit', {
    transport,
    database,
    outbox,
    handlers: [on(OrderPlaced, async (order, { send }) => void (await send(OrderSeen, order)))],
  });
  const services = createParticipant('services', {
    transport,
    database,
    handlers: [
      handle(Charge, {}, async () => {}),
      handle(Refund, { compensates: Charge }, async () => {}),
      handle(Ship, {}, async ({ orderId }) => {
        if (orderId === 'o-2') throw new Rejection('no such street');
      }),
    ],
  });
  const worker = createWorker({ database, sagas: [placeOrder], replies: { transport, destination: 'replies' } });
  await Promise.all([relay, audit, services, worker].map((service) => service.start()));
  stops.push(
    () => worker.stop(),
    () => Promise.all([services.stop(), audit.stop()]),
    () => relay.stop(),
    () => transport.close(),
  );
});
afterAll(async () => {
  for (const stop of stops) await stop();
  await database.close();
  await test.drop();
});

/** The order, its message and its run are one transaction. */
async function place(orderId: string): Promise<{ readonly messageId: string; readonly runId: string }> {
  const sagas = createSagas({ database, sagas: [placeOrder] });
  return database.transaction(async (tx) => {
    const { id: messageId } = await outbox.send(tx, OrderPlaced, { orderId });
    const { id: runId } = await sagas.start(tx, placeOrder, { orderId }, { key: orderId });
    return { messageId, runId };
  });
}

async function ended(runId: string, status: string): Promise<void> {
  await eventually(
    `the run to be ${status}`,
    async () => (await showRun(database, runId)).run.status === status,
    30_000,
  );
}

const textsOf = (steps: readonly { readonly kind: string; readonly text: string }[]) =>
  steps.map(({ kind, text }) => `${kind}: ${text}`);

describe('one order', () => {
  it('is found by its number, and every piece of its path leads to the next', async () => {
    const { messageId, runId } = await place('o-1');
    await ended(runId, 'completed');
    await eventually('all to have seen it', async () => {
      const { led, relays } = await messagePath(database, messageId);
      return led.length > 0 && relays[0]?.state === 'passed';
    });

    // By its number: the run by its key, the message by its own.
    const { found, advice, looked } = await findAnything(database, 'o-1');
    expect(advice).toBe(null);
    expect(looked.complete).toBe(true);
    expect(found).toContainEqual(
      expect.objectContaining({
        kind: 'run',
        id: runId,
        by: 'key',
        state: 'completed',
        show: `holdfast saga show ${runId}`,
      }),
    );
    expect(found).toContainEqual(
      expect.objectContaining({ kind: 'message', id: messageId, by: 'key', show: `holdfast outbox path ${messageId}` }),
    );

    // The message: what its transaction wrote, who handled it, what that led to.
    const path = await messagePath(database, messageId);
    expect(path).toMatchObject({
      state: 'logged',
      message: { topic: 'order.placed', key: 'o-1' },
      sender: null,
      answer: null,
      together: { messages: [], runs: [{ id: runId, saga: 'place-order', key: 'o-1', status: 'completed' }] },
      relays: [{ subscription: 'main', state: 'passed', parked: null }],
      consumers: [{ consumer: 'audit', state: 'handled' }],
      led: [{ topic: 'order.seen', from: messageId, depth: 1, relation: 'caused', correlationId: messageId }],
      ledComplete: true,
    });
    expect(textsOf(path.steps)).toEqual([
      expect.stringMatching(/^written: order.placed was written in transaction \d+$/),
      'written: place-order@1 o-1 was started by the same transaction',
      'relay: published it',
      'consumer: handled it',
      'led: order.seen was sent by its handler',
    ]);
    const times = path.steps.flatMap(({ sinceWrittenMs }) => sinceWrittenMs ?? []);
    expect(times).toEqual(times.toSorted((a, b) => a - b));
    expect((await messagePath(database, path.led[0]!.id)).causes).toMatchObject([{ id: messageId }]);

    // The run: what it sent, by call.
    const shown = await showRun(database, runId);
    expect(shown.sent).toMatchObject({ startedWith: [{ id: messageId }], complete: true });
    expect(shown.sent.messages.map(({ topic, call, role }) => [topic, call, role])).toEqual([
      ['order.booked', 'book', 'written'],
      ['payment.charge', 'charge', 'command'],
      ['customer.told', 'tell', 'emitted'],
      ['parcel.ship', 'ship', 'command'],
    ]);
    const { calls } = foldTimeline({
      status: 'completed',
      rows: shown.journal,
      now: shown.now,
      sent: shown.sent.messages,
    });
    expect(calls.map(({ call, messages }) => [call, messages.map(({ topic }) => topic)])).toEqual([
      ['book', ['order.booked']],
      ['charge', ['payment.charge']],
      ['tell', ['customer.told']],
      ['ship', ['parcel.ship']],
    ]);

    // A command: the call that sent it, the participant that has it, the reply, and what the run made of it.
    const charge = await messagePath(database, shown.sent.messages[1]!.id);
    expect(charge).toMatchObject({
      sender: { runId, call: 'charge', role: 'command', attempt: 1, outcome: { event: 'done' }, run: { key: 'o-1' } },
      participants: [{ participant: 'services', state: 'done' }],
      consumers: [{ consumer: 'services', state: 'handled' }],
      led: [{ topic: 'saga.reply', relation: 'caused' }],
    });
    expect(textsOf(charge.steps)).toEqual(
      expect.arrayContaining([
        'written: payment.charge is sent by charge of place-order@1 o-1',
        'participant: has it as done',
        'run: place-order@1 o-1 recorded charge as: done',
      ]),
    );
    const reply = await messagePath(database, charge.led[0]!.id);
    expect(reply).toMatchObject({
      sender: null,
      answer: { runId, call: 'charge', to: 'command', outcome: 'done', state: 'taken in', taken: { event: 'done' } },
      causes: [{ id: charge.id }],
    });

    // What nobody answers.
    expect(await messagePath(database, shown.sent.messages[2]!.id)).toMatchObject({
      sender: { runId, call: 'tell', role: 'emitted', outcome: { event: 'done' } },
      relays: [{ state: 'unrouted' }],
    });
  });

  it('shows the way back of one that could not be shipped', async () => {
    const { runId } = await place('o-2');
    await ended(runId, 'compensated');
    const { sent, journal, now } = await showRun(database, runId);
    expect(sent.messages.map(({ topic, call, role }) => [topic, call, role])).toEqual([
      ['order.booked', 'book', 'written'],
      ['payment.charge', 'charge', 'command'],
      ['customer.told', 'tell', 'emitted'],
      ['parcel.ship', 'ship', 'command'],
      ['payment.refund', 'charge', 'compensation'],
    ]);
    const timeline = foldTimeline({ status: 'compensated', rows: journal, now, sent: sent.messages });
    expect(timeline.compensations.map(({ call, messages }) => [call, messages.map(({ topic }) => topic)])).toEqual([
      ['charge', ['payment.refund']],
    ]);
    const refund = await messagePath(database, sent.messages[4]!.id);
    expect(refund).toMatchObject({
      sender: { runId, call: 'charge', role: 'compensation', outcome: { event: 'compensated' } },
      participants: [{ participant: 'services', state: 'compensated' }],
    });
    expect(textsOf(refund.steps)[0]).toBe('written: payment.refund compensates charge of place-order@1 o-2');
  });
});

describe('a command that was sent again', () => {
  it('has its attempt, and is among the messages of its run', async () => {
    const failed = {
      t: 'attempt failed',
      call: 'charge',
      attempt: 1,
      error: { name: 'E', message: 'no reply' },
    } as const;
    const runId = await seedRun(database, {
      // Of a saga that nobody runs here.
      saga: 'asking',
      journal: [
        [{ t: 'started', input: {} }],
        [{ t: 'called', call: 'charge', kind: 'command', step: 'charge' }],
        [{ ...failed, retryAt: Date.now() }],
      ],
    });
    const headers = writeSagaCall({ runId, call: 'charge', role: 'command', replyTo: 'saga.reply', outcome: null });
    const { id } = await database.transaction((tx) =>
      outbox.send(tx, Charge, { orderId: 'o-6' }, { headers, correlationId: runId }),
    );
    expect(await messagePath(database, id)).toMatchObject({
      sender: { runId, call: 'charge', role: 'command', attempt: 2, outcome: null },
    });
    expect((await showRun(database, runId)).sent).toMatchObject({
      messages: [{ id, call: 'charge', role: 'command' }],
      complete: true,
    });
  });
});

describe('findAnything', () => {
  it('says what to try when nothing has the name', async () => {
    const { messageId } = await place('o-3');
    const nothing = await findAnything(database, 'o-nobody');
    expect(nothing).toMatchObject({ found: [], similar: [], advice: expect.stringMatching(/Retention prunes/) });
    // Cut by a terminal, or with a digit wrong.
    const cut = await findAnything(database, messageId.slice(0, 30));
    expect(cut.found).toEqual([]);
    expect(cut.similar).toContainEqual(expect.objectContaining({ kind: 'message', id: messageId }));
    const wrong = messageId.slice(0, -1) + (messageId.endsWith('0') ? '1' : '0');
    const near = await findAnything(database, wrong.toUpperCase());
    expect(near.similar).toContainEqual(expect.objectContaining({ id: messageId }));
    expect(near.advice).toMatch(/made in the same moment/);
    expect((await findAnything(database, `"${messageId.replaceAll('-', '')}",`)).found[0]).toMatchObject({
      kind: 'message',
      id: messageId,
      by: 'id',
    });
    await expect(findAnything(database, '  ')).rejects.toMatchObject({ code: 'HF_CONFIG' });
    await expect(findAnything(database, 'x', { cursor: 'y' })).rejects.toThrow(/no cursor/);
  });

  it('finds what is parked, scheduled, handled and pruned', async () => {
    const { id: later } = await database.transaction((tx) =>
      outbox.send(tx, OrderSeen, { orderId: 'o-4' }, { delay: '1h' }),
    );
    expect((await findAnything(database, later)).found).toMatchObject([
      { kind: 'scheduled', show: `holdfast outbox show ${later}` },
    ]);
    expect(await messagePath(database, later)).toMatchObject({
      state: 'scheduled',
      message: null,
      steps: [{ kind: 'written', trouble: true }],
    });

    const { messageId } = await place('o-5');
    await eventually('it to be handled', async () => (await messagePath(database, messageId)).consumers.length > 0);
    await database.query('DELETE FROM holdfast.outbox WHERE id = $1', [messageId]);
    expect((await findAnything(database, messageId)).found).toMatchObject([
      { kind: 'handled', name: 'by consumer audit' },
      { kind: 'message', by: 'correlation id', name: 'order.seen' },
    ]);
    expect(await messagePath(database, messageId)).toMatchObject({
      state: 'pruned',
      consumers: [{ consumer: 'audit', state: 'handled' }],
    });

    await database.query(
      `INSERT INTO holdfast.parked_delivery (consumer, message_id, topic, key, envelope, state, reason, error, attempts)
       VALUES ('billing', $1, 'order.placed', 'o-5', '{"data": {}}', 'failed', 'gave up', 'Error: no', 5)`,
      [messageId],
    );
    expect((await findAnything(database, messageId)).found).toContainEqual(
      expect.objectContaining({
        kind: 'parked',
        state: 'by consumer billing: gave up',
        show: `holdfast parked show ${messageId}`,
      }),
    );
    const parked = await messagePath(database, messageId);
    expect(parked.consumers).toMatchObject([
      { consumer: 'audit', state: 'handled' },
      { consumer: 'billing', state: 'parked', attempts: 5, parked: { error: 'Error: no', nextAttemptAt: null } },
    ]);
    expect(parked.steps.find(({ trouble }) => trouble)).toMatchObject({
      who: 'billing',
      text: 'parked it after 5 attempts: Error: no',
    });
    await expect(messagePath(database, NOBODY)).rejects.toMatchObject({ code: 'HF_NOT_FOUND' });
    await expect(messagePath(database, 'o-1')).rejects.toMatchObject({ code: 'HF_CONFIG' });
  });
});
