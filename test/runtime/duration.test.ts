import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseDuration, type Duration } from '../../src/runtime/duration.ts';

describe('parseDuration', () => {
  test.each([
    [0, 0],
    [1500, 1500],
    ['250ms', 250],
    ['30s', 30_000],
    ['1.5m', 90_000],
    ['2h', 7_200_000],
    ['7d', 604_800_000],
  ] as const)('%s is %d ms', (text, ms) => {
    expect(parseDuration(text, 'x')).toBe(ms);
  });

  test.each([
    '',
    '5',
    '5 s',
    '-5s',
    '5S',
    's',
    '1e3s',
    '1..2s',
    '.5s',
    'Infinityms',
    '5w',
    -1,
    Number.NaN,
    Infinity,
    null,
    undefined,
    {},
  ])('%j is refused, with the name of the option', (value) => {
    expect(() => parseDuration(value as Duration, 'relay.lease')).toThrowError(
      expect.objectContaining({ code: 'HF_DURATION', message: expect.stringContaining('relay.lease') }),
    );
  });

  test('whatever is accepted is finite and not negative', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.double(),
          fc.tuple(fc.double(), fc.constantFrom('ms', 's', 'm', 'h', 'd')).map((x) => x.join('')),
        ),
        (value) => {
          let fine: boolean;
          try {
            const ms = parseDuration(value as Duration, 'x');
            fine = Number.isFinite(ms) && ms >= 0;
          } catch (error) {
            fine = (error as { code?: string }).code === 'HF_DURATION';
          }
          expect(fine).toBe(true);
        },
      ),
    );
  });
});
