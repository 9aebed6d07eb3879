/**
 * The duties of the port, on a RabbitMQ of one node, and what is special to RabbitMQ while all is well. Faults: rabbitmq-faults.test.ts.
 */
import { connect } from 'amqplib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startRabbitmq, type RabbitmqServer } from '../../../src/servers/rabbitmq.ts';
import { describeTransport } from '../../../src/testing/transport/describe-transport.ts';
import {
  ACKNOWLEDGED,
  destinationName,
  NEVER,
  numbers,
  outbound,
  recorder,
  silentServer,
} from '../../../src/testing/transport/kit.ts';
import { createRabbitmqTransport } from '../../../src/transport/rabbitmq/rabbitmq-transport.ts';
import type { RabbitmqQueueLayout, RabbitmqTransportOptions } from '../../../src/transport/rabbitmq/options.ts';
import type { Transport, Verdict } from '../../../src/transport/port.ts';
import { eventually } from '../../support/eventually.ts';
import { countsOf, openTransport, receiveFrom } from './bench.ts';

const START_MS = 180_000;
let server: RabbitmqServer;
beforeAll(async () => {
  server = await startRabbitmq();
}, START_MS);
afterAll(() => server.dispose());

// RabbitMQ must know before the first message what is ordered, so that there are two kinds of queues to be tried.
for (const ordered of [true, false])
  describeTransport(`rabbitmq, ${ordered ? 'ordered' : 'unordered'} queues`, async () => {
    const silent = await silentServer();
    const make = (options: Partial<RabbitmqTransportOptions> = {}): Transport =>
      createRabbitmqTransport({
        connection: server.url,
        prefix: `${ordered}.`,
        publishTimeout: '60s',
        otherQueues: { ordered },
        ...options,
      });
    return {
      make: ({ queues = {} } = {}) => {
        const layouts = Object.entries(queues).map(([name, { partitions }]) => [name, { partitions, ordered }]);
        return make({ queues: Object.fromEntries(layouts) as Record<string, RabbitmqQueueLayout> });
      },
      unreachable: () => make({ connection: 'amqp://127.0.0.1:1' }),
      hanging: () => make({ connection: `amqp://127.0.0.1:${silent.port}` }),
      refusing: () => ({
        transport: make({ maxMessageBytes: 2000 }),
        spoil: (message) => ({ ...message, wire: JSON.stringify({ filler: 'x'.repeat(2000) }) }),
      }),
      async plant(destination, text, publisher) {
        await publisher.publish([outbound(destination, 0)], { signal: NEVER });
        const client = await connect(server.url);
        const channel = await client.createConfirmChannel();
        const queue = `${ordered}.${destination}`;
        await channel.purgeQueue(queue);
        channel.sendToQueue(queue, Buffer.from(text), { persistent: true });
        await channel.waitForConfirms();
        await client.close();
      },
      dispose: () => silent.close(),
    };
  });

describe('an unordered destination', () => {
  it('is shared by several consumers, each with as many as it was told', async () => {
    const destination = destinationName();
    const { transport } = openTransport(server.url);
    const release: (() => void)[] = [];
    const readers = [0, 1].map(() =>
      recorder(() => new Promise<Verdict>((done) => release.push(() => done(ACKNOWLEDGED)))),
    );
    for (const { handle } of readers)
      await receiveFrom(openTransport(server.url).transport, destination, handle, { concurrency: 3 });
    await transport.publisher().publish(
      Array.from({ length: 12 }, (_, n) => outbound(destination, n)),
      { signal: NEVER },
    );
    await Promise.all(readers.map((reader) => reader.until((seen) => seen.length === 3)));
    const all = () => readers.flatMap(({ seen }) => numbers(seen));
    while (all().length < 12 || release.length > 0) {
      release.shift()?.();
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(new Set(all()).size).toBe(12);
    expect(all()).toHaveLength(12);
  });

  it('has the broker keep what is to come later, for whoever reads then, and does not count it', async () => {
    const destination = destinationName();
    const { transport } = openTransport(server.url);
    await transport.publisher().publish([outbound(destination, 1), outbound(destination, 2)], { signal: NEVER });
    const first = recorder(({ n }) => (n === 1 ? { kind: 'later', delayMs: 700 } : ACKNOWLEDGED));
    const receiver = await receiveFrom(transport, destination, first.handle);
    await first.until((seen) => seen.length === 2);
    // It lies in the queue for a second, and no longer in that of the destination.
    const delaying = `holdfast.${destination}:later:1000`;
    await eventually('it to be put back', async () => (await countsOf(server.url, delaying))?.messageCount === 1);
    expect(await receiver.look?.({ signal: NEVER })).toMatchObject({ delayed: 1, waiting: 0, active: 0 });
    await receiver.stop();
    const second = recorder();
    await receiveFrom(openTransport(server.url).transport, destination, second.handle);
    await second.until((seen) => seen.length === 1);
    expect(second.seen[0]).toMatchObject({ n: 1, delivery: { redeliveries: 0 } });
    expect(second.seen[0]?.delivery.wire).toBe(first.seen.find(({ n }) => n === 1)?.delivery.wire);
  });
});
