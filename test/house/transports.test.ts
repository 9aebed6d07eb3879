/** The table of docs/transports.md by which people choose says what the transports say of themselves. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import type { TransportAbilities } from '../../src/transport/abilities.ts';
import { createBullmqPostgresTransport } from '../../src/transport/bullmq/postgres-transport.ts';
import { createBullmqTransport } from '../../src/transport/bullmq/redis-transport.ts';
import { createKafkaTransport } from '../../src/transport/kafka/kafka-transport.ts';
import { createMemoryTransport } from '../../src/transport/memory.ts';
import { createNatsTransport } from '../../src/transport/nats/nats-transport.ts';
import type { Transport } from '../../src/transport/port.ts';
import { createRabbitmqTransport } from '../../src/transport/rabbitmq/rabbitmq-transport.ts';
import { createRedisStreamsTransport } from '../../src/transport/redis-streams/redis-streams-transport.ts';
import { createWebhookTransport } from '../../src/transport/webhooks/webhook-transport.ts';
import { ROOT } from './source-files.ts';

const redis = { connection: 'redis://127.0.0.1:1' };
const nats = { connection: 'nats://127.0.0.1:1' };
const rabbitmq = { connection: 'amqp://127.0.0.1:1' };

/** By the names of the table. */
const TRANSPORTS: Readonly<Record<string, Transport>> = {
  'BullMQ on Redis': createBullmqTransport(redis),
  'BullMQ on PostgreSQL': createBullmqPostgresTransport({ connection: 'postgres://127.0.0.1:1/none' }),
  'Redis Streams': createRedisStreamsTransport(redis),
  NATS: createNatsTransport(nats),
  'NATS, `replicas: 3`': createNatsTransport({ ...nats, replicas: 3 }),
  RabbitMQ: createRabbitmqTransport(rabbitmq),
  'RabbitMQ, `ordered: true`': createRabbitmqTransport({ ...rabbitmq, queues: { shipping: { ordered: true } } }),
  Kafka: createKafkaTransport({ brokers: ['127.0.0.1:1'] }),
  webhooks: createWebhookTransport({ endpoints: () => null }),
  memory: createMemoryTransport(),
};

const KEPT_BY = { broker: 'broker', consumer: 'consumer', none: 'nobody' } as const;
const ACKNOWLEDGED = {
  process: 'in this process',
  settings: 'as safe as the broker is set up',
  disk: 'on a disk',
  majority: 'with most of its servers',
} as const;
const MIB = 1024 * 1024;

function wordsOf({
  receives,
  orders,
  deduplicates,
  delays,
  maxMessageBytes,
  durability,
}: TransportAbilities): string[] {
  const again = { never: 'twice', 'while-queued': 'once while queued' } as const;
  return [
    receives ? 'both' : 'sends',
    orders ? 'yes' : 'no',
    typeof deduplicates === 'string' ? again[deduplicates] : `once within ${deduplicates.withinMs / 1000} s`,
    KEPT_BY[delays],
    maxMessageBytes === null ? "the broker's" : sizeOf(maxMessageBytes),
    ACKNOWLEDGED[durability],
  ];
}

const sizeOf = (bytes: number): string =>
  bytes % MIB === 0 ? `${bytes / MIB} MiB` : `${bytes.toLocaleString('en')} bytes`;

it('says of each what it says of itself', () => {
  const page = readFileSync(join(ROOT, 'docs/transports.md'), 'utf8');
  const [, section = ''] = /^## What each can do\n([^]+?)^## /m.exec(page) ?? [];
  const [, , ...rows] = section.split('\n').filter((line) => line.startsWith('|'));
  const said = rows.map((row) =>
    row
      .slice(1, -1)
      .split('|')
      .map((cell) => cell.trim()),
  );
  const meant = Object.entries(TRANSPORTS).map(([name, { abilities }]) => [
    name,
    ...(abilities === undefined ? [] : wordsOf(abilities)),
  ]);
  expect(said).toEqual(meant);
});
