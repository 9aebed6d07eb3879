import { describe, expect, test } from 'vitest';
import { didYouMean, refuseUnknownOptions } from '../../src/runtime/options.ts';

const known = ['maxBytes', 'source', 'schema'];

describe('refuseUnknownOptions', () => {
  test('accepts what is known', () => {
    expect(() => refuseUnknownOptions({ maxBytes: 1, source: undefined }, known, 'createOutbox')).not.toThrow();
    expect(() => refuseUnknownOptions({}, known, 'createOutbox')).not.toThrow();
  });

  test.each([
    ['maxbytes', 'createOutbox has no option "maxbytes". Did you mean "maxBytes"?'],
    ['shcema', 'createOutbox has no option "shcema". Did you mean "schema"?'],
    ['sources', 'createOutbox has no option "sources". Did you mean "source"?'],
    ['retention', 'createOutbox has no option "retention". Known options: maxBytes, source, schema.'],
  ])('%s', (option, message) => {
    expect(() => refuseUnknownOptions({ [option]: 1 }, known, 'createOutbox')).toThrowError(
      expect.objectContaining({ code: 'HF_OPTION_UNKNOWN', message }),
    );
  });
});

test('didYouMean takes the nearest, and nothing that is far', () => {
  expect(didYouMean('relai', ['delay', 'relay'])).toBe('relay');
  expect(didYouMean('topic', ['topics', 'tropical'])).toBe('topics');
  // Two letters swapped are one mistake.
  expect(didYouMean('fro', ['for'])).toBe('for');
  expect(didYouMean('x', ['yz', 'abc'])).toBeUndefined();
  expect(didYouMean('x', [])).toBeUndefined();
});
