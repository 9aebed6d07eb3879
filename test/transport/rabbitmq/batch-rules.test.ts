/**
 * How the RabbitMQ transport sends a batch, decided without a broker.
 */
import { expect, it } from 'vitest';
import { outbound } from '../../../src/testing/transport/kit.ts';
import type { PublishOutcome } from '../../../src/transport/port.ts';
import { addressBatch } from '../../../src/transport/rabbitmq/batch.ts';
import { resolveRabbitmqOptions } from '../../../src/transport/rabbitmq/options.ts';

const settings = resolveRabbitmqOptions({ connection: 'amqp://mq', prefix: 'p.', maxMessageBytes: 100 });

it('refuses alone what no broker takes, and keeps the place of each other message', () => {
  const outcomes: PublishOutcome[] = [];
  const wire = (bytes: number): string => `{${'x'.repeat(bytes - 2)}}`;
  const batch = [
    outbound('a', 0, { wire: wire(80) }),
    outbound('a', 1, { wire: wire(81) }),
    outbound('a#1', 2, { wire: wire(10) }),
    outbound('a', 3, { wire: '[]' }),
    outbound('b', 4, { wire: wire(10) }),
  ];
  const addressed = addressBatch(batch, settings, 80, outcomes);
  expect(addressed.map(({ index, destination, outgoing }) => [index, destination, outgoing.queue])).toEqual([
    [0, 'a', 'p.a'],
    [4, 'b', 'p.b'],
  ]);
  expect(Object.entries(outcomes).map(([place, { kind }]) => [place, kind])).toEqual([
    ['1', 'refused'],
    ['2', 'refused'],
    ['3', 'refused'],
  ]);
  // The transport's own limit holds as well where the broker takes more.
  const own: PublishOutcome[] = [];
  expect(addressBatch([outbound('a', 0, { wire: wire(101) })], settings, 1_000, own)).toEqual([]);
  expect(own).toMatchObject([{ kind: 'refused', permanent: true, error: { code: 'HF_MESSAGE_REFUSED' } }]);
});

it('sends what outlives the broker, comes back from a queue that is not there, and tells a replay apart', () => {
  const sent = (replayId: string | null) =>
    addressBatch([outbound('a', 0, { id: 'i', replayId, wire: '{}' })], settings, 80, [])[0]?.outgoing.properties;
  expect(sent(null)).toMatchObject({ persistent: true, mandatory: true, messageId: 'i', type: 'test.happened' });
  expect(sent('r')).toMatchObject({ messageId: 'i.r' });
});
