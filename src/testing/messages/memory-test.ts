/**
 * Messages under test in memory: outbox, relay, broker, consumers and participants in this process, on a clock that the test moves. The
 * consumers are those of production; only what keeps their marks is another.
 */
import type { TransactionHandle } from '../../postgres/executor.ts';
import { createRouter } from '../../relay/subscription/routes.ts';
import { parseDuration, type Duration } from '../../runtime/duration.ts';
import { createMemoryTransport } from '../../transport/memory.ts';
import { createManualClock, type ManualClock } from '../manual-clock.ts';
import { DeliveriesLog } from './deliveries-log.ts';
import { createMemoryConsumers } from './memory-consumers.ts';
import { createMemoryOutbox } from './memory-outbox.ts';
import { MemoryRelay } from './memory-relay.ts';
import { absentTransaction, beginStandIn, type StandIn } from './memory-unit-of-work.ts';
import { MemoryDatabase } from './memory-work.ts';
import { createMessageTest, type MessageTest } from './message-test.ts';
import { checkMessageTest, type MessageTestOptions } from './message-test-options.ts';
import { routesOf } from './routes-of.ts';
import { SentLog } from './sent-log.ts';
import { Activity, settleActivity } from './settling.ts';

/** Messages under test in memory. Made by {@link testMessages}. */
export interface MemoryMessageTest<Tx> extends MessageTest<Tx> {
  readonly clock: ManualClock;
  /** Moves the clock, from one due time to the next: retries, redrives of what is parked, delayed messages. Settles at each. */
  advance(by: Duration): Promise<void>;
  /** For handlers that take their time: ends when the clock has been moved so far. */
  sleep(duration: Duration): Promise<void>;
}

/**
 * A service's messages without PostgreSQL and without a broker: what is sent through `outbox` travels to the consumers when its transaction
 * commits. Outbox, retries, duplicates, parking and order are as in production. Nothing has to be started or closed.
 *
 * @throws HoldfastError HF_CONFIG, HF_OPTION_UNKNOWN, HF_DURATION, HF_SAGA_DEFINITION
 * @example
 * const handled: string[] = [];
 * const test = testMessages({
 *   consumers: { shipping: { handlers: [on(OrderPlaced, ({ orderId }) => handled.push(orderId))] } },
 * });
 * await test.send(OrderPlaced, { orderId: 'o-1', total: 12 });
 * const { outcomes } = await test.deliver(OrderPlaced, { orderId: 'o-2', total: 1 }, { times: 2 });
 * console.log(handled, outcomes); // the second copy is a duplicate
 */
export function testMessages<Tx = TransactionHandle>(options: MessageTestOptions<Tx> = {}): MemoryMessageTest<Tx> {
  checkMessageTest(options, ['transaction', 'endTransaction', 'random', 'startAt'], 'testMessages');
  const clock = createManualClock(options.startAt);
  const activity = new Activity();
  const waits = activity.counting(clock);
  const database = new MemoryDatabase(() => clock.now());
  const transport = createMemoryTransport({ clock });
  const sent = new SentLog();
  const log = new DeliveriesLog(() => activity.note());
  const router = createRouter(routesOf(options), 'testMessages');
  const relay = new MemoryRelay(router, transport.publisher(), sent, () => clock.now());
  const outbox = createMemoryOutbox(database, (message) => {
    relay.take(message);
    activity.note();
  });
  const standIn = standInOf<Tx>(options);
  const { random = () => 0.5 } = options;
  const parts = createMemoryConsumers({ database, standIn, transport, outbox, log, activity, clock, random }, options);
  const withinMs = parseDuration(options.settleWithin ?? '2s', 'testMessages: settleWithin');
  let started: Promise<void> | null = null;

  async function pump(): Promise<void> {
    await relay.pump();
    parts.redriveDue();
  }

  async function settle(): Promise<void> {
    started ??= parts.start();
    await started;
    await settleActivity(activity, pump, withinMs);
  }

  const test = createMessageTest<Tx>(
    {
      outbox,
      sent,
      log,
      publisher: transport.publisher(),
      now: () => clock.now(),
      queuesOf: (topic) => router.destinations(topic).map(({ name }) => name),
      settle,
      async transaction(fn) {
        const { tx, commit, rollback } = beginStandIn(database, standIn);
        try {
          const value = await fn(tx);
          commit();
          return value;
        } finally {
          rollback();
        }
      },
    },
    options.redact ?? [],
    'testMessages',
  );
  return withoutCopying(test, {
    clock,
    async advance(by: Duration) {
      const targetMs = clock.monotonic() + parseDuration(by, 'advance');
      for (;;) {
        await test.settle();
        const dueAt = Math.min(relay.nextDueAt, parts.nextDueAt);
        const nextMs = Math.min(clock.nextDueMs, clock.monotonic() + Math.max(0, dueAt - clock.now()));
        if (nextMs > targetMs) break;
        await clock.advance(Math.max(0, nextMs - clock.monotonic()));
      }
      await clock.advance(targetMs - clock.monotonic());
      await test.settle();
    },
    sleep: (duration: Duration) => waits.sleep(parseDuration(duration, 'sleep')),
  });
}

/** Together, with the getters of the first still asked each time. */
function withoutCopying<A extends object, B extends object>(first: A, second: B): A & B {
  return Object.defineProperties(second, Object.getOwnPropertyDescriptors(first)) as A & B;
}

function standInOf<Tx>({ transaction, endTransaction }: MessageTestOptions<Tx>): StandIn<Tx> {
  const absent = (): Tx =>
    absentTransaction(
      'A handler or a service',
      'Give `transaction: () => …` a stand-in, or test it with testMessagesOn.',
    ) as Tx;
  return { transaction: transaction ?? absent, endTransaction: endTransaction ?? null };
}
