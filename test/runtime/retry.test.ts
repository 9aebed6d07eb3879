import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { HoldfastError, PermanentError } from '../../src/errors.ts';
import {
  backoffMs,
  decideRetry,
  isPermanent,
  resolveRetry,
  type RetryOptions,
  type RetryPolicy,
} from '../../src/runtime/retry.ts';

const defaults: RetryPolicy = { attempts: 5, baseMs: 100, capMs: 10_000, factor: 2, withinMs: 60_000 };

const policies: fc.Arbitrary<RetryPolicy> = fc.record({
  attempts: fc.oneof(fc.integer({ min: 1, max: 50 }), fc.constant(Infinity)),
  baseMs: fc.integer({ min: 0, max: 5000 }),
  capMs: fc.integer({ min: 5000, max: 100_000 }),
  factor: fc.double({ min: 1, max: 10, noNaN: true }),
  withinMs: fc.oneof(fc.integer({ min: 0, max: 1_000_000 }), fc.constant(Infinity)),
});
const randoms = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });

describe('resolveRetry', () => {
  test('takes the defaults for what is not given', () => {
    expect(resolveRetry(undefined, defaults, 'retry')).toEqual(defaults);
    expect(resolveRetry({ attempts: 2, base: '1s', within: '5m' }, defaults, 'retry')).toEqual({
      ...defaults,
      attempts: 2,
      baseMs: 1000,
      withinMs: 300_000,
    });
  });

  test('a default gives way where the one value given would contradict it', () => {
    expect(resolveRetry({ base: '30s' }, defaults, 'retry')).toMatchObject({ baseMs: 30_000, capMs: 30_000 });
    expect(resolveRetry({ cap: 10 }, defaults, 'retry')).toMatchObject({ baseMs: 10, capMs: 10 });
  });

  test.each<[object, string, string]>([
    [{ attempts: 0 }, 'HF_CONFIG', 'relay.retry.attempts'],
    [{ attempts: 1.5 }, 'HF_CONFIG', 'relay.retry.attempts'],
    [{ attempts: Number.NaN }, 'HF_CONFIG', 'relay.retry.attempts'],
    [{ attempts: '3' }, 'HF_CONFIG', 'relay.retry.attempts'],
    [{ factor: 0.5 }, 'HF_CONFIG', 'relay.retry.factor'],
    [{ factor: Infinity }, 'HF_CONFIG', 'relay.retry.factor'],
    [{ base: '2s', cap: '1s' }, 'HF_CONFIG', 'relay.retry.cap'],
    [{ base: 'soon' }, 'HF_DURATION', 'relay.retry.base'],
    [{ atempts: 3 }, 'HF_OPTION_UNKNOWN', 'Did you mean "attempts"?'],
  ])('%j is refused with %s', (options, code, text) => {
    expect(() => resolveRetry(options as RetryOptions, defaults, 'relay.retry')).toThrowError(
      expect.objectContaining({ code, message: expect.stringContaining(text) }),
    );
  });
});

describe('backoffMs', () => {
  test('is full jitter: anywhere from 0 to the bound, which doubles up to the cap', () => {
    const bounds = [1, 2, 3, 8, 9].map((attempt) => backoffMs(defaults, attempt, () => 1));
    expect(bounds).toEqual([100, 200, 400, 10_000, 10_000]);
    expect(backoffMs(defaults, 4, () => 0)).toBe(0);
    expect(backoffMs(defaults, 4, () => 0.25)).toBe(200);
  });

  test('stays within its bounds for every policy and any number of attempts', () => {
    fc.assert(
      fc.property(policies, fc.integer({ min: 1, max: 5000 }), randoms, (policy, attempt, random) => {
        const wait = backoffMs(policy, attempt, () => random);
        const bound = policy.baseMs === 0 ? 0 : Math.min(policy.capMs, policy.baseMs * policy.factor ** (attempt - 1));
        expect(wait).toBeGreaterThanOrEqual(0);
        expect(wait).toBeLessThanOrEqual(bound);
      }),
    );
  });
});

describe('decideRetry', () => {
  const failed = { attempt: 1, elapsedMs: 0, permanent: false, random: () => 0.5 };

  test('says why it gives up', () => {
    expect(decideRetry(defaults, failed)).toEqual({ kind: 'retry', delayMs: 50 });
    expect(decideRetry(defaults, { ...failed, permanent: true })).toEqual({ kind: 'give-up', because: 'permanent' });
    expect(decideRetry(defaults, { ...failed, attempt: 4 }).kind).toBe('retry');
    expect(decideRetry(defaults, { ...failed, attempt: 5 })).toEqual({ kind: 'give-up', because: 'attempts' });
    expect(decideRetry(defaults, { ...failed, elapsedMs: 60_000 })).toEqual({ kind: 'give-up', because: 'time' });
  });

  test('cuts the last wait short, so that one more attempt begins in time', () => {
    expect(decideRetry(defaults, { ...failed, attempt: 4, elapsedMs: 59_900, random: () => 1 })).toEqual({
      kind: 'retry',
      delayMs: 100,
    });
  });

  test('work that always fails is done at most `attempts` times, and no attempt begins after the total time', () => {
    fc.assert(
      fc.property(policies, randoms, fc.integer({ min: 1, max: 5000 }), (policy, random, workMs) => {
        let elapsedMs = 0;
        for (let attempt = 1; attempt <= 200; attempt += 1) {
          expect(attempt).toBeLessThanOrEqual(policy.attempts);
          expect(elapsedMs).toBeLessThanOrEqual(policy.withinMs);
          elapsedMs += workMs;
          const decision = decideRetry(policy, { attempt, elapsedMs, permanent: false, random: () => random });
          const outOfTime = elapsedMs >= policy.withinMs;
          const expected = attempt >= policy.attempts ? 'attempts' : outOfTime ? 'time' : undefined;
          expect(decision.kind === 'give-up' ? decision.because : undefined).toBe(expected);
          if (decision.kind === 'give-up') return;
          elapsedMs += decision.delayMs;
        }
      }),
    );
  });
});

test('isPermanent tells what no retry can mend', () => {
  expect(isPermanent(new PermanentError('no such account'))).toBe(true);
  expect(isPermanent(new HoldfastError('HF_MESSAGE_REFUSED', 'x'))).toBe(true);
  expect(isPermanent(new HoldfastError('HF_PAYLOAD_INVALID', 'x'))).toBe(true);
  expect(isPermanent(new HoldfastError('HF_TRANSPORT_UNAVAILABLE', 'x'))).toBe(false);
  expect(isPermanent(new HoldfastError('HF_MESSAGE_VERSION', 'x'))).toBe(false);
  expect(isPermanent(new Error('x'))).toBe(false);
  expect(isPermanent('x')).toBe(false);
});
