/**
 * What the adapter of NATS says of a destination, which streams it takes, and what it holds of messages, without a server.
 */
import type { StreamConfig } from '@nats-io/jetstream';
import { describe, expect, it } from 'vitest';
import { outbound } from '../../../src/testing/transport/kit.ts';
import { Deliveries } from '../../../src/transport/nats/deliveries.ts';
import { namesOf } from '../../../src/transport/nats/names.ts';
import { headerBytes, sizeFault } from '../../../src/transport/nats/outcome.ts';
import { assessDestination, type DestinationFacts } from '../../../src/transport/nats/queue-state.ts';
import { assessStream, destinationStream } from '../../../src/transport/nats/streams.ts';

describe('a destination', () => {
  const consumer = (
    rest: Partial<DestinationFacts['consumers'][number]> = {},
  ): DestinationFacts['consumers'][number] => ({
    name: 'holdfast',
    num_ack_pending: 0,
    num_waiting: 1,
    paused: false,
    ...rest,
  });
  const state = (rest: Partial<DestinationFacts>) =>
    assessDestination({
      destination: 'd',
      messages: 5,
      consumers: [consumer()],
      owners: [],
      owner: null,
      faults: { unusable: [], different: [] },
      risk: null,
      ...rest,
    });
  const checks = (rest: Partial<DestinationFacts>): readonly string[] => state(rest).remarks.map(({ check }) => check);

  it('counts what is in hand once, and no more than there is', () => {
    expect(state({ consumers: [consumer({ num_ack_pending: 2 }), consumer({ num_ack_pending: 1 })] })).toMatchObject({
      waiting: 2,
      active: 3,
      remarks: [],
    });
    expect(state({ consumers: [consumer({ num_ack_pending: 9 })] })).toMatchObject({ waiting: 0, active: 5 });
  });

  it('is unread when no consumer of ours asks or has anything, whoever else does', () => {
    const idle = consumer({ num_waiting: 0 });
    expect(checks({ consumers: [] })).toEqual(['queue.unread']);
    expect(checks({ consumers: [idle] })).toEqual(['queue.unread']);
    expect(checks({ consumers: [idle], messages: 0 })).toEqual([]);
    expect(checks({ consumers: [consumer({ num_waiting: 0, num_ack_pending: 1 })] })).toEqual([]);
    expect(checks({ consumers: [idle, consumer({ name: 'theirs', num_ack_pending: 3 })] })).toEqual([
      'queue.foreign',
      'queue.unread',
    ]);
  });

  it('is shared when another database takes replies from it', () => {
    expect(checks({ owners: ['a'], owner: 'a' })).toEqual([]);
    expect(checks({ owners: ['a', 'b'], owner: 'a' })).toEqual(['queue.shared']);
    expect(checks({ owners: ['a'] })).toEqual([]);
    expect(checks({ owners: ['a', 'b'] })).toEqual(['queue.shared']);
  });

  it('has what else people should know', () => {
    expect(checks({ consumers: [consumer({ paused: true })] })).toEqual(['queue.paused']);
    expect(checks({ faults: { unusable: ['it is sealed'], different: ['it has 1 replica'] } })).toEqual([
      'queue.settings',
      'queue.settings',
    ]);
    expect(checks({ risk: 'In memory.' })).toEqual(['queue.durability']);
  });
});

describe('a stream that is there', () => {
  const wanted = destinationStream(namesOf('hf', 'd'), {
    prefix: 'hf',
    replicas: 1,
    storage: 'file',
    maxMessages: -1,
    maxBytes: -1,
    duplicateWindowMs: 1_000,
  });
  const unusable = (config: Partial<StreamConfig>): number =>
    assessStream(wanted, { ...(wanted as StreamConfig), ...config }, '2.10.5').unusable.length;

  it('will do as it is made, and not where it loses messages, stays silent or has other subjects', () => {
    expect(unusable({})).toBe(0);
    for (const config of [
      { max_age: 1 },
      { no_ack: true },
      { retention: 'limits' as const },
      { max_msgs: 5, discard: 'old' as const },
      { max_msgs_per_subject: 5 },
      { subjects: ['hf.d.1.0'] },
      { subjects: ['hf.d'] },
      { subjects: ['hf.d.*'] },
      { subjects: ['hf.dd.>'] },
    ])
      expect([config, unusable(config)]).toEqual([config, 1]);
    expect(unusable({ subjects: ['hf.>'] })).toBe(0);
  });
});

describe('the size of a message', () => {
  it('is that of its bytes, with the headers where the server counts', () => {
    const id = 'x'.repeat(36);
    const fault = (wire: string, maxMessageBytes: number, maxPayload: number) =>
      sizeFault(outbound('d', 1, { wire }), id, { maxMessageBytes, maxPayload })?.code;
    const header = headerBytes(id);
    expect(fault('x'.repeat(100), Infinity, header + 100)).toBeUndefined();
    expect(fault('x'.repeat(101), Infinity, header + 100)).toBe('HF_MESSAGE_REFUSED');
    expect(fault('ü'.repeat(50), 100, 1_000)).toBeUndefined();
    expect(fault('ü'.repeat(51), 100, 1_000)).toBe('HF_MESSAGE_REFUSED');
  });
});

it('of a message that was handed out three times only the last one is not lost', () => {
  const deliveries = new Deliveries();
  const add = (deliveries_: number) =>
    deliveries.add(
      { consumer: 'c', deliveries: deliveries_, sequence: '1', timestamp: '1' },
      { reply: 'r', wire: '', claimMs: 60_000 },
    );
  const first = add(1);
  const second = add(2);
  // The first one has ended meanwhile: the message is still that of the second.
  deliveries.remove(first);
  const third = add(3);
  expect([first.isLost, second.isLost, third.isLost]).toEqual([true, true, false]);
});
