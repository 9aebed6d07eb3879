/**
 * What tests of the RabbitMQ transport are made of: transports that are closed after the test, and a client that looks into queues by itself.
 */
import { connect, type ConfirmChannel, type Replies } from 'amqplib';
import { onTestFinished } from 'vitest';
import { outbound } from '../../../src/testing/transport/kit.ts';
import type { RabbitmqSettings, RabbitmqTransportOptions } from '../../../src/transport/rabbitmq/options.ts';
import { createRabbitmqTransport } from '../../../src/transport/rabbitmq/rabbitmq-transport.ts';
import { QueueReceiving } from '../../../src/transport/rabbitmq/receiving.ts';
import type { Delivery, OutboundMessage, Transport, Verdict } from '../../../src/transport/port.ts';

export interface BenchTransport {
  readonly transport: Transport;
  /** What was told to onError. */
  readonly errors: readonly Error[];
}

export function openTransport(connection: string, more: Partial<RabbitmqTransportOptions> = {}): BenchTransport {
  const errors: Error[] = [];
  const onError = (error: Error): void => void errors.push(error);
  // Patient with a slow broker: where its silence matters, a test says so.
  const transport = createRabbitmqTransport({ connection, publishTimeout: '60s', onError, ...more });
  onTestFinished(() => transport.close());
  return { transport, errors };
}

/** A channel of the plain client, for what Holdfast would not do. */
export async function plainChannel(url: string): Promise<ConfirmChannel> {
  const client = await connect(url);
  client.on('error', () => {});
  onTestFinished(() => client.close().catch(() => {}));
  const channel = await client.createConfirmChannel();
  channel.on('error', () => {});
  return channel;
}

/** What the broker says of a queue. Null: there is no such queue. */
export async function countsOf(url: string, queue: string): Promise<Replies.AssertQueue | null> {
  const client = await connect(url);
  try {
    const channel = await client.createChannel();
    channel.on('error', () => {});
    return await channel.checkQueue(queue);
  } catch {
    return null;
  } finally {
    await client.close();
  }
}

/** With settings that are no options. */
export function receiveWith(
  settings: RabbitmqSettings,
  destination: string,
  handle: (delivery: Delivery) => Promise<Verdict>,
  ordered: boolean,
): void {
  const receiving = new QueueReceiving({ settings, destination, handle, options: { concurrency: 1, ordered } });
  onTestFinished(() => receiving.stop(undefined));
}

/** Numbered from nought. */
export function outboundMessages(destination: string, count: number, key: string | null = null): OutboundMessage[] {
  return Array.from({ length: count }, (_, n) => outbound(destination, n, { key }));
}
