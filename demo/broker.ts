/**
 * The message broker, one of several. All processes are given the same settings.
 */
import { createBullmqPostgresTransport, createBullmqTransport } from '../src/doors/bullmq.ts';
import { createNatsTransport } from '../src/doors/nats.ts';
import { createRabbitmqTransport } from '../src/doors/rabbitmq.ts';
import { createRedisStreamsTransport } from '../src/doors/redis-streams.ts';
import { openDatabase, type FoundQueue, type Transport } from '../src/index.ts';
import { queuesOnPostgres } from '../src/operations/doctor/postgres-queues.ts';
import { REPLIES } from './messages.ts';
import { SERVICE_NAMES } from './world.ts';

/** By the names that --transport takes, and what the screen calls them. */
export const BROKERS = {
  redis: 'BullMQ on Redis',
  'redis-cluster': 'BullMQ on a Redis Cluster of three masters and three replicas',
  'redis-streams': 'streams of Redis',
  nats: 'NATS JetStream',
  'nats-cluster': 'a NATS JetStream cluster of three',
  rabbitmq: 'RabbitMQ',
  'rabbitmq-cluster': 'a RabbitMQ cluster of three',
  postgres: 'BullMQ on PostgreSQL',
} as const;
export type BrokerKind = keyof typeof BROKERS;

export interface Broker {
  readonly kind: BrokerKind;
  /** Several servers of a cluster are separated by blanks. */
  readonly url: string;
  /**
   * How long a consumer has a message before it goes to another one, unless it renews that. BullMQ and NATS alone.
   *
   * @defaultValue CLAIM
   */
  readonly claim?: `${number}ms` | `${number}s`;
}

/** An ordered consumer has one message of a partition at a time, or of a key. */
const PARTITIONS = 8;
/** The one destination of the demo whose consumer is ordered. */
const ORDERED = ['orders'] as const;

/** Much shorter than one would have them in earnest, so that messages of a killed process come again within two seconds. */
const CLAIM = '1500ms';
const LOOK = '500ms';

/** @param ordered destinations whose consumers are ordered */
export function openTransport(
  { kind, url, claim = CLAIM }: Broker,
  onError: (error: Error) => void,
  ordered: readonly string[] = ORDERED,
): Transport {
  const urls = url.split(' ');
  const layoutsOf = <Layout>(layout: Layout): Readonly<Record<string, Layout>> =>
    Object.fromEntries(ordered.map((name) => [name, layout]));
  const queues = layoutsOf({ partitions: PARTITIONS });
  const bullmq = { connection: url, queues, lockDuration: claim, stalledInterval: LOOK, onError } as const;
  switch (kind) {
    case 'redis':
    case 'redis-cluster':
      return createBullmqTransport(bullmq);
    case 'redis-streams':
      return createRedisStreamsTransport(bullmq);
    case 'nats':
    case 'nats-cluster':
      return createNatsTransport({
        connection: urls,
        queues,
        replicas: kind === 'nats' ? 1 : 3,
        claimDuration: claim,
        onError,
      });
    case 'rabbitmq':
    case 'rabbitmq-cluster':
      return createRabbitmqTransport({
        connection: urls,
        queues: layoutsOf({ partitions: PARTITIONS, ordered: true }),
        onError,
      });
    case 'postgres':
      return createBullmqPostgresTransport(bullmq);
  }
}

export interface Backlog {
  /** Messages that are queued, delayed or being handled, as far as the broker tells. */
  count(): Promise<number>;
  close(): Promise<void>;
}

/** A broker that was just killed is not asked for longer. */
const PATIENCE_MS = 5_000;

/** @param more destinations besides those of the demo, and which are ordered */
export function openBacklog(
  broker: Broker,
  more: { readonly known: readonly string[]; readonly ordered: readonly string[] } = { known: [], ordered: [] },
): Backlog {
  const known = [...SERVICE_NAMES, REPLIES, ...more.known];
  const sum = (queues: readonly FoundQueue[]): number =>
    queues.reduce((total, { state }) => total + state.waiting + state.active + state.delayed, 0);
  if (broker.kind === 'postgres') {
    const database = openDatabase({ url: broker.url, max: 1 });
    return { count: async () => sum(await queuesOnPostgres(database)), close: () => database.close() };
  }
  const transport = openTransport(broker, () => {}, [...ORDERED, ...more.ordered]);
  return {
    async count() {
      const found = await transport.queues?.({ signal: AbortSignal.timeout(PATIENCE_MS), known });
      return sum(found?.queues ?? []);
    },
    close: () => transport.close(),
  };
}
