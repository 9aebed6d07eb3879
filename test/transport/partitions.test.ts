import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { partitionOf } from '../../src/transport/partitions.ts';

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
