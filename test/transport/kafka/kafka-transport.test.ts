/** The Kafka transport on librdkafka's mock of a cluster: the duties of a sink, faults of messages and topics, brokers that go. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type KafkaMock, startKafkaMock } from '../../../src/servers/kafka-mock.ts';
import { describeSink } from '../../../src/testing/transport/describe-sink.ts';
import {
  destinationName,
  NEVER,
  outbound,
  publishAtLast,
  rejection,
  silentServer,
} from '../../../src/testing/transport/kit.ts';
import { createKafkaTransport } from '../../../src/transport/kafka/kafka-transport.ts';
import type { KafkaTransportOptions } from '../../../src/transport/kafka/options.ts';
import type { OutboundMessage, Transport } from '../../../src/transport/port.ts';

describeSink('kafka', async () => {
  const kafka = await startKafkaMock();
  const silent = await silentServer();
  const away = await silentServer();
  await away.close();
  const at = (brokers: readonly string[], more: Partial<KafkaTransportOptions> = {}): Transport =>
    createKafkaTransport({ brokers, ...more });
  return {
    make: () => at(kafka.brokers, { maxMessageBytes: 100_000 }),
    unreachable: () => at([`127.0.0.1:${away.port}`]),
    hanging: () => at([`127.0.0.1:${silent.port}`]),
    refusing: () => ({
      transport: at(kafka.brokers),
      spoil: (message): OutboundMessage => ({ ...message, wire: `[${message.wire}]` }),
    }),
    received: async (destination) => (await kafka.records(destination)).map(({ payload }) => payload),
    async dispose() {
      await kafka.dispose();
      await silent.close();
    },
  };
});

describe('kafka', () => {
  let kafka: KafkaMock;
  const transports: Transport[] = [];
  beforeAll(async () => {
    kafka = await startKafkaMock();
  });
  afterEach(async () => {
    await Promise.all(transports.splice(0).map((transport) => transport.close()));
  });
  afterAll(() => kafka.dispose());

  const make = (options: Partial<KafkaTransportOptions> = {}): Transport => {
    const transport = createKafkaTransport({ brokers: kafka.brokers, publishTimeout: '2s', ...options });
    transports.push(transport);
    return transport;
  };
  const topicOf = async (partitions = 4): Promise<string> => {
    const name = destinationName();
    await kafka.createTopic(name, partitions);
    return name;
  };
  const numbered = async (topic: string): Promise<number[]> =>
    (await kafka.records(topic)).map(({ payload }) => (JSON.parse(payload) as { data: { n: number } }).data.n);
  const ascending = (numbers: readonly number[]): number[] => numbers.toSorted((one, other) => one - other);

  it('keeps a key in one partition, and spreads the keys', async () => {
    const topic = await topicOf();
    const publisher = make().publisher();
    const batch = Array.from({ length: 400 }, (_, n) => outbound(topic, n, { key: `k${n % 40}` }));
    await publisher.publish(batch.slice(0, 200), { signal: NEVER });
    await publisher.publish(batch.slice(200), { signal: NEVER });
    const records = await kafka.records(topic);
    expect(new Set(records.map(({ partition }) => partition)).size).toBe(4);
    for (let key = 0; key < 40; key += 1) {
      const own = records.filter((record) => record.key === `k${key}`);
      expect(new Set(own.map(({ partition }) => partition)).size).toBe(1);
      const order = own.map(({ payload }) => (JSON.parse(payload) as { data: { n: number } }).data.n);
      expect(order).toEqual(ascending(order));
      expect(order).toHaveLength(10);
    }
  });

  it('writes CloudEvents by their Kafka binding, structured and binary', async () => {
    const [structured, binary] = [await topicOf(), await topicOf()];
    const wire =
      '{"specversion":"1.0","holdfast":1,"id":"i","type":"t","source":"s","subject":"k","datacontenttype":"application/json","headers":{"tenant":"acme"},"data":{"n":9007199254740993,"t":"grüße"}}';
    const message = (topic: string) => outbound(topic, 1, { wire, key: 'k' });
    await make()
      .publisher()
      .publish([message(structured)], { signal: NEVER });
    const publisher = make({ format: 'binary' }).publisher();
    const bad = outbound(binary, 2, { wire: '{"no":"data"}' });
    expect(await publisher.publish([message(binary), bad], { signal: NEVER })).toMatchObject([
      { kind: 'published' },
      { kind: 'refused', permanent: true },
    ]);
    expect(await kafka.records(structured)).toMatchObject([
      { key: 'k', payload: wire, headers: { 'content-type': expect.stringContaining('application/cloudevents+json') } },
    ]);
    const [record, ...more] = await kafka.records(binary);
    expect(more).toEqual([]);
    expect(record).toMatchObject({ key: 'k', payload: '{"n":9007199254740993,"t":"grüße"}' });
    expect(record?.headers).toEqual({
      'content-type': 'application/json',
      ce_specversion: '1.0',
      ce_holdfast: '1',
      ce_id: 'i',
      ce_type: 't',
      ce_source: 's',
      ce_subject: 'k',
      tenant: 'acme',
    });
  });

  it('finds the message that the cluster cannot store, and stores the others', async () => {
    const topic = await topicOf(1);
    const publisher = make().publisher();
    await publisher.publish([outbound(topic, 99)], { signal: NEVER });
    // The whole, its first half, that half's first half of one.
    await kafka.failRequests(0, [10, 10, 10]);
    const batch = [0, 1, 2, 3].map((n) => outbound(topic, n, { key: 'k' }));
    const outcomes = await publisher.publish(batch, { signal: NEVER });
    expect(outcomes).toMatchObject([
      { kind: 'refused', permanent: true, error: { code: 'HF_MESSAGE_REFUSED' } },
      { kind: 'published' },
      { kind: 'published' },
      { kind: 'published' },
    ]);
    expect(await numbered(topic)).toEqual([99, 1, 2, 3]);
  });

  it.each([
    ['may not be written', 29],
    ['is not there', 3],
  ])('puts off what goes to a topic that %s, and sends to the others', async (_, code) => {
    const [closed, open] = [await topicOf(), await topicOf()];
    await kafka.failTopic(closed, code);
    const publisher = make().publisher();
    const batch = [outbound(closed, 0), outbound(open, 1), outbound(closed, 2), outbound(open, 3)];
    const outcomes = await publisher.publish(batch, { signal: NEVER });
    expect(outcomes.map(({ kind }) => kind)).toEqual(['refused', 'published', 'refused', 'published']);
    expect(outcomes[0]).toMatchObject({
      permanent: false,
      later: { attempted: true },
      error: { message: expect.stringContaining('Create the topic') },
    });
    await kafka.failTopic(closed, 0);
    expect((await publisher.publish(batch, { signal: NEVER })).map(({ kind }) => kind)).toEqual(
      batch.map(() => 'published'),
    );
    expect(new Set(await numbered(open))).toEqual(new Set([1, 3]));
  });

  it('goes on after brokers that were away, and loses nothing', async () => {
    const topic = await topicOf(6);
    const publisher = make().publisher();
    const batch = (from: number) => Array.from({ length: 60 }, (_, n) => outbound(topic, from + n, { key: `k${n}` }));
    await publisher.publish(batch(0), { signal: NEVER });
    for (const broker of [1, 2, 3]) await kafka.setDown(broker, true);
    expect(await rejection(publisher.publish(batch(60), { signal: NEVER }))).toMatchObject({
      code: 'HF_TRANSPORT_UNAVAILABLE',
    });
    for (const broker of [1, 2, 3]) await kafka.setDown(broker, false);
    await publishAtLast(publisher, batch(60));
    expect(new Set(await numbered(topic)).size).toBe(120);
  });

  it('waits for the leader that has changed: an error of the cluster is no fault of a message', async () => {
    const topic = await topicOf();
    const publisher = make().publisher();
    await publisher.publish([outbound(topic, 0)], { signal: NEVER });
    // NOT_LEADER, REQUEST_TIMED_OUT, NOT_ENOUGH_REPLICAS
    for (const code of [6, 7, 19]) {
      await kafka.failRequests(0, [code]);
      expect(await rejection(publisher.publish([outbound(topic, code)], { signal: NEVER }))).toMatchObject({
        code: 'HF_TRANSPORT_UNAVAILABLE',
      });
      await publishAtLast(publisher, [outbound(topic, code)]);
    }
    expect(new Set(await numbered(topic))).toEqual(new Set([0, 6, 7, 19]));
  });

  it('gives up a cluster that falls silent, is closed meanwhile, and goes on when it speaks again', async () => {
    const topic = await topicOf();
    const publisher = make({ publishTimeout: '500ms' }).publisher();
    await publisher.publish([outbound(topic, 0)], { signal: NEVER });
    kafka.signal('SIGSTOP');
    const untilRefused = async (): Promise<unknown> => {
      // A signal takes its time to arrive.
      for (;;) await publisher.publish([outbound(topic, 1)], { signal: NEVER });
    };
    try {
      expect(await rejection(untilRefused())).toMatchObject({ code: 'HF_TRANSPORT_UNAVAILABLE' });
      await make({ publishTimeout: '500ms' }).close();
    } finally {
      kafka.signal('SIGCONT');
    }
    await publishAtLast(publisher, [outbound(topic, 1)]);
    expect(new Set(await numbered(topic))).toEqual(new Set([0, 1]));
  });

  it.each<[string, object]>([
    ['no brokers', { brokers: [] }],
    ['a URL', { brokers: ['kafka://me:hunter2@kafka:9092'] }],
    ['an unknown option', { acks: 1 }],
    ['another format', { format: 'avro' }],
    ['no limit', { maxMessageBytes: 0 }],
    ['no time', { publishTimeout: 0 }],
    ['no name', { clientId: '' }],
  ])('refuses %s', (_, options) => {
    const making = () => createKafkaTransport({ brokers: ['kafka:9092'], ...options });
    expect(making).toThrow(expect.objectContaining({ code: expect.stringMatching(/^HF_(CONFIG|OPTION_UNKNOWN)$/) }));
    expect(making).not.toThrow(/hunter2/);
  });
});
