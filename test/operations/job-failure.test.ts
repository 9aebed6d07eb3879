/** What a job does when a chunk of it fails. */
import { describe, expect, it } from 'vitest';
import { HoldfastError, type ErrorCode } from '../../src/errors.ts';
import { comeBackAfterMs } from '../../src/operations/jobs/in-hand.ts';
import { afterFailure, PASSING, type FailedChunk } from '../../src/operations/jobs/job-failure.ts';

const ofServer = (code: string): Error => Object.assign(new Error('of the server'), { code });
const ofOurs = (code: ErrorCode): Error => new HoldfastError(code, 'of ours');
const LOCKED = ofServer('55P03');
const next = (error: Error, chunk: Partial<FailedChunk> = {}): string =>
  afterFailure(error, { picked: 1, failures: 1, isBack: false, ...chunk });

describe('a chunk that fails', () => {
  it.each([
    ['a lost lease', ofOurs('HF_LEASE_LOST')],
    ['a right that is missing', ofOurs('HF_PERMISSION')],
    ['tables that are missing', ofOurs('HF_SCHEMA_MISSING')],
  ])('ends the work for %s, which the next one would meet as well', (_, error) => {
    for (const picked of [0, 1, 100]) expect(next(error, { picked })).toBe('end');
  });

  it.each([
    ['a server that goes down', ofServer('57P01')],
    ['a deadlock', ofServer('40P01')],
    ['a commit that nobody knows of', ofOurs('HF_COMMIT_IN_DOUBT')],
  ])('is done again after %s, so many times', (_, error) => {
    for (const picked of [0, 1, 100]) {
      expect(next(error, { picked })).toBe('again');
      expect(next(error, { picked, failures: PASSING.attempts - 1 })).toBe('again');
      expect(next(error, { picked, failures: PASSING.attempts })).toBe('end');
    }
  });

  it('is done one by one, and the one that fails is passed over, when one of many is to blame', () => {
    for (const error of [ofServer('23514'), ofOurs('HF_SAGA_FINISHED'), new Error('of a trigger')]) {
      expect(next(error, { picked: 100 })).toBe('one by one');
      expect(next(error)).toBe('pass over');
      // Before it had any: then it is of the whole.
      expect(next(error, { picked: 0 })).toBe('end');
    }
  });

  it('waits for who has a single one, a few times; when it has come back, it comes back again instead', () => {
    for (const error of [LOCKED, ofOurs('HF_LOCK_WAIT')]) {
      expect(next(error, { picked: 100 })).toBe('one by one');
      expect([1, 2, 3, 4].map((failures) => next(error, { failures }))).toEqual([
        'again',
        'again',
        'again',
        'pass over',
      ]);
      expect(next(error, { isBack: true })).toBe('pass over');
      // The row of the job itself.
      expect(next(error, { picked: 0, failures: 4 })).toBe('again');
    }
  });
});

it('comes back five times, or for a minute', () => {
  const pauses = [0, 1, 2, 3, 4, 5].map((times) => comeBackAfterMs(times, 0));
  expect(pauses).toEqual([1_000, 2_000, 4_000, 8_000, 15_000, null]);
  expect(comeBackAfterMs(1, 59_999)).toBe(2_000);
  expect(comeBackAfterMs(1, 60_000)).toBeNull();
});
