import { describe, expect, it } from 'vitest';
import { PermanentError } from '../../src/errors.ts';
import { describeError } from '../../src/runtime/describe-error.ts';
import { lookable } from '../../src/runtime/thrown.ts';
import { ODD, UNLOOKABLE } from '../support/thrown-values.ts';

describe('what was thrown', () => {
  it.each(Object.keys(UNLOOKABLE))('is replaced where it cannot be looked at: %s', (name) => {
    const thrown = UNLOOKABLE[name]?.();
    expect(typeof describeError(thrown)).toBe('string');
    const error = lookable(thrown);
    expect(Object.is(error, thrown)).toBe(false);
    expect(describeError(error)).toMatch(/^Error: What was thrown cannot be looked at(, but for its message: kept)?/);
  });

  it.each(Object.keys(ODD))('stays as it is else: %s', (name) => {
    const thrown = ODD[name]?.();
    expect(Object.is(lookable(thrown), thrown)).toBe(true);
    expect(Buffer.byteLength(describeError(thrown))).toBeLessThanOrEqual(2_048);
  });

  it('stays of its class', () => {
    const refused = new PermanentError('no', { cause: new Error('deep'), details: { amount: 10n } });
    expect(lookable(refused)).toBe(refused);
    expect(describeError(refused)).toBe('PermanentError: [HF_PERMANENT] no; caused by Error: deep');
  });
});
