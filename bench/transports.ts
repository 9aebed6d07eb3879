/**
 * transports: what each broker carries by our transport, beside its client used by hand: publish and consume, messages a second and processor
 * time of a message, in the process and in the broker.
 */
import { isHoldfastError } from '../src/errors.ts';
import { startNats } from '../src/servers/nats.ts';
import { startRabbitmq } from '../src/servers/rabbitmq.ts';
import { startRedis } from '../src/servers/redis.ts';
import { createBullmqTransport } from '../src/transport/bullmq/redis-transport.ts';
import { createNatsTransport } from '../src/transport/nats/nats-transport.ts';
import { createRabbitmqTransport } from '../src/transport/rabbitmq/rabbitmq-transport.ts';
import { createRedisStreamsTransport } from '../src/transport/redis-streams/redis-streams-transport.ts';
import { bullmqByHand } from './rivals/bullmq-by-hand.ts';
import { natsByHand } from './rivals/nats-by-hand.ts';
import { rabbitmqByHand } from './rivals/rabbitmq-by-hand.ts';
import { streamsByHand } from './rivals/streams-by-hand.ts';
import { ourCarrier, type Carrier } from './support/carrier.ts';
import { alternate, figure, median, round, type Benchmark, type Figure } from './support/figure.ts';
import { type Passage, type PassageRow, passageTable } from './support/passage-table.ts';
import { childrenCpuMs } from './support/server-cpu.ts';
import { orderMessage } from './support/workload.ts';

const NAME = 'transports';
const OURS = 'orders';
const RAW = 'orders-by-hand';
/** As many as the relay gives to a publisher at once. */
const PUBLISHED_AT_ONCE = 1000;

interface Broker {
  readonly of: string;
  start(): Promise<{ readonly url: string; dispose(): Promise<void> }>;
  ours(url: string): Carrier;
  byHand(url: string): Carrier | Promise<Carrier>;
}

const BROKERS: readonly Broker[] = [
  {
    of: 'bullmq-redis',
    start: startRedis,
    ours: (connection) => ourCarrier(createBullmqTransport({ connection }), OURS),
    byHand: (url) => bullmqByHand(url, RAW),
  },
  {
    of: 'redis-streams',
    start: startRedis,
    ours: (connection) => ourCarrier(createRedisStreamsTransport({ connection }), OURS),
    byHand: (url) => streamsByHand(url, RAW),
  },
  {
    of: 'nats',
    start: startNats,
    ours: (connection) => ourCarrier(createNatsTransport({ connection }), OURS),
    byHand: (url) => natsByHand(url, RAW),
  },
  {
    of: 'rabbitmq',
    start: startRabbitmq,
    ours: (connection) => ourCarrier(createRabbitmqTransport({ connection }), OURS),
    byHand: (url) => rabbitmqByHand(url, RAW),
  },
];

export const transports: Benchmark = {
  names: [NAME],

  async run({ quick, note }) {
    const sizes = quick ? { messages: 1_000, rounds: 1 } : { messages: 20_000, rounds: 3 };
    const figures: Figure[] = [];
    const rows: PassageRow[] = [];
    for (const broker of BROKERS) {
      try {
        const row = await compare(broker, sizes, note);
        rows.push(row);
        figures.push(...figuresOf(row, sizes));
      } catch (error) {
        if (!isHoldfastError(error, 'HF_SERVER_MISSING')) throw error;
        note(`transports, ${broker.of}: left out. ${error.message}`);
      }
    }
    note(passageTable(rows));
    return figures;
  },
};

interface Sizes {
  readonly messages: number;
  readonly rounds: number;
}

async function compare(broker: Broker, { messages, rounds }: Sizes, note: (text: string) => void): Promise<PassageRow> {
  const server = await broker.start();
  const ours = broker.ours(server.url);
  const byHand = await broker.byHand(server.url);
  const passages = new Map<Carrier, Passage[]>([
    [ours, []],
    [byHand, []],
  ]);
  try {
    for (let index = -1; index < rounds; index += 1) {
      for (const carrier of alternate([ours, byHand], Math.abs(index))) {
        const passage = await carry(carrier, carrier === ours ? OURS : RAW, messages);
        // The first round warms up.
        if (index >= 0) passages.get(carrier)?.push(passage);
        const which = index < 0 ? 'warm-up' : `round ${index + 1}`;
        const { publishPerSecond, consumePerSecond } = passage;
        note(
          `transports, ${broker.of}, ${which}: ${carrier.name} publish ${round(publishPerSecond)}, consume ${round(consumePerSecond)} msg/s`,
        );
      }
    }
  } finally {
    await ours.close();
    await byHand.close();
    await server.dispose();
  }
  return { of: broker.of, ours: middleOf(passages.get(ours) ?? []), byHand: middleOf(passages.get(byHand) ?? []) };
}

/** Both ways together, and the way out alone. */
function figuresOf({ of, ours, byHand }: PassageRow, { messages, rounds }: Sizes): Figure[] {
  const line = (value: number, againstValue: number, more: Readonly<Record<string, unknown>>): Figure =>
    figure({ bench: NAME, value, unit: 'msg/s', against: 'by-hand', againstValue, target: { atLeast: 0.85 } }, more);
  return [
    line(ours.perSecond, byHand.perSecond, { of, holdfast: rounded(ours), byHand: rounded(byHand), messages, rounds }),
    line(ours.consumePerSecond, byHand.consumePerSecond, { of, way: 'out', messages, rounds }),
  ];
}

async function carry(carrier: Carrier, destination: string, count: number): Promise<Passage> {
  const messages = Array.from({ length: count }, (_, n) => orderMessage(destination, n));
  const publishing = used();
  for (let from = 0; from < count; from += PUBLISHED_AT_ONCE)
    await carrier.publish(messages.slice(from, from + PUBLISHED_AT_ONCE));
  const publish = publishing();
  const consuming = used();
  const consumeMs = await consumeAll(carrier, count);
  const consume = consuming();
  await untilEmpty(carrier);
  return {
    perSecond: (count / (publish.tookMs + consumeMs)) * 1000,
    publishPerSecond: (count / publish.tookMs) * 1000,
    consumePerSecond: (count / consumeMs) * 1000,
    processUs: ((publish.processMs + consume.processMs) / count) * 1000,
    brokerUs: ((publish.brokerMs + consume.brokerMs) / count) * 1000,
    consumeProcessUs: (consume.processMs / count) * 1000,
    consumeBrokerUs: (consume.brokerMs / count) * 1000,
  };
}

/** Until what it gives is called: the time, and the processor time of this process and of the servers below it. */
function used(): () => { readonly tookMs: number; readonly processMs: number; readonly brokerMs: number } {
  const [startedAt, processFrom, brokerFrom] = [performance.now(), process.cpuUsage(), childrenCpuMs()];
  return () => {
    const { user, system } = process.cpuUsage(processFrom);
    return {
      tookMs: performance.now() - startedAt,
      processMs: (user + system) / 1000,
      brokerMs: childrenCpuMs() - brokerFrom,
    };
  };
}

/** From the start of a consumer to the last message, in ms. */
async function consumeAll(carrier: Carrier, count: number): Promise<number> {
  let taken = 0;
  let withoutEnvelope = 0;
  let finish = (): void => {};
  const finished = new Promise<void>((resolve) => (finish = resolve));
  const startedAt = performance.now();
  const stop = await carrier.consume((envelope) => {
    if (envelope === undefined) withoutEnvelope += 1;
    taken += 1;
    if (taken === count) finish();
  });
  await finished;
  const tookMs = performance.now() - startedAt;
  await stop();
  if (withoutEnvelope > 0) throw new Error(`${carrier.name} handed out ${withoutEnvelope} messages without envelope`);
  if (taken !== count) throw new Error(`${carrier.name} handed out ${taken} of ${count} messages`);
  return tookMs;
}

/** What is acknowledged may take a moment to be gone. */
async function untilEmpty(carrier: Carrier): Promise<void> {
  const until = performance.now() + 10_000;
  for (;;) {
    const left = await carrier.left();
    if (left === 0) return;
    if (performance.now() > until) throw new Error(`${carrier.name} left ${left} messages in the broker`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

function middleOf(passages: readonly Passage[]): Passage {
  const of = (name: keyof Passage): number => median(passages.map((passage) => passage[name]));
  return {
    perSecond: of('perSecond'),
    publishPerSecond: of('publishPerSecond'),
    consumePerSecond: of('consumePerSecond'),
    processUs: of('processUs'),
    brokerUs: of('brokerUs'),
    consumeProcessUs: of('consumeProcessUs'),
    consumeBrokerUs: of('consumeBrokerUs'),
  };
}

function rounded(passage: Passage): Passage {
  return Object.fromEntries(Object.entries(passage).map(([name, value]) => [name, round(value as number)])) as never;
}
