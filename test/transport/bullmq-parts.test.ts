import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { jobId, partitionOf, queueName } from '../../src/transport/bullmq-parts.ts';
import { createSemaphore } from '../../src/transport/semaphore.ts';

describe('partitionOf', () => {
  it('stays where it is: these places are on the wire', () => {
    const places = ['order-1', 'order-2', 'Grüße', '', '0193b2c4-0000-7000-8000-000000000000'].map((key) =>
      partitionOf({ id: 'x', key }, 16),
    );
    expect(places).toEqual([12, 0, 14, 11, 14]);
  });

  it('puts a key into one of the partitions, whatever the message, and a message without a key by its id', () => {
    fc.assert(
      fc.property(
        fc.string(),
        fc.uuid(),
        fc.uuid(),
        fc.integer({ min: 1, max: 1024 }),
        (key, one, other, partitions) => {
          const place = partitionOf({ id: one, key }, partitions);
          expect(Number.isInteger(place) && place >= 0 && place < partitions).toBe(true);
          expect(partitionOf({ id: other, key }, partitions)).toBe(place);
          expect(partitionOf({ id: one, key: null }, partitions)).toBe(
            partitionOf({ id: other, key: one }, partitions),
          );
        },
      ),
    );
  });

  it('spreads keys that differ little', () => {
    for (const partitions of [2, 7, 16, 64]) {
      const counts = new Array<number>(partitions).fill(0);
      for (let n = 0; n < partitions * 200; n += 1)
        counts[partitionOf({ id: '', key: `customer-${n}` }, partitions)]! += 1;
      expect(Math.min(...counts)).toBeGreaterThan(100);
      expect(Math.max(...counts)).toBeLessThan(300);
    }
  });
});

describe('names that BullMQ accepts', () => {
  it('makes job ids of ids and replays', () => {
    expect(jobId({ id: 'a', replayId: null })).toBe('a');
    expect(jobId({ id: 'a', replayId: 'r' })).toBe('a.r');
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.nat().map(String)), fc.option(fc.string()), (id, replayId) => {
        const made = jobId({ id: id || 'x', replayId });
        expect(made).not.toMatch(/:|^\d+$/);
      }),
    );
  });

  it('gives the first partition the plain name', () => {
    expect([0, 1, 2].map((partition) => queueName('orders', partition))).toEqual(['orders', 'orders#1', 'orders#2']);
  });
});

describe('createSemaphore', () => {
  it('gives slots in turn, and none after the signal', async () => {
    const stop = new AbortController();
    const slots = createSemaphore(1);
    const free = await slots.acquire(stop.signal);
    const order: string[] = [];
    const second = slots.acquire(stop.signal).then((got) => {
      order.push('second');
      got!();
    });
    const third = slots.acquire(stop.signal).then((got) => {
      order.push('third');
      keep = got;
    });
    let keep: (() => void) | undefined;
    free!();
    await Promise.all([second, third]);
    expect(order).toEqual(['second', 'third']);
    const fourth = slots.acquire(stop.signal);
    stop.abort();
    expect(await fourth).toBeUndefined();
    keep!();
    expect(await slots.acquire(stop.signal)).toBeUndefined();
    expect(await slots.acquire(new AbortController().signal)).toBeTypeOf('function');
  });
});
