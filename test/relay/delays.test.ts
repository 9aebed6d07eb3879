/** How long messages of a page were under way: a few of many, and never less than nothing. */
import { expect, it } from 'vitest';
import { delaysOf } from '../../src/relay/delivery/metrics.ts';

const NOW = '2026-01-01T00:01:00.000Z';
/** As the log has times: to the microsecond, the oldest first. */
const page = (size: number) =>
  Array.from({ length: size }, (_, n) => ({ time: new Date(Date.parse('2026-01-01T00:00:00Z') + n).toISOString() }));

it.each([
  [0, 0],
  [1, 1],
  [8, 8],
  [9, 5],
  [1_000, 8],
  [1_001, 8],
])('of a page of %i, %i are looked at', (size, looked) => {
  const delays = delaysOf(page(size), NOW);
  expect(delays).toHaveLength(looked);
  if (size > 0) expect(delays[0]).toBe(60);
  // They lie over the whole page.
  if (size > 1) expect(delays.at(-1)).toBeLessThanOrEqual(60 - (size - size / looked) / 1_000 + 1);
});

it('a clock that is behind makes no delay below nothing', () => {
  expect(delaysOf([{ time: '2026-01-01T00:02:00.000001Z' }], NOW)).toEqual([0]);
});
