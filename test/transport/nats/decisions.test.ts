/**
 * What the adapter of NATS decides without a server.
 */
import type { StreamConfig } from '@nats-io/jetstream';
import { describe, expect, it } from 'vitest';
import { ackPlaceOf, nakOf, redeliveriesOf } from '../../../src/transport/nats/ack.ts';
import { parseConnection } from '../../../src/transport/nats/address.ts';
import {
  assessConsumer,
  isAbandoned,
  wantedConsumer,
  type ConsumerSight,
} from '../../../src/transport/nats/consumers.ts';
import { Deliveries } from '../../../src/transport/nats/deliveries.ts';
import { unavailable } from '../../../src/transport/nats/errors.ts';
import { decideLayout } from '../../../src/transport/nats/layout.ts';
import {
  consumerName,
  destinationOf,
  namesOf,
  placeOfSubject,
  readingOf,
  storedId,
  subjectOf,
} from '../../../src/transport/nats/names.ts';
import { createNatsTransport } from '../../../src/transport/nats/nats-transport.ts';
import { meaningOf } from '../../../src/transport/nats/outcome.ts';
import { pullEndOf, wantedNow } from '../../../src/transport/nats/pull.ts';
import { assessStream, keepsToBytes, type WantedStream } from '../../../src/transport/nats/streams.ts';

describe('an answer to what was published', () => {
  const answer = (body: object): string => meaningOf(0, JSON.stringify(body), 's').kind;
  it('is believed only when it says that this stream has stored it', () => {
    expect(answer({ stream: 's', seq: 1 })).toBe('stored');
    expect(answer({ stream: 's', seq: 1, duplicate: true })).toBe('stored');
    expect(answer({ stream: 'other', seq: 1 })).toBe('failed');
    expect(answer({ stream: 's' })).toBe('failed');
    expect(meaningOf(0, 'OK', 's').kind).toBe('failed');
    expect(meaningOf(0, '', 's').kind).toBe('failed');
  });

  it('is no for now, for good, or for all', () => {
    expect(meaningOf(503, '', 's').kind).toBe('again');
    // Seen, and not stored: the server may still lose it.
    expect(answer({ stream: 's', seq: 0, duplicate: true })).toBe('again');
    for (const [err_code, kind] of [
      [10158, 'again'],
      [10167, 'again'],
      [10063, 'again'],
      [10054, 'refused'],
      [10097, 'refused'],
      [10077, 'failed'],
      [10023, 'failed'],
      [99_999, 'failed'],
    ] as const)
      expect([err_code, answer({ error: { err_code, description: 'why' }, stream: 's', seq: 1 })]).toEqual([
        err_code,
        kind,
      ]);
  });
});

describe('what is said of a delivery', () => {
  it('is read from either form of its subject', () => {
    const place = { consumer: 'c', deliveries: 3, sequence: '17', timestamp: '1700000000000000001' };
    expect(ackPlaceOf('$JS.ACK.s.c.3.17.9.1700000000000000001.4')).toEqual(place);
    expect(ackPlaceOf('$JS.ACK._.account.s.c.3.17.9.1700000000000000001.4.random')).toEqual(place);
    for (const reply of ['', '_INBOX.x', '$JS.ACK.s.c.3.17.9', '$JS.ACK.s.c.none.17.9.1.4', '$JS.ACK.s.c.0.17.9.1.4'])
      expect(ackPlaceOf(reply)).toBeNull();
  });

  it('counts as a death what was not put off', () => {
    expect([
      redeliveriesOf(1, 0),
      redeliveriesOf(4, 0),
      redeliveriesOf(4, 2),
      redeliveriesOf(2, 5),
      redeliveriesOf(3, -1),
    ]).toEqual([0, 3, 1, 0, 2]);
  });

  it('is put off by no less than asked', () => {
    expect([nakOf(0), nakOf(-1), nakOf(0.0000001), nakOf(1.5)]).toEqual([
      '-NAK',
      '-NAK',
      '-NAK {"delay":1}',
      '-NAK {"delay":1500000}',
    ]);
    expect(nakOf(Infinity)).toMatch(/^-NAK \{"delay":\d+\}$/);
  });

  it('belongs to the last one of a message that was handed out twice', () => {
    const deliveries = new Deliveries();
    const place = { consumer: 'c', deliveries: 1, sequence: '1', timestamp: '1' };
    const first = deliveries.add(place, { reply: 'a', wire: '', claimMs: 1000 });
    const second = deliveries.add({ ...place, deliveries: 2 }, { reply: 'b', wire: '', claimMs: -1 });
    expect([first.isLost, first.controller.signal.aborted, second.isLost, deliveries.size]).toEqual([
      true,
      true,
      false,
      2,
    ]);
    // Both are still in this process: nothing else of an ordered partition may be taken.
    deliveries.remove(first);
    expect(deliveries.ofConsumer('c')).toBe(1);
    deliveries.loseExpired();
    expect(second.isLost).toBe(true);
    deliveries.drain();
    expect(deliveries.drained.aborted).toBe(false);
    deliveries.remove(second);
    deliveries.remove(second);
    expect([deliveries.drained.aborted, deliveries.ofConsumer('c')]).toEqual([true, 0]);
  });
});

describe('the end of a request for messages', () => {
  it.each([
    [100, 'Idle Heartbeat', null],
    [404, 'No Messages', 'over'],
    [408, 'Request Timeout', 'over'],
    [409, 'Message Size Exceeds MaxBytes', 'over'],
    [409, 'Consumer Deleted', 'lost'],
    [409, 'Leadership Change', 'lost'],
    [409, 'Server Shutdown', 'lost'],
    [503, '', 'lost'],
    [409, 'Exceeded MaxWaiting', 'refused'],
    [409, 'Consumer is push based', 'refused'],
    [400, 'Bad Request', 'refused'],
  ])('%i %s', (status, description, kind) => {
    expect(pullEndOf(status, description)?.kind ?? null).toBe(kind);
  });
});

describe('how many messages are asked for', () => {
  it('is as many as there is room for, and beside a request half of all at least', () => {
    const wanted = (inHand: number, due: number): number => wantedNow({ limit: 256, inHand, due });
    expect([wanted(0, 0), wanted(255, 0), wanted(256, 0), wanted(300, 0)]).toEqual([256, 1, 0, 0]);
    expect([wanted(0, 256), wanted(0, 129), wanted(0, 128), wanted(100, 1), wanted(128, 1)]).toEqual([
      0, 0, 128, 155, 0,
    ]);
    expect([wantedNow({ limit: 1, inHand: 0, due: 1 }), wantedNow({ limit: 1, inHand: 0, due: 0 })]).toEqual([0, 1]);
  });
});

describe('a consumer that may be removed', () => {
  const sight = (rest: Partial<ConsumerSight> = {}): ConsumerSight => ({
    name: 'holdfast',
    num_waiting: 0,
    num_ack_pending: 1,
    delivered: { consumer_seq: 5, stream_seq: 5, last_active: 0 },
    ack_floor: { consumer_seq: 4, stream_seq: 4, last_active: 0 },
    ...rest,
  });
  it('is one by which nobody has read for longer than a claim', () => {
    expect(isAbandoned(null, sight({ num_ack_pending: 0 }), 0, 100)).toBe(true);
    expect(isAbandoned(null, sight(), 1_000, 100)).toBe(false);
    expect(isAbandoned(sight(), sight(), 101, 100)).toBe(true);
    expect(isAbandoned(sight(), sight(), 100, 100)).toBe(false);
    expect(isAbandoned(sight(), sight({ num_waiting: 1, num_ack_pending: 0 }), 101, 100)).toBe(false);
    expect(isAbandoned(sight({ num_waiting: 1 }), sight(), 101, 100)).toBe(false);
    for (const change of [
      { delivered: { consumer_seq: 6, stream_seq: 6, last_active: 0 } },
      { ack_floor: { consumer_seq: 5, stream_seq: 5, last_active: 0 } },
      { num_ack_pending: 2 },
    ])
      expect(isAbandoned(sight(), sight(change), 101, 100)).toBe(false);
  });

  it('is not one of ours when it reads something else or in another way', () => {
    const wanted = wantedConsumer(
      namesOf('holdfast', 'd'),
      { partitions: 2, partition: 1 },
      { claimDurationMs: 10, maxUnacknowledged: 9 },
    );
    expect(wanted).toMatchObject({ max_ack_pending: 1, filter_subject: 'holdfast.d.2.1', max_deliver: -1 });
    expect(
      wantedConsumer(namesOf('holdfast', 'd'), null, { claimDurationMs: 10, maxUnacknowledged: 9 }).max_ack_pending,
    ).toBe(9);
    expect(assessConsumer(wanted, wanted)).toBe('fits');
    expect(assessConsumer(wanted, { ...wanted, max_ack_pending: 2 })).toBe('update');
    expect(assessConsumer(wanted, { ...wanted, max_deliver: 3 })).toBe('update');
    expect(assessConsumer(wanted, { ...wanted, backoff: [1] })).toBe('update');
    expect(assessConsumer(wanted, { ...wanted, filter_subject: 'holdfast.d.>' })).toBe('unusable');
    expect(assessConsumer(wanted, { ...wanted, deliver_subject: 'x' })).toBe('unusable');
    expect(assessConsumer(wanted, { ...wanted, ack_policy: 'none' })).toBe('unusable');
  });
});

describe('names', () => {
  it('are there for any destination, and lead back to it', () => {
    for (const destination of ['billing', 'billing.eu', 'a b', 'ü*>', "it's~(!)", 'x-1-2', '50%'])
      expect([destination, destinationOf('hf', namesOf('hf', destination).stream)]).toEqual([destination, destination]);
    expect(namesOf('hf', 'billing.eu')).toMatchObject({ stream: 'hf-billing%2Eeu', subjects: 'hf.billing%2Eeu.*.*' });
    for (const destination of ['', '\ud800', 'x'.repeat(181)])
      expect(() => namesOf('hf', destination)).toThrow(expect.objectContaining({ code: 'HF_CONFIG' }));
    expect([destinationOf('hf', 'hf_notes'), destinationOf('hf', 'other-x'), destinationOf('hf', 'hf-%')]).toEqual([
      null,
      null,
      null,
    ]);
  });

  it('of partitions say of how many they are', () => {
    const names = namesOf('hf', 'd');
    const place = { partitions: 8, partition: 3 };
    expect(subjectOf(names, place)).toBe('hf.d.8.3');
    expect(placeOfSubject(names, 'hf.d.8.3')).toEqual(place);
    for (const subject of ['hf.d.x.y', 'hf.d.0.1', 'hf.dd.8.3', 'hf.d.8.3.1'])
      expect(placeOfSubject(names, subject)).toBeNull();
    expect([consumerName(null), consumerName(place)].map(readingOf)).toEqual(['unordered', 'ordered']);
    expect(['theirs', 'holdfast-8', 'holdfast2'].map(readingOf)).toEqual([null, null, null]);
  });

  it('of messages differ for a replay, and fit into a header', () => {
    expect(storedId({ id: 'a', replayId: null })).toBe('a');
    expect(storedId({ id: 'a', replayId: 'r' })).toBe('a.r');
    expect(storedId({ id: 'a\r\nX: ü', replayId: null })).toMatch(/^[!-~]+$/);
  });
});

describe('a layout', () => {
  const written = (partitions: number, known: readonly number[], writtenMs: number) => ({
    partitions,
    known,
    writtenMs,
  });
  it('is looked into when it is another one or unknown, and renewed before it is forgotten', () => {
    expect(decideLayout(null, 1, 0)).toBe('look');
    expect(decideLayout(written(2, [2], 0), 1, 0)).toBe('look');
    expect(decideLayout(written(1, [1], 0), 1, 3_600_000)).toBe('go on');
    expect(decideLayout(written(1, [1], 0), 1, 8 * 86_400_000)).toBe('write again');
    expect(decideLayout(written(1, [1, 2], 0), 1, 30_000)).toBe('go on');
    expect(decideLayout(written(1, [1, 2], 0), 1, 90_000)).toBe('write again');
  });
});

describe('a stream', () => {
  const wanted: WantedStream = {
    name: 's',
    subjects: ['a.b.*.*'],
    retention: 'workqueue',
    discard: 'new',
    storage: 'file',
    num_replicas: 3,
    max_bytes: -1,
    duplicate_window: 10,
  };
  const assess = (config: Partial<StreamConfig>, version = '2.10.5') =>
    assessStream(wanted, { ...(wanted as StreamConfig), ...config }, version);
  it('may be larger than what is asked, and not lossy', () => {
    expect(assess({ subjects: ['>'], num_replicas: 5, duplicate_window: 20, max_bytes: 5 })).toEqual({
      unusable: [],
      different: [],
    });
    expect(assess({ subjects: ['a.>'] }).unusable).toEqual([]);
    expect(assess({ max_bytes: 5 }, '2.9.10').unusable).toHaveLength(1);
    expect(assess({ max_msgs: 5 }, '2.9.10').unusable).toEqual([]);
    expect(assess({ max_msgs: 5, discard: 'old' }).unusable).toHaveLength(1);
    expect(assess({ max_msgs_per_subject: 5, discard_new_per_subject: true }).unusable).toEqual([]);
    expect(assess({ sealed: true }).unusable).toHaveLength(1);
    expect(assess({ num_replicas: 1, storage: 'memory', duplicate_window: 1 }).different).toHaveLength(3);
  });

  it('with replicas is not for servers that lose what they have acknowledged', () => {
    expect(assess({}, '2.9.25').different).toEqual([expect.stringContaining('nats-server 2.9.25')]);
    expect(assess({}, '2.10.0').different).toEqual([]);
    expect(assess({}, '3.0.0-beta.1').different).toEqual([]);
    expect(assess({ num_replicas: 1 }, '2.9.25').different).toEqual(['it has 1 replicas and not 3']);
  });

  it('keeps to its bytes since 2.10.5', () => {
    expect(['2.9.10', '2.10.4', '2.10.5', '2.10.22-beta.1', '2.11.0', '3.0.0', ''].map(keepsToBytes)).toEqual([
      false,
      false,
      true,
      true,
      true,
      true,
      false,
    ]);
  });
});

describe('options', () => {
  it('that cannot be meant so are refused', () => {
    const refused = (options: object, code = 'HF_CONFIG') =>
      expect(() => createNatsTransport({ connection: 'nats://x', ...options })).toThrow(
        expect.objectContaining({ code }),
      );
    for (const connection of [
      '',
      undefined,
      'redis://x',
      'nats://',
      'nats://x/path',
      [],
      { servers: 'http://x' },
      { servers: 'tls://x', tls: null },
    ])
      refused({ connection });
    refused({ connection: { servers: 'x', reconnect: true } }, 'HF_OPTION_UNKNOWN');
    refused({ partition: 3 }, 'HF_OPTION_UNKNOWN');
    refused({ queues: { d: { partition: 3 } } }, 'HF_OPTION_UNKNOWN');
    for (const partitions of [0, 1.5, 1025]) refused({ queues: { d: { partitions } } });
    for (const prefix of ['', 'a-b', 'a_b', 'a.b', 'x'.repeat(33)]) refused({ prefix });
    for (const bad of [
      { replicas: 2 },
      { storage: 'disk' },
      { create: 'no' },
      { maxBytes: 0 },
      { maxMessages: -1 },
      { maxUnacknowledged: 1.5 },
      { claimDuration: 0 },
      { duplicateWindow: 50 },
      { queues: { '': {} } },
    ])
      refused(bad);
    refused({ publishTimeout: 'soon' }, 'HF_DURATION');
  });

  it('say where servers are, and keep secrets apart', () => {
    expect(parseConnection('nats://u:p%40@h, tls://[::1]:5', 'x')).toEqual({
      servers: [
        { host: 'h', port: 4222 },
        { host: '::1', port: 5 },
      ],
      shown: '[::1]:5,h:4222',
      client: { user: 'u', pass: 'p@', token: undefined, tls: {} },
    });
    expect(parseConnection('nats://tok@h:80', 'x')).toMatchObject({
      servers: [{ host: 'h', port: 80 }],
      client: { token: 'tok' },
    });
    expect(parseConnection({ servers: ['nats://u:p@h'], token: 'mine' }, 'x').client).toEqual({ token: 'mine' });
    expect(parseConnection({}, 'x').servers).toEqual([{ host: '127.0.0.1', port: 4222 }]);
  });

  it('make abilities', () => {
    expect(
      createNatsTransport({ connection: 'h', replicas: 3, duplicateWindow: '1m', maxMessageBytes: 9 }).abilities,
    ).toMatchObject({ orders: true, deduplicates: { withinMs: 60_000 }, maxMessageBytes: 9, durability: 'majority' });
    expect(createNatsTransport({ connection: 'h' }).abilities).toMatchObject({
      maxMessageBytes: null,
      durability: 'settings',
    });
  });
});

it('an error gives advice once', () => {
  const inner = unavailable('did this', new Error('maximum bytes exceeded'));
  expect(unavailable('did that', inner)).toBe(inner);
  expect(inner.message).toMatch(/^The broker \(nats\) did this: maximum bytes exceeded\. It is full/);
  expect(unavailable('did', new Error('strange.'), 'Do it.').message).toBe('The broker (nats) did: strange. Do it.');
});
