import { expect, it } from 'vitest';
import { CHUNK_MESSAGES, chunksOf, placeBatch } from '../../../src/transport/bullmq/batch.ts';
import { resolveBullmqOptions } from '../../../src/transport/bullmq/options.ts';
import type { OutboundMessage, PublishOutcome } from '../../../src/transport/port.ts';

const settings = resolveBullmqOptions({ queues: { wide: { partitions: 4 } }, maxMessageBytes: 100 }, 'test');

function message(id: number, rest: Partial<OutboundMessage> = {}): OutboundMessage {
  return { id: `m-${id}`, topic: 't', key: null, destination: 'plain', wire: '{}', replayId: null, ...rest };
}

function place(batch: readonly OutboundMessage[]) {
  const outcomes: PublishOutcome[] = batch.map(() => ({ kind: 'published' }));
  return { queues: placeBatch(batch, settings, outcomes), outcomes };
}

it('keeps the order of the batch within a queue, and the place in the batch', () => {
  const { queues } = place([message(0), message(1, { destination: 'other' }), message(2)]);
  expect([...queues.keys()]).toEqual(['plain', 'other']);
  expect(queues.get('plain')?.map(({ index }) => index)).toEqual([0, 2]);
});

it('puts messages of one key into one partition', () => {
  const { queues } = place(Array.from({ length: 20 }, (_, n) => message(n, { destination: 'wide', key: 'k' })));
  expect(queues.size).toBe(1);
  const spread = place(Array.from({ length: 50 }, (_, n) => message(n, { destination: 'wide' })));
  expect(spread.queues.size).toBe(4);
});

it('refuses what cannot be sent, and sends the rest', () => {
  const { queues, outcomes } = place([
    message(0, { wire: 'no JSON' }),
    message(1, { wire: `{"filler":"${'x'.repeat(100)}"}` }),
    message(2, { destination: 'a:b' }),
    message(3),
  ]);
  expect(outcomes.map((outcome) => outcome.kind)).toEqual(['refused', 'refused', 'refused', 'published']);
  expect(outcomes.slice(0, 3).every((outcome) => outcome.kind === 'refused' && outcome.permanent)).toBe(true);
  expect(queues.get('plain')?.map(({ index }) => index)).toEqual([3]);
});

it('ends a chunk by number and by size', () => {
  const many = Array.from({ length: CHUNK_MESSAGES + 1 }, (_, index) => ({ message: message(index), index }));
  expect([...chunksOf(many)].map((chunk) => chunk.length)).toEqual([CHUNK_MESSAGES, 1]);
  const wire = `{"filler":"${'x'.repeat(3 * 1024 * 1024)}"}`;
  const large = [0, 1, 2].map((index) => ({ message: message(index, { wire }), index }));
  expect([...chunksOf(large)].map((chunk) => chunk.length)).toEqual([1, 1, 1]);
  expect([...chunksOf([])]).toEqual([]);
});
