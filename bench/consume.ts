/**
 * inbox.consume: messages handled a second, each with one row written exactly once, beside the same by hand on the same transport.
 * Over BullMQ, which is what services use, and in memory, where the broker costs nothing and the difference shows most.
 */
import { randomUUID } from 'node:crypto';
import { createConsumer } from '../src/inbox/consumer.ts';
import { on } from '../src/inbox/handlers/handler.ts';
import { openDatabase, type Database } from '../src/postgres/database.ts';
import { createBullmqTransport } from '../src/transport/bullmq/redis-transport.ts';
import { createMemoryTransport } from '../src/transport/memory.ts';
import type { Transport } from '../src/transport/port.ts';
import { handleByHand, INBOX_SCHEMA, INBOX_TABLE } from './rivals/inbox-loop.ts';
import { alternate, figure, median, round, type Benchmark, type Figure } from './support/figure.ts';
import { OrderPlaced, orderMessage, type Order } from './support/workload.ts';

const CONSUME = 'inbox.consume';
const CONCURRENCY = 16;
/**
 * With `batch` these are transactions, of up to twenty messages each. A few keep a server that is near busy; with a network before it a
 * transaction mostly waits, so there are as many as by hand has.
 */
const batchConcurrency = (rttMs: number): number => (rttMs > 0 ? CONCURRENCY : 4);
/** Of one call of the publisher. */
const PUBLISHED_AT_ONCE = 1000;

/** What handlers write to. */
export const SHIPMENTS =
  'CREATE TABLE public.shipment (order_id text NOT NULL, customer_id text NOT NULL, cents int NOT NULL)';
const SHIP = 'INSERT INTO public.shipment (order_id, customer_id, cents) VALUES ($1, $2, $3)';
const shipment = (placed: Order): unknown[] => [placed.orderId, placed.customerId, placed.totalCents];

export interface ConsumeContestant {
  readonly name: string;
  readonly rates: number[];
  /** Takes from the queue until told to stop; `handled` is called once for each message. */
  readonly start: (transport: Transport, queue: string, handled: () => void) => Promise<() => Promise<void>>;
}

export const consume: Benchmark = {
  names: [CONSUME],

  async run({ quick, rttMs, servers, note }) {
    const messages = quick ? 500 : 10_000;
    const rounds = quick ? 1 : 3;
    const redis = await servers.redis();
    const bench = await servers.database();
    const database = openDatabase({ url: bench.url, max: CONCURRENCY + 4 });
    const figures: Figure[] = [];
    try {
      await database.query(INBOX_SCHEMA);
      await database.query(SHIPMENTS);
      for (const kind of ['bullmq-redis', 'memory'] as const) {
        const contestants: readonly ConsumeContestant[] = [
          { name: 'holdfast', rates: [], start: startConsumer(database, { batch: false }) },
          {
            name: 'holdfast in batches',
            rates: [],
            start: startConsumer(database, { batch: true, concurrency: batchConcurrency(rttMs) }),
          },
          { name: 'by hand', rates: [], start: startByHand(database) },
        ];
        for (let index = -1; index < rounds; index += 1) {
          for (const contestant of alternate(contestants, Math.abs(index))) {
            await database.query(`TRUNCATE holdfast.inbox, ${INBOX_TABLE}, public.shipment`);
            const transport =
              kind === 'memory' ? createMemoryTransport() : createBullmqTransport({ connection: redis.url });
            // The first round warms up.
            const count = index < 0 ? Math.min(messages, 2_000) : messages;
            const rate = await consumeAll({ ...contestant, transport, messages: count });
            await transport.close();
            const shipped = await database.query<{ count: string }>('SELECT count(*) FROM public.shipment');
            if (Number(shipped.rows[0]?.count) !== count)
              throw new Error(`${contestant.name} shipped ${shipped.rows[0]?.count} of ${count}`);
            if (index >= 0) contestant.rates.push(rate);
            note(
              `consume ${kind}, ${index < 0 ? 'warm-up' : `round ${index + 1}`}: ${contestant.name} ${round(rate)} msg/s`,
            );
          }
        }
        const [ours, inBatches, byHand] = contestants.map(({ rates }) => median(rates)) as [number, number, number];
        const line = (value: number, atLeast: number, more: Readonly<Record<string, unknown>>): Figure =>
          figure(
            {
              bench: CONSUME,
              value,
              unit: 'msg/s',
              against: 'by-hand',
              againstValue: byHand,
              target: { atLeast },
            },
            { transport: kind, messages, rounds, ...more },
          );
        figures.push(
          line(ours, rttMs > 0 ? 1.25 : 1.05, { concurrency: CONCURRENCY }),
          line(inBatches, rttMs > 0 ? 4 : 3, { batch: true, concurrency: batchConcurrency(rttMs) }),
        );
      }
    } finally {
      await database.close();
      await bench.drop();
    }
    return figures;
  },
};

/** How many messages a second. */
export async function consumeAll({
  start,
  transport,
  messages,
}: {
  readonly start: ConsumeContestant['start'];
  readonly transport: Transport;
  readonly messages: number;
}): Promise<number> {
  const queue = `orders-${randomUUID()}`;
  await publishOrders(transport, queue, messages);
  let left = messages;
  let finish = (): void => {};
  const finished = new Promise<void>((resolve) => {
    finish = resolve;
  });
  const startedAt = performance.now();
  const stop = await start(transport, queue, () => {
    left -= 1;
    if (left === 0) finish();
  });
  await finished;
  const tookMs = performance.now() - startedAt;
  await stop();
  return (messages / tookMs) * 1000;
}

/** A consumer that writes a shipment for each message. */
export function startConsumer(
  database: Database,
  { batch, concurrency = CONCURRENCY }: { readonly batch: boolean; readonly concurrency?: number },
): ConsumeContestant['start'] {
  return async (transport, queue, handled) => {
    // A name stands for one queue, and each round has a queue of its own.
    const shipping = createConsumer(`shipping-${queue}`, {
      transport,
      database,
      destination: queue,
      concurrency,
      batch,
      handlers: [
        on(OrderPlaced, async (placed, { tx }) => {
          await tx.query(SHIP, shipment(placed));
          handled();
        }),
      ],
    });
    await shipping.start();
    return () => shipping.stop();
  };
}

function startByHand(database: Database): ConsumeContestant['start'] {
  return async (transport, queue, handled) => {
    const handle = handleByHand(database.pool, SHIP, shipment);
    const receiver = transport.receiver(
      queue,
      async (delivery) => {
        const verdict = await handle(delivery);
        handled();
        return verdict;
      },
      { concurrency: CONCURRENCY, ordered: false },
    );
    await receiver.start();
    return () => receiver.stop();
  };
}

async function publishOrders(transport: Transport, queue: string, messages: number): Promise<void> {
  const publisher = transport.publisher();
  const signal = new AbortController().signal;
  for (let from = 0; from < messages; from += PUBLISHED_AT_ONCE) {
    const batch = Array.from({ length: Math.min(PUBLISHED_AT_ONCE, messages - from) }, (_, index) =>
      orderMessage(queue, from + index),
    );
    const outcomes = await publisher.publish(batch, { signal });
    if (outcomes.some(({ kind }) => kind !== 'published')) throw new Error('a message was refused');
  }
}
