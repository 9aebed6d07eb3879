/** How the page says numbers, times and errors. */
import { describe, expect, it } from 'vitest';
import {
  agoText,
  faultText,
  rateText,
  several,
  shortId,
  sizeText,
  spanText,
} from '../../src/dashboard/page/app/texts.ts';

describe('spans', () => {
  it.each([
    [-3, '0 ms'],
    [0.4, '0 ms'],
    [812, '812 ms'],
    [999.6, '1 s'],
    [1_240, '1.2 s'],
    [59_400, '59 s'],
    [59_600, '1m'],
    [61_000, '1m 1s'],
    [3_600_000, '1h'],
    [5_460_000, '1h 31m'],
    [90_000_000, '1d 1h'],
  ])('%d ms is %s', (ms, text) => {
    expect(spanText(ms)).toBe(text);
  });
});

it('says how long ago, and how long until', () => {
  expect(agoText(1_000, 1_400)).toBe('now');
  expect(agoText(1_000, 4_900)).toBe('3 s ago');
  expect(agoText(4_900, 1_000)).toBe('in 3 s');
  expect(agoText(0, 90_000)).toBe('1m 30s ago');
});

it('says rates, sizes and counts', () => {
  expect([rateText(0), rateText(0.42), rateText(1_204.4)]).toEqual(['0/s', '0.4/s', '1,204/s']);
  expect([sizeText(812), sizeText(3_480), sizeText(5_000_000)]).toEqual(['812 B', '3.4 KiB', '4.8 MiB']);
  expect([several(1, 'run'), several(1_200, 'run')]).toEqual(['1 run', '1,200 runs']);
});

it('tells ids apart by their ends, which are random', () => {
  expect(shortId('0199f3a0-7b1c-7cc0-9d7e-3a4b5c6d7e8f')).toBe('…3a4b5c6d7e8f');
  expect(shortId('o-1')).toBe('o-1');
});

it('says an error once', () => {
  expect(faultText({ name: 'Error', message: 'none left' })).toBe('none left');
  expect(faultText({ name: 'SoldOut', message: 'none left' })).toBe('SoldOut: none left');
  expect(faultText({ name: 'HoldfastError', code: 'HF_STEP_TIMEOUT', message: 'too slow' })).toBe(
    'HF_STEP_TIMEOUT: too slow',
  );
  expect(faultText({ name: 'SoldOut', message: ' ' })).toBe('SoldOut');
});
