/**
 * relay.drain.bullmq: how fast a backlog gets into a BullMQ queue, beside raw addBulk with the same payloads, which has no database to
 * read and nothing to remember.
 */
import { Redis } from 'ioredis';
import { openDatabase } from '../src/postgres/database.ts';
import { createRelay } from '../src/relay/relay.ts';
import { CHUNK_MESSAGES } from '../src/transport/bullmq/batch.ts';
import { createBullmqTransport } from '../src/transport/bullmq/redis-transport.ts';
import type { OutboundMessage, Transport } from '../src/transport/port.ts';
import { addAllInBulk, type RawJob } from './rivals/add-bulk.ts';
import { alternate, figure, median, round, type Benchmark } from './support/figure.ts';
import { noopSink } from './support/sink.ts';
import { fillOutbox } from './support/workload.ts';

const BULLMQ = 'relay.drain.bullmq';
const QUEUE = 'sink';

export const drainBullmq: Benchmark = {
  names: [BULLMQ],

  async run({ quick, servers, note }) {
    const messages = quick ? 3_000 : 30_000;
    const rounds = quick ? 1 : 7;
    const redis = await servers.redis();
    const bench = await servers.database();
    const admin = new Redis(redis.url);
    try {
      await fillOutbox(bench.database, messages);
      await bench.settle();
      const jobs = await rawJobs(bench.url, messages);
      const byRelay = async (subscription: string): Promise<void> => {
        const transport = createBullmqTransport({ connection: redis.url, prefix: 'bull' });
        await drainInto(counting(transport, messages), bench.url, subscription);
        await transport.close();
      };
      const contestants = [
        { name: 'holdfast', rates: [] as number[], run: byRelay },
        { name: 'addBulk', rates: [] as number[], run: () => addAllInBulk(redis.url, QUEUE, jobs, CHUNK_MESSAGES) },
      ];
      for (let index = quick ? 0 : -1; index < rounds; index += 1) {
        for (const { name, rates, run } of alternate(contestants, Math.abs(index))) {
          await admin.flushall();
          const startedAt = performance.now();
          await run(`round${index + 1}`);
          const rate = (messages / (performance.now() - startedAt)) * 1000;
          const waiting = await admin.llen(`bull:${QUEUE}:wait`);
          if (waiting !== messages) throw new Error(`${name}: ${waiting} jobs are waiting, not ${messages}`);
          // The first round warms up.
          if (index >= 0) rates.push(rate);
          note(`bullmq, ${index < 0 ? 'warm-up' : `round ${index + 1}`}: ${name} ${round(rate)} msg/s`);
        }
      }
      const [ours, raw] = contestants.map(({ rates }) => median(rates)) as [number, number];
      return [
        figure(
          {
            bench: BULLMQ,
            value: ours,
            unit: 'msg/s',
            against: 'addBulk',
            againstValue: raw,
            target: { atLeast: 0.85 },
          },
          { messages, rounds, chunk: CHUNK_MESSAGES },
        ),
      ];
    } finally {
      admin.disconnect();
      await bench.drop();
    }
  },
};

interface CountedTransport {
  readonly transport: Transport;
  readonly done: Promise<void>;
}

/** The transport, and when it has taken `messages`. */
function counting(transport: Transport, messages: number): CountedTransport {
  let left = messages;
  let finish: () => void;
  const done = new Promise<void>((resolve) => {
    finish = resolve;
  });
  const publisher = transport.publisher();
  return {
    done,
    transport: {
      ...transport,
      publisher: () => ({
        ...publisher,
        async publish(batch, options) {
          const outcomes = await publisher.publish(batch, options);
          left -= batch.length;
          if (left <= 0) finish();
          return outcomes;
        },
      }),
    },
  };
}

async function drainInto({ transport, done }: CountedTransport, url: string, subscription: string): Promise<void> {
  const database = openDatabase({ url });
  const relay = createRelay({
    database,
    subscriptions: [{ name: subscription, transport, routes: [{ topics: '**', to: QUEUE }] }],
  });
  await relay.start();
  await done;
  await relay.stop();
  await database.close();
}

/** The jobs that the relay will make of the log, as somebody without a relay would give them to BullMQ. */
async function rawJobs(url: string, messages: number): Promise<readonly RawJob[]> {
  const all: OutboundMessage[] = [];
  const sink = noopSink((batch) => all.push(...batch));
  await drainInto({ transport: sink.transport, done: sink.reached(messages) }, url, 'jobs');
  return all.map(({ id, topic, wire }) => ({
    name: topic,
    data: JSON.parse(wire) as object,
    opts: { jobId: id, removeOnComplete: true },
  }));
}
