/**
 * Messages under test on PostgreSQL: outbox, relay, inbox and transactions are those of production, and the broker is in this process. For
 * handlers that write through `tx`.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout } from 'node:timers';
import type { PoolClient } from 'pg';
import { isHoldfastError } from '../../errors.ts';
import { assembleConsumer, type Consumer } from '../../inbox/consumer.ts';
import { databaseAccess } from '../../inbox/consumer-access.ts';
import { handlerList, KNOWN_OPTIONS, type CommonConsumerOptions } from '../../inbox/consumer-options.ts';
import { resolveConsumer, whereOf } from '../../inbox/consumer-settings.ts';
import type { Handler } from '../../inbox/handlers/handler.ts';
import { retryParked } from '../../operations/parked/interventions.ts';
import { listDue } from '../../operations/reads/list-due.ts';
import { showMessage } from '../../operations/reads/messages.ts';
import { encodeWire } from '../../message/envelope.ts';
import { createOutbox, type Outbox } from '../../outbox/outbox.ts';
import type { Database } from '../../postgres/database.ts';
import { createRelay } from '../../relay/relay.ts';
import { createRouter } from '../../relay/subscription/routes.ts';
import { systemClock, type Clock } from '../../runtime/clock.ts';
import { parseDuration } from '../../runtime/duration.ts';
import { refuseUnknownOptions } from '../../runtime/options.ts';
import { participantDatabaseAccess } from '../../saga/participant/participant-access.ts';
import type { ParticipantHandlers } from '../../saga/participant/participant-options.ts';
import { assembleParticipant } from '../../saga/participant/participant.ts';
import { createMemoryTransport } from '../../transport/memory.ts';
import type { OutboundMessage, PublishOutcome, Transport } from '../../transport/port.ts';
import { DeliveriesLog } from './deliveries-log.ts';
import { createMessageTest, type MessageTest } from './message-test.ts';
import { checkMessageTest, type CommonMessageTestOptions } from './message-test-options.ts';
import { routesOf } from './routes-of.ts';
import { SentLog } from './sent-log.ts';
import { Activity, settleActivity } from './settling.ts';

/** Messages under test on PostgreSQL. Made by {@link testMessagesOn}. */
export interface DatabaseMessageTest extends MessageTest<PoolClient> {
  /** Takes up what is parked, now, as a person does who has it tried again. Settles. */
  redrive(): Promise<void>;
  /** Ends what the test has begun; the database stays open. */
  close(): Promise<void>;
}

/** The waits between attempts are over at once, and all others are as ever. */
const hasty: Clock = {
  ...systemClock,
  sleep: (delayMs, signal) =>
    signal?.aborted === true ? Promise.resolve() : new Promise((resolve) => setTimeout(resolve, Math.min(delayMs, 2))),
};

/** Messages scheduled for later that a test may have. */
const MOST_SCHEDULED = 1_000;

/**
 * A service's messages on its own tables: what commits travels by a relay to the consumers, whose marks and effects commit together. The
 * waits between attempts are left out; messages of before are left alone. One at a time for each database.
 *
 * @throws HoldfastError HF_CONFIG, HF_OPTION_UNKNOWN, HF_DURATION, HF_SAGA_DEFINITION, HF_SCHEMA_MISSING
 * @example
 * const { database: own, drop } = await createTestDatabase();
 * await own.query('CREATE TABLE invoice (order_id text)');
 * const bill = on(OrderPlaced, async ({ orderId }, { tx }) => {
 *   await tx.query('INSERT INTO invoice VALUES ($1)', [orderId]);
 * });
 * const test = await testMessagesOn(own, { consumers: { billing: { handlers: [bill] } } });
 * await test.deliver(OrderPlaced, { orderId: 'o-1', total: 12 }, { times: 2 });
 * console.log((await own.query('SELECT * FROM invoice')).rows.length); // 1
 * await test.close();
 * await drop();
 */
export async function testMessagesOn(
  database: Database,
  options: CommonMessageTestOptions = {},
): Promise<DatabaseMessageTest> {
  checkMessageTest(options, [], 'testMessagesOn');
  const withinMs = parseDuration(options.settleWithin ?? '10s', 'testMessagesOn: settleWithin');
  const activity = new Activity();
  const log = new DeliveriesLog(() => activity.note());
  const sent = new SentLog();
  const transport = createMemoryTransport();
  const outbox = createOutbox({ schema: database.schema });
  const consumers = consumersOf({ database, transport, outbox, log }, options);
  const routes = routesOf(options);
  const router = createRouter(routes, 'testMessagesOn');
  const note = (message: OutboundMessage): void => {
    sent.addWire(message.wire);
    activity.note();
  };
  const name = `test-${randomUUID()}`;
  const relay = createRelay({
    database,
    subscriptions: [
      { name: `${name}.log`, transport: recording(note), routes: [{ topics: '**', to: 'log' }], from: 'now' },
      ...(routes.length === 0 ? [] : [{ name, transport, routes, from: 'now' as const }]),
    ],
  });
  await relay.prepare();
  for (const { id } of (await listDue(database, { limit: MOST_SCHEDULED })).messages) sent.passOver(id);
  const receivers = consumers.map(({ consumer, settings }) =>
    transport.receiver(
      settings.destination,
      (delivery) => activity.during(`a message of ${consumer.name}`, () => consumer.handle(delivery)),
      settings,
    ),
  );
  await Promise.all(receivers.map((receiver) => receiver.start()));

  const pump = async (): Promise<void> => {
    await relay.tick();
    await noteScheduled(database, sent);
  };
  const test = createMessageTest<PoolClient>(
    {
      outbox,
      sent,
      log,
      publisher: transport.publisher(),
      now: () => Date.now(),
      queuesOf: (topic) => router.destinations(topic).map((destination) => destination.name),
      settle: () => settleActivity(activity, pump, withinMs),
      transaction: (fn) => database.transaction(fn),
    },
    options.redact ?? [],
    'testMessagesOn',
  );
  return Object.defineProperties(
    {
      async redrive() {
        for (const { consumer } of consumers) {
          await makeDue(database, consumer.name);
          await activity.during(`a parked message of ${consumer.name}`, () => consumer.tickParked());
        }
        await test.settle();
      },
      async close() {
        await transport.close();
        await relay.stop();
        for (const consumer of consumers) consumer.close();
      },
    },
    Object.getOwnPropertyDescriptors(test),
  ) as DatabaseMessageTest;
}

async function makeDue(database: Database, consumer: string): Promise<void> {
  const act = { actor: 'testMessagesOn', reason: 'the test takes it up' };
  await retryParked(database, { all: true, consumer }, act).catch((error: unknown) => {
    if (!isHoldfastError(error, 'HF_NOT_FOUND')) throw error;
  });
}

/** Those that leave later, which no relay has seen. */
async function noteScheduled(database: Database, sent: SentLog): Promise<void> {
  const { messages } = await listDue(database, { limit: MOST_SCHEDULED });
  for (const { id, topic, key, dueAt } of messages) {
    if (sent.has(id)) continue;
    const found = await showMessage(database, id);
    const payload = JSON.stringify('scheduled' in found ? found.scheduled.payload : found.envelope['data']);
    sent.addWire(encodeWire({ id, topic, key, time: dueAt.toISOString(), payload, headers: '{}' }), dueAt);
  }
}

/** Takes everything and says to whom it was given. */
function recording(note: (message: OutboundMessage) => void): Transport {
  return {
    kind: 'recording',
    publisher: () => ({
      publish: async (batch) => batch.map((message): PublishOutcome => (note(message), { kind: 'published' })),
      check: async () => {},
      close: async () => {},
    }),
    receiver() {
      throw new TypeError('Nothing is received from the log of a test.');
    },
    close: async () => {},
  };
}

interface World {
  readonly database: Database;
  readonly transport: Transport;
  readonly outbox: Outbox;
  readonly log: DeliveriesLog;
}

interface WatchedConsumer {
  readonly consumer: Consumer;
  /** Lets go of its timers. */
  readonly close: () => void;
  readonly settings: { readonly destination: string; readonly concurrency: number; readonly ordered: boolean };
}

function consumersOf(
  world: World,
  { consumers = {}, participants = {} }: CommonMessageTestOptions,
): readonly WatchedConsumer[] {
  const { database, transport, outbox } = world;
  const asking = Object.entries(participants).map(([name, given]) => {
    const made: WatchedConsumer[] = [];
    const handlers = given.handlers as unknown as ParticipantHandlers<PoolClient>;
    const participant = assembleParticipant<PoolClient>(
      name,
      { ...given, handlers, transport, outbox, clock: hasty },
      {
        ...participantDatabaseAccess(name, { database }),
        consumer(own, answering, { transport: _transport, outbox: _outbox, clock: _clock, ...rest }) {
          made.push(watchedConsumer(world, own, answering, rest));
          return (made[0] as WatchedConsumer).consumer;
        },
      },
    );
    return { ...(made[0] as WatchedConsumer), consumer: participant };
  });
  const consuming = Object.entries(consumers).map(([name, { handlers, ...given }]) =>
    watchedConsumer(world, name, handlerList(handlers) as readonly Handler<PoolClient>[], given),
  );
  return [...consuming, ...asking];
}

function watchedConsumer(
  { database, transport, outbox, log }: World,
  name: string,
  handlers: readonly Handler<PoolClient>[],
  options: Omit<CommonConsumerOptions, 'transport' | 'outbox' | 'clock'>,
): WatchedConsumer {
  refuseUnknownOptions(options, KNOWN_OPTIONS, whereOf(name));
  const all = { ...options, transport, outbox, database, handlers };
  const access = { ...databaseAccess(name, all), watch: log.watch(name) };
  const settings = resolveConsumer(name, { ...all, clock: hasty }, handlers, database);
  const { destination, concurrency, ordered } = settings;
  return {
    consumer: assembleConsumer(settings, access),
    close: () => access.deadlines.close(),
    settings: { destination, concurrency, ordered },
  };
}
