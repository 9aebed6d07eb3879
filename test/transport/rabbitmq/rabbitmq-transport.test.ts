/**
 * The duties of the port, on a RabbitMQ of one node, and what is special to RabbitMQ while all is well. Faults: rabbitmq-faults.test.ts.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
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
  publishAtLast,
  recorder,
  silentServer,
} from '../../../src/testing/transport/kit.ts';
import { createRabbitmqTransport } from '../../../src/transport/rabbitmq/rabbitmq-transport.ts';
import {
  type RabbitmqQueueLayout,
  type RabbitmqTransportOptions,
  resolveRabbitmqOptions,
} from '../../../src/transport/rabbitmq/options.ts';
import type { Transport, Verdict } from '../../../src/transport/port.ts';
import { eventually } from '../../support/eventually.ts';
import { programPath } from '../../support/programs.ts';
import { receiveFrom } from '../receive-from.ts';
import { countsOf, openTransport, outboundMessages, plainChannel, receiveWith } from './bench.ts';

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

describe('a stop', () => {
  it.each([
    ['of an unordered destination', false],
    ['of an ordered one', true],
  ])('%s gives back what was fetched and not handed out', async (_, ordered) => {
    const destination = destinationName();
    const queues = { [destination]: { ordered, partitions: 2 } };
    const { transport } = openTransport(server.url, { queues });
    const batch = Array.from({ length: 8 }, (__, n) => outbound(destination, n, { key: `k${n}` }));
    await transport.publisher().publish(batch, { signal: NEVER });
    let finish = (): void => {};
    const first = recorder(async () => {
      await new Promise<void>((resolve) => (finish = resolve));
      return ACKNOWLEDGED;
    });
    // One at a time; the broker has handed out more, which wait for that one.
    const receiver = await receiveFrom(transport, destination, first.handle, { ordered, ahead: () => 0 });
    await first.until((seen) => seen.length === 1);
    const stopped = receiver.stop();
    // The stop has begun; what ends before would make room for the next one.
    await new Promise((resolve) => setImmediate(resolve));
    finish();
    await stopped;
    expect(first.seen).toHaveLength(1);
    const rest = recorder();
    await receiveFrom(transport, destination, rest.handle, { ordered });
    await rest.until((seen) => seen.length === 7);
    expect(new Set([...numbers(first.seen), ...numbers(rest.seen)]).size).toBe(8);
    if (!ordered) expect(rest.seen.every(({ delivery }) => delivery.redeliveries === 0)).toBe(true);
  });
});

describe('an ordered destination', () => {
  it('hands out nothing but messages when its partitions change', async () => {
    const destination = destinationName();
    const of = (partitions: number) =>
      openTransport(server.url, { queues: { [destination]: { ordered: true, partitions } } }).transport;
    const got = recorder();
    await of(3)
      .publisher()
      .publish([outbound(destination, 0, { key: 'a' })], { signal: NEVER });
    await receiveFrom(of(2), destination, got.handle, { ordered: true });
    await got.until((seen) => seen.length === 1);
    await publishAtLast(of(2).publisher(), [outbound(destination, 1, { key: 'a' })]);
    await got.until((seen) => seen.some(({ n }) => n === 1));
    expect(numbers(got.seen)).toEqual([0, 1]);
  });
});

describe('messages of strangers', () => {
  it('are handed out whatever they carry', async () => {
    const destination = destinationName();
    const { transport } = openTransport(server.url);
    await transport.publisher().publish([outbound(destination, 1)], { signal: NEVER });
    const channel = await plainChannel(server.url);
    const headers = {
      'holdfast-redeliveries': 'many',
      'holdfast-rest': -5,
      'holdfast-fence': 'true',
      binary: Buffer.from([0, 255, 128]),
      nested: { deep: [1, null, { x: true }] },
    };
    channel.sendToQueue(`holdfast.${destination}`, Buffer.from([0xff, 0xfe, 0]), { persistent: true, headers });
    channel.sendToQueue(`holdfast.${destination}`, Buffer.alloc(0), { messageId: 'x'.repeat(255), type: '' });
    await channel.waitForConfirms();
    // And put back once, each.
    const tried = new Set<unknown>();
    const got = recorder(({ wire }) => {
      const key = JSON.stringify(wire);
      const again = !tried.has(key);
      tried.add(key);
      return again ? { kind: 'later', delayMs: 0 } : ACKNOWLEDGED;
    });
    await receiveFrom(transport, destination, got.handle);
    await got.until((seen) => seen.length === 6);
    expect(got.seen.every(({ delivery }) => delivery.redeliveries === 0)).toBe(true);
  });
});

describe('a consumer', () => {
  it('that is killed in the middle loses nothing, each death counts once, and later does not count', async () => {
    const destination = destinationName();
    const queues = { [destination]: { ordered: true } };
    const { transport } = openTransport(server.url, { queues });
    await transport.publisher().publish(outboundMessages(destination, 2, 'k'), { signal: NEVER });
    for (let death = 0; death < 2; death += 1) {
      const child = fork(programPath('rabbitmq-hanging-consumer.ts'), [server.url, destination]);
      const [message] = (await once(child, 'message')) as [unknown];
      expect(message).toEqual({ redeliveries: death });
      child.kill('SIGKILL');
      await once(child, 'exit');
    }
    const got = recorder((_, all) => (all.length <= 2 ? Promise.reject(new Error('handler broke')) : ACKNOWLEDGED));
    await receiveFrom(transport, destination, got.handle, { ordered: true });
    await got.until((seen) => seen.length === 4);
    expect(numbers(got.seen)).toEqual([0, 0, 0, 1]);
    expect(got.seen.map(({ delivery }) => delivery.redeliveries)).toEqual([2, 2, 2, 0]);
  });

  it('of an ordered queue holds on to a message for longer than RabbitMQ lets it, and lets nothing overtake', async () => {
    const destination = destinationName();
    const queues = { [destination]: { ordered: true } };
    const { transport } = openTransport(server.url, { queues });
    await transport.publisher().publish(outboundMessages(destination, 2, 'k'), { signal: NEVER });
    const at: number[] = [];
    const got = recorder((_, all) => {
      at.push(performance.now());
      return all.length === 1 ? { kind: 'later', delayMs: 900 } : ACKNOWLEDGED;
    });
    const settings = { ...resolveRabbitmqOptions({ connection: server.url, queues }), holdMostMs: 200 };
    receiveWith(settings, destination, got.handle, true);
    await got.until((seen) => seen.length === 3);
    expect(numbers(got.seen)).toEqual([0, 0, 1]);
    expect(at[1]! - at[0]!).toBeGreaterThanOrEqual(899);
    expect(got.seen.map(({ delivery }) => delivery.redeliveries)).toEqual([0, 0, 0]);
  });
});
