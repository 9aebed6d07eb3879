/** The time axis of a run: every time has a place, in the order of times, whichever way it is drawn. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { betterScale, timeScale } from '../../src/dashboard/page/app/scale.ts';

const moments = fc.array(fc.integer({ min: 0, max: 1e12 }), { minLength: 1, maxLength: 40, size: 'max' });

describe.each(['even', 'true'] as const)('drawn %s', (kind) => {
  it('keeps the order of times, from 0 to 1', () => {
    fc.assert(
      fc.property(moments, fc.integer({ min: -10, max: 1e12 }), (times, between) => {
        const scale = timeScale(kind, times);
        const sorted = [...times, between].toSorted((a, b) => a - b);
        const places = sorted.map((time) => scale.at(time));
        expect(places).toEqual(places.toSorted((a, b) => a - b));
        expect(places.every((place) => place >= 0 && place <= 1)).toBe(true);
        expect(scale.at(Math.min(...times))).toBe(0);
      }),
    );
  });

  it('has few marks, each where its time is', () => {
    fc.assert(
      fc.property(moments, (times) => {
        const scale = timeScale(kind, times);
        const start = Math.min(...times);
        expect(scale.marks.length).toBeLessThanOrEqual(9);
        for (const { place, ms } of scale.marks) expect(place).toBeCloseTo(scale.at(start + ms), 9);
      }),
    );
  });
});

it('shows calls of milliseconds beside a sleep of days', () => {
  const day = 86_400_000;
  const times = [0, 40, 90, day, day + 30];
  const [toScale, even] = [timeScale('true', times), timeScale('even', times)];
  expect(toScale.at(40)).toBeLessThan(0.001);
  expect(even.at(40)).toBeGreaterThan(0.05);
  expect(betterScale(day + 30, [40, 50, 30])).toBe('even');
  expect(betterScale(500, [40, 50, 30])).toBe('true');
});
