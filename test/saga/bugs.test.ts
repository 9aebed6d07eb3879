/** Which errors nobody throws on purpose. */
import { AssertionError } from 'node:assert';
import { runInNewContext } from 'node:vm';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { HoldfastError, PermanentError, Rejection } from '../../src/errors.ts';
import { checkErrorLists, isBug } from '../../src/saga/definition/bugs.ts';
import { saga } from '../../src/saga/definition/definition.ts';

class Invariant extends Error {}
class Broken extends Invariant {}
class Quota extends RangeError {}

describe('by default', () => {
  it.each([
    new TypeError('x is not a function'),
    new ReferenceError('x is not defined'),
    new RangeError('Maximum call stack size exceeded'),
    new AssertionError({ message: 'no' }),
    new TypeError('Failed to parse URL', { cause: new TypeError('Invalid URL') }),
    runInNewContext('new TypeError("of another realm")') as unknown,
    new HoldfastError('HF_DURATION', 'sleep: 3 fortnights'),
    new HoldfastError('HF_PAYLOAD_NOT_JSON', 'a Map'),
  ])('%s is a bug', (error) => {
    expect(isBug(error, [], 'run')).toBe(true);
    expect(isBug(error, [null, undefined], 'step')).toBe(true);
  });

  it.each([
    new Error('no stock'),
    new Rejection('sold out'),
    new PermanentError('never', { cause: new TypeError('x') }),
    new HoldfastError('HF_STEP_FAILED', 'Step pay gave up: TypeError: x'),
    new Quota('over the limit of the customer'),
    new TypeError('fetch failed', { cause: Object.assign(new Error('connect'), { code: 'ECONNREFUSED' }) }),
    new AggregateError([new TypeError('x')]),
    undefined,
    null,
    'text',
  ])('%s is meant', (error) => {
    expect(isBug(error, [], 'run')).toBe(false);
    expect(isBug(error, [], 'step')).toBe(false);
  });

  it('what others answered may be no JSON', () => {
    expect(isBug(new SyntaxError('Unexpected token <'), [], 'step')).toBe(false);
    expect(isBug(new SyntaxError('Unexpected token <'), [], 'run')).toBe(true);
  });

  it('bears errors that cannot be looked at', () => {
    const trap = new Proxy(new Error('x'), {
      get() {
        throw new Error('no');
      },
    });
    expect(isBug(trap, [], 'run')).toBe(false);
  });
});

describe('lists', () => {
  it('are by class, the nearest one deciding, the saga before the worker', () => {
    expect(isBug(new Broken(), [{ stuck: [Invariant] }], 'run')).toBe(true);
    expect(isBug(new Broken(), [{ stuck: [Invariant], compensate: [Broken] }], 'run')).toBe(false);
    expect(isBug(new Broken(), [{ compensate: [Invariant] }, { stuck: [Broken] }], 'run')).toBe(false);
    expect(isBug(new TypeError('x'), [null, { compensate: [TypeError] }], 'run')).toBe(false);
    expect(isBug(new SyntaxError('x'), [{ stuck: [SyntaxError] }], 'step')).toBe(true);
    expect(isBug(new Error('x'), [{ stuck: [Error] }], 'run')).toBe(true);
    expect(isBug(new Rejection('sold out'), [{ stuck: [Error] }], 'run')).toBe(false);
  });

  it('are refused when they are none', () => {
    const declare = (errors: unknown) => () =>
      saga({ name: 'a', input: z.null(), steps: {}, errors: errors as never, run: async () => {} });
    expect(declare({ stuck: ['TypeError'] })).toThrow(/saga\('a'\).*list stuck/);
    expect(declare({ stuk: [] })).toThrow(/stuk/);
    expect(declare({ stuck: [Invariant], compensate: [Invariant] })).toThrow(/Invariant in both/);
    expect(declare(null)).toThrow(/no object/);
    expect(() => checkErrorLists({ compensate: TypeError } as never, 'createWorker', 'HF_CONFIG')).toThrow(
      /createWorker\.errors/,
    );
    expect(checkErrorLists(undefined, 'createWorker', 'HF_CONFIG')).toBeNull();
  });
});
