/**
 * What the RabbitMQ transport decides without a broker.
 */
import { describe, expect, it } from 'vitest';
import { ChannelAcknowledgements } from '../../../src/transport/rabbitmq/acknowledgements.ts';
import { brokerFault, brokerUnavailable, saidOf } from '../../../src/transport/rabbitmq/broker-answers.ts';
import { amqpFactsOf, FENCE_HEADERS, headersForLater } from '../../../src/transport/rabbitmq/delivery-facts.ts';
import { resolveRabbitmqOptions } from '../../../src/transport/rabbitmq/options.ts';
import { createRabbitmqTransport } from '../../../src/transport/rabbitmq/rabbitmq-transport.ts';
import { DELAY_STEPS_MS, delayQueue, delayStep, mainQueue } from '../../../src/transport/rabbitmq/topology.ts';

const connection = 'amqp://app:s%40cret@mq.example:5673/orders';

describe('acknowledgements', () => {
  const acknowledgements = () => {
    const sent: (readonly [number, boolean])[] = [];
    const all = new ChannelAcknowledgements((tag, upTo) => void sent.push([tag, upTo]));
    for (let tag = 1; tag <= 6; tag += 1) all.delivered(tag);
    return { all, sent };
  };

  it('are one for what is done with in a row, and never for one that is not', () => {
    const { all, sent } = acknowledgements();
    for (const tag of [3, 1, 2, 5]) all.done(tag);
    all.flush();
    expect(sent).toEqual([
      [3, true],
      [5, false],
    ]);
    all.done(4);
    all.flush();
    expect(sent.slice(2)).toEqual([[4, false]]);
  });

  it('are for one alone behind one that is still in hand', () => {
    const { all, sent } = acknowledgements();
    all.done(2);
    all.done(3);
    all.flush();
    expect(sent).toEqual([
      [2, false],
      [3, false],
    ]);
  });

  it('leave out what was answered otherwise, and are sent once', () => {
    const { all, sent } = acknowledgements();
    all.forget(1);
    all.done(1);
    all.done(2);
    all.done(2);
    all.flush();
    all.done(2);
    all.flush();
    expect(sent).toEqual([[2, false]]);
  });

  it('come by themselves in a moment', async () => {
    const { all, sent } = acknowledgements();
    all.done(1);
    expect(sent).toEqual([]);
    await new Promise((resolve) => setImmediate(resolve));
    expect(sent).toEqual([[1, false]]);
  });
});

describe('what a message carries', () => {
  it('adds up the deaths of before and since it was put back', () => {
    const headers = { ...headersForLater({ redeliveries: 2, restMs: 700 }), 'x-delivery-count': 3 };
    expect(amqpFactsOf(headers, true)).toEqual({ redeliveries: 5, restMs: 700, fence: false });
    expect(headersForLater({ redeliveries: 0, restMs: 0 })).toEqual({});
  });

  it('is nothing for a first delivery, and one where the broker does not count', () => {
    expect(amqpFactsOf(undefined, false)).toEqual({ redeliveries: 0, restMs: 0, fence: false });
    expect(amqpFactsOf({}, true).redeliveries).toBe(1);
    expect(amqpFactsOf(FENCE_HEADERS, false).fence).toBe(true);
  });

  it.each([-1, 1.5, NaN, Infinity, '7', null, { value: 3 }, 1e12])('is nothing where it says %j', (value) => {
    const headers = { 'holdfast-redeliveries': value, 'holdfast-rest': value, 'holdfast-fence': value };
    expect(amqpFactsOf(headers, false)).toEqual({ redeliveries: 0, restMs: 0, fence: false });
  });
});

describe('queues', () => {
  it('never come early out of a delay, and are waited for again when no step is long enough', () => {
    for (const delayMs of [1, 99, 100, 101, 500, 501, 4_999, 3_600_000, 3_600_001, 86_400_000]) {
      const { stepMs, restMs } = delayStep(delayMs);
      expect(stepMs + restMs).toBeGreaterThanOrEqual(delayMs);
      expect(DELAY_STEPS_MS).toContain(stepMs);
      if (delayMs <= 3_600_000) expect(restMs).toBe(0);
    }
  });

  it('are made so that none drops a message', () => {
    for (const queue of [mainQueue('q', false), mainQueue('q', true), delayQueue('q', 100)])
      expect(queue.arguments).toMatchObject({ 'x-queue-type': 'quorum', 'x-overflow': 'reject-publish' });
    expect(mainQueue('q', true).arguments).toMatchObject({
      'x-delivery-limit': 2_000_000_000,
      'x-single-active-consumer': true,
    });
    expect(mainQueue('q', false).arguments).not.toHaveProperty('x-single-active-consumer');
    expect(delayQueue('q', 100)).toMatchObject({
      name: 'q:later:100',
      arguments: { 'x-dead-letter-strategy': 'at-least-once', 'x-dead-letter-routing-key': 'q' },
    });
  });
});

describe('options', () => {
  it('refuses what cannot be meant so', () => {
    const make = (options: object) => () => createRabbitmqTransport({ connection, ...options });
    for (const wrong of [
      { connection: 'http://mq' },
      { connection: [] },
      { connection: 'amqp://app:%zz@mq' },
      { connection: 'amqp://mq?heartbeat=5' },
      { queues: { 'a:b': {} } },
      { queues: { 'a#1': {} } },
      { queues: { ['x'.repeat(250)]: {} } },
      { prefix: '', queues: { 'amq.own': {} } },
      { queues: { a: { partitions: 0 } } },
      { otherQueues: { partitions: 2000 } },
      { heartbeat: '500ms' },
      { heartbeat: 1500 },
      { maxMessageBytes: 0 },
      { publishTimeout: 0 },
    ])
      expect(make(wrong)).toThrow(expect.objectContaining({ code: 'HF_CONFIG' }));
    expect(make({ queues: { a: { orderd: true } } })).toThrow(/Did you mean "ordered"/);
    expect(make({ prefx: 'a' })).toThrow(/Did you mean "prefix"/);
  });

  it('shows nobody a password', () => {
    const { address } = createRabbitmqTransport({ connection: [connection, 'amqps://mq2.example'] });
    expect(address).toBe('rabbitmq mq.example:5673 orders, mq2.example:5671 / prefix holdfast.');
    const refuse = () => createRabbitmqTransport({ connection: `${connection}?a=s%40cret` });
    expect(refuse).toThrow(expect.not.objectContaining({ message: expect.stringContaining('cret') as string }));
    expect(resolveRabbitmqOptions({ connection }).endpoints[0]).toMatchObject({ user: 'app', password: 's@cret' });
  });

  it('says that it keeps order where some destination is ordered', () => {
    const abilities = (options: object) => createRabbitmqTransport({ connection, ...options }).abilities;
    expect(abilities({})).toMatchObject({ orders: false, delays: 'broker', durability: 'majority' });
    expect(abilities({ queues: { a: { ordered: true } } })).toMatchObject({ orders: true, delays: 'consumer' });
    expect(abilities({ otherQueues: { ordered: true } })).toMatchObject({ orders: true });
  });
});

describe('answers of the broker', () => {
  const closed = (code: number, name: string, text: string) =>
    Object.assign(new Error(`Channel closed by server: ${code} (${name}) with message "${text}"`), { code });

  it.each([
    [
      closed(406, 'PRECONDITION-FAILED', 'PRECONDITION_FAILED - message size 9 is larger than configured max size 5'),
      { kind: 'too large', limit: 5 },
    ],
    [
      closed(406, 'PRECONDITION-FAILED', "PRECONDITION_FAILED - inequivalent arg 'durable' for queue 'q' in vhost '/'"),
      { kind: 'differs', argument: 'durable' },
    ],
    [
      closed(406, 'PRECONDITION-FAILED', 'PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out.'),
      { kind: 'unanswered' },
    ],
    [closed(403, 'ACCESS-REFUSED', 'ACCESS_REFUSED - access to queue'), { kind: 'forbidden' }],
    [closed(404, 'NOT-FOUND', "NOT_FOUND - no queue 'q'"), { kind: 'missing' }],
    [closed(405, 'RESOURCE-LOCKED', 'RESOURCE_LOCKED - exclusive'), { kind: 'locked' }],
    [closed(541, 'INTERNAL-ERROR', 'INTERNAL_ERROR'), { kind: 'other' }],
    [new Error('socket hang up'), { kind: 'other' }],
    ['what', { kind: 'other' }],
  ])('%s', (error, fault) => {
    expect(brokerFault(error)).toEqual(fault);
  });

  it('are told in the words of the broker, with what to do', () => {
    const refused = closed(403, 'ACCESS-REFUSED', 'ACCESS_REFUSED - access to x refused.');
    expect(saidOf(refused)).toBe('ACCESS_REFUSED - access to x refused');
    expect(brokerUnavailable(refused)).toMatchObject({ code: 'HF_TRANSPORT_UNAVAILABLE', cause: refused });
    expect(String(brokerUnavailable(refused))).toContain('Grant the user');
    const known = brokerUnavailable(new Error('first'));
    expect(brokerUnavailable(known)).toBe(known);
  });
});
