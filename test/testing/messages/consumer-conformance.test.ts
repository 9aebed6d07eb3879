/**
 * Consumers on PostgreSQL and in memory pass one suite.
 */
import { randomUUID } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';
import { createConsumer } from '../../../src/inbox/consumer.ts';
import { handlersFor, on } from '../../../src/inbox/handlers/handler.ts';
import { createOutbox } from '../../../src/outbox/outbox.ts';
import { systemClock, type Clock } from '../../../src/runtime/clock.ts';
import { DeliveriesLog } from '../../../src/testing/messages/deliveries-log.ts';
import { memoryConsumer } from '../../../src/testing/messages/memory-consumers.ts';
import { createMemoryOutbox } from '../../../src/testing/messages/memory-outbox.ts';
import { MemoryDatabase } from '../../../src/testing/messages/memory-work.ts';
import { Activity } from '../../../src/testing/messages/settling.ts';
import { createMemoryTransport } from '../../../src/transport/memory.ts';
import { describeConsumer, type ConsumerHarness } from '../../conformance/consumer.ts';
import { openLab, Placed } from '../../inbox/lab.ts';

/** All waits are over at once. */
const hasty: Clock = { ...systemClock, sleep: async () => setImmediate() };

describeConsumer('on PostgreSQL', async (): Promise<ConsumerHarness> => {
  const lab = await openLab();
  await lab.test.pool.query('CREATE TABLE note (consumer text, what text, at bigserial)');
  return {
    make(handle, options = {}, handlerOptions) {
      const name = `c-${randomUUID()}`;
      const handler = on(
        Placed,
        (order, context) =>
          handle(order, {
            ...context,
            signal: context.signal,
            note: async (what) => {
              await context.tx.query('INSERT INTO note (consumer, what) VALUES ($1, $2)', [name, what]);
            },
          }),
        handlerOptions,
      );
      const outbox = createOutbox({ source: name });
      const consumer = createConsumer(name, {
        database: lab.database,
        transport: createMemoryTransport(),
        redeliveryHorizon: '1d',
        outbox,
        handlers: [handler],
        ...options,
        ...({ random: () => 0.5, clock: hasty } as object),
      });
      const all = async <Row extends object>(sql: string): Promise<readonly Row[]> =>
        (await lab.test.pool.query<Row>(sql, [name])).rows;
      return {
        consumer,
        effects: async () =>
          (await all<{ what: string }>('SELECT what FROM note WHERE consumer = $1 ORDER BY at')).map(
            ({ what }) => what,
          ),
        sent: async () =>
          (await all<{ id: string }>(`SELECT id FROM holdfast.outbox WHERE headers ->> 'source' = $1`)).map(
            ({ id }) => id,
          ),
        parked: () =>
          all(
            `SELECT message_id AS id, state, reason FROM holdfast.parked_delivery WHERE consumer = $1 ORDER BY position`,
          ),
        async makeDue() {
          await all(
            `UPDATE holdfast.parked_delivery SET next_attempt_at = now() WHERE consumer = $1 AND state = 'failed'`,
          );
        },
      };
    },
    dispose: () => lab.dispose(),
  };
});

describeConsumer('in memory', async (): Promise<ConsumerHarness> => ({
  make(handle, options = {}, handlerOptions) {
    let shiftMs = 0;
    const clock: Clock = { ...hasty, now: () => systemClock.now() + shiftMs };
    const database = new MemoryDatabase(() => clock.now());
    const effects: string[] = [];
    const sent: string[] = [];
    const handler = handlersFor<string[]>()(
      Placed,
      (order, context) =>
        handle(order, { ...context, signal: context.signal, note: async (what) => void context.tx.push(what) }),
      handlerOptions,
    );
    const { crashPoint, ...given } = options;
    const { consumer, parked } = memoryConsumer(
      {
        database,
        transport: createMemoryTransport(),
        outbox: createMemoryOutbox(database, ({ id }) => sent.push(id)),
        log: new DeliveriesLog(() => {}),
        activity: new Activity(),
        clock,
        random: () => 0.5,
        crashPoint,
        standIn: {
          transaction: (): string[] => [],
          endTransaction: (tx, outcome) => void (outcome === 'commit' && effects.push(...tx)),
        },
      },
      `c-${randomUUID()}`,
      { redeliveryHorizon: '1d', handlers: [handler], ...given },
    );
    return {
      consumer,
      effects: async () => effects,
      sent: async () => sent,
      parked: async () => parked.rows.map(({ messageId: id, state, reason }) => ({ id, state, reason })),
      makeDue: async () => void (shiftMs += 60_000),
    };
  },
  dispose: async () => {},
}));
