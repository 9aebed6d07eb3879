/**
 * What a journal keeps of an error, and what the run's code catches at every replay.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { HoldfastError, PermanentError, Rejection } from '../../src/errors.ts';
import { isStorableText } from '../../src/message/text.ts';
import type { RecordedError } from '../../src/saga/journal/events.ts';
import { rebuildError, recordError } from '../../src/saga/journal/recorded-error.ts';

/** All that user code can tell errors apart by. */
function seen(error: HoldfastError): unknown {
  return {
    class: error.constructor,
    name: error.name,
    code: error.code,
    message: error.message,
    details: error.details,
    ...(error instanceof Rejection ? { reason: error.reason } : {}),
  };
}

/** Without the place, which is another at each line of this file. */
function placeless({ stack: _, ...rest }: RecordedError): Omit<RecordedError, 'stack'> {
  return rest;
}

describe('recordError', () => {
  test('keeps name, message, code and details', () => {
    const error = Object.assign(new TypeError('no such card'), { code: 'card_unknown', details: { last4: '1881' } });
    expect(placeless(recordError(error))).toEqual({
      name: 'TypeError',
      message: 'no such card',
      code: 'card_unknown',
      details: { last4: '1881' },
    });
  });

  test('tells the causes, and the parts of an aggregate without a message', () => {
    const cause = Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' });
    expect(recordError(new TypeError('fetch failed', { cause })).message).toBe(
      'fetch failed; caused by Error: [ECONNREFUSED] connect ECONNREFUSED',
    );
    expect(recordError(new AggregateError([cause])).message).toBe('Error: [ECONNREFUSED] connect ECONNREFUSED');
  });

  test('leaves out details that are not JSON, not storable, or large', () => {
    for (const details of [{ at: new Date() }, { text: '\0' }, { text: 'x'.repeat(2_048) }, ['a'], 'text', {}]) {
      expect(placeless(recordError(Object.assign(new Error('x'), { details })))).toEqual({
        name: 'Error',
        message: 'x',
      });
    }
  });

  test('keeps the reason of a rejection, whatever its details', () => {
    const rejection = new Rejection('sold out', { details: { at: new Date() } });
    expect(recordError(rejection)).toEqual({
      name: 'Rejection',
      message: 'sold out',
      code: 'HF_REJECTED',
      details: { reason: 'sold out' },
    });
  });

  test('keeps the first frames, a cause that has causes, and where a status stands', () => {
    const deep = new Error('a', { cause: new Error('b', { cause: new Error('c', { cause: new Error('d') }) }) });
    const recorded = recordError(Object.assign(deep, { statusCode: 503 }));
    expect(recorded.stack?.split('\n').length).toBeLessThanOrEqual(10);
    expect(recorded.stack).toMatch(/^\s+at .*recorded-error\.test/);
    expect(recorded).toMatchObject({
      status: 503,
      cause: { message: 'b', cause: { message: 'c', cause: { message: 'd' } } },
    });
    expect(recordError(Object.assign(new Error('x'), { status: 'open' })).status).toBeUndefined();
    expect(recordError(Object.assign(new Error('x'), { code: NaN })).code).toBeUndefined();
    expect(recordError(new Rejection('sold out')).stack).toBeUndefined();
  });

  test('takes anything', () => {
    const trap = new Proxy(
      {},
      {
        get() {
          throw new Error('trap');
        },
        has: () => true,
      },
    );
    expect(recordError(trap)).toEqual({ name: 'Error', message: 'An error that cannot be described.' });
    expect(recordError('no')).toEqual({ name: 'Error', message: 'thrown: no' });
    expect(recordError(undefined)).toEqual({ name: 'Error', message: 'thrown: undefined' });
    expect(recordError(null)).toEqual({ name: 'Error', message: 'thrown: null' });
    const circular = new Error('round');
    circular.cause = circular;
    expect(placeless(recordError(circular))).toEqual({ name: 'Error', message: 'round' });
  });

  test('property: the record is small JSON that PostgreSQL can store', () => {
    fc.assert(
      fc.property(anyThrown, (thrown) => {
        const recorded = recordError(thrown);
        expect(JSON.parse(JSON.stringify(recorded))).toEqual(recorded);
        expect(Buffer.byteLength(JSON.stringify(recorded))).toBeLessThan(40_000);
        for (const text of [recorded.name, recorded.message, String(recorded.code ?? '')])
          expect(isStorableText(text)).toBe(true);
      }),
    );
  });
});

describe('rebuildError', () => {
  test('a rejection comes back as one, with its reason and details', () => {
    const thrown = new Rejection('sold out', { details: { sku: 'tea' }, advice: 'Try another one.' });
    const error = rebuildError(recordError(thrown), 'reserve');
    expect(error).toBeInstanceOf(Rejection);
    expect(error).toMatchObject({
      reason: 'sold out',
      code: 'HF_REJECTED',
      details: { sku: 'tea', reason: 'sold out' },
    });
    expect(error.message).toBe('sold out Try another one.');
  });

  test('a rejection from elsewhere, without a reason of its own, has its message as reason', () => {
    const error = rebuildError({ name: 'Rejection', message: 'sold out', code: 'HF_REJECTED' }, 'reserve');
    expect(error).toMatchObject({ reason: 'sold out', message: 'sold out' });
  });

  test('a permanent error comes back as one, other errors of Holdfast with their code', () => {
    expect(rebuildError(recordError(new PermanentError('gone')))).toBeInstanceOf(PermanentError);
    const late = new HoldfastError('HF_STEP_TIMEOUT', 'Too late.', { details: { timeoutMs: 5 } });
    expect(seen(rebuildError(recordError(late), 'charge'))).toEqual(seen(late));
  });

  test("a user's error is HF_STEP_FAILED, told with its step", () => {
    const thrown = Object.assign(new TypeError('no'), { code: 'card_unknown', details: { last4: '1881' } });
    const error = rebuildError(recordError(thrown), 'charge');
    expect(error).toMatchObject({
      code: 'HF_STEP_FAILED',
      message: 'Step charge gave up: TypeError: [card_unknown] no',
      details: { step: 'charge', name: 'TypeError', code: 'card_unknown', last4: '1881' },
      cause: { name: 'TypeError', message: 'no', code: 'card_unknown', details: { last4: '1881' } },
    });
  });

  test('property: recorded and rebuilt again, it is the same error', () => {
    fc.assert(
      fc.property(
        anyThrown,
        fc.option(fc.string({ maxLength: 100, size: 'max' }), { nil: undefined }),
        (thrown, step) => {
          const first = rebuildError(recordError(thrown), step);
          const again = rebuildError(recordError(first), step);
          expect(seen(again)).toEqual(seen(first));
          // A child's error, told by its parent's step of another name.
          expect(seen(rebuildError(recordError(again), 'other'))).toEqual(seen(first));
        },
      ),
    );
  });
});

const text = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 50, size: 'max' }),
  fc.string({ maxLength: 2_100, minLength: 1_900, size: 'max' }),
  fc.constant('a\0b'),
  fc.constant('\uD800x'),
  fc.constant(''),
  fc.string({ unit: fc.constantFrom('é', '😀', 'a'), minLength: 400, maxLength: 1_100, size: 'max' }),
  fc.string({ unit: fc.constantFrom('é', '😀'), minLength: 450, maxLength: 550, size: 'max' }),
);
const details = fc.option(
  fc.oneof(
    fc.dictionary(fc.string(), fc.jsonValue()),
    fc.object(),
    fc.record({ reason: text }),
    fc.constant(new Map()),
  ),
  { nil: undefined },
);
const anyThrown: fc.Arbitrary<unknown> = fc.oneof(
  fc.anything(),
  fc
    .record({
      message: text,
      name: text,
      code: fc.oneof(text, fc.integer(), fc.constant(undefined)),
      details,
      cause: fc.anything(),
    })
    .map(({ message, cause, ...rest }) => Object.assign(new Error(message, { cause }), rest)),
  fc.record({ reason: text, details, advice: fc.option(text, { nil: undefined }) }).map(
    ({ reason, ...options }) =>
      new Rejection(reason, {
        ...(options.advice === undefined ? {} : { advice: options.advice }),
        details: (options.details ?? {}) as Record<string, unknown>,
      }),
  ),
  fc.record({ message: text }).map(({ message }) => new PermanentError(message)),
  fc.record({ message: text, details, cause: fc.oneof(fc.constant(undefined), text, text.map(Error)) }).map(
    (made) =>
      new HoldfastError('HF_STEP_TIMEOUT', made.message, {
        details: (made.details ?? {}) as Record<string, unknown>,
        ...(made.cause === undefined ? {} : { cause: made.cause }),
      }),
  ),
);
