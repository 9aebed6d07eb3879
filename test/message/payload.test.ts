import vm from 'node:vm';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { encodePayload } from '../../src/message/payload.ts';

const encode = (value: unknown, maxBytes = 1_048_576) => encodePayload(value, { maxBytes, where: 'order.placed' });
const refusal = (value: unknown, maxBytes?: number) => {
  try {
    encode(value, maxBytes);
  } catch (error) {
    return error as { code: string; message: string };
  }
  throw new Error('it was accepted');
};

class Money {
  cents = 1;
}
const Nameless = class {
  cents = 1;
};
Object.defineProperty(Nameless, 'name', { value: '' });

describe('encodePayload', () => {
  test.each<[unknown, string]>([
    [null, 'null'],
    ['a"\n', '"a\\"\\n"'],
    [{ a: 1, b: undefined, c: [true, null] }, '{"a":1,"c":[true,null]}'],
    [Object.assign(Object.create(null) as object, { a: 1 }), '{"a":1}'],
    [vm.runInNewContext('({ a: [{}] })'), '{"a":[{}]}'],
    [{ pair: '\u{1F600}', written: '\\u0000 \\ud800' }, '{"pair":"\u{1F600}","written":"\\\\u0000 \\\\ud800"}'],
  ])('accepts %j', (value, text) => {
    expect(encode(value)).toBe(text);
  });

  test.each<[unknown, string]>([
    [{ items: [{ at: new Date(0) }] }, 'payload.items[0].at is a Date'],
    [{ total: 10n }, 'payload.total is a BigInt'],
    [{ f: () => 1 }, 'payload.f is a function'],
    [{ s: Symbol('x') }, 'payload.s is a symbol'],
    [[1, Number.NaN], 'payload[1] is NaN'],
    [{ 'a b': Infinity }, 'payload["a b"] is Infinity'],
    [[undefined], 'payload[0] is undefined'],
    [Array(3), 'payload[0] is undefined'],
    [undefined, 'payload is undefined'],
    [new Map(), 'payload is a Map'],
    [{ raw: Buffer.from('x') }, 'payload.raw is a Buffer'],
    [{ price: new Money() }, 'payload.price is a Money'],
    [{ toJSON: () => 'other' }, 'payload.toJSON is a function'],
    [new Nameless(), 'payload is a class instance'],
  ])('refuses what JSON cannot carry, naming the place: %#', (value, text) => {
    expect(refusal(value)).toMatchObject({
      code: 'HF_PAYLOAD_NOT_JSON',
      message: expect.stringContaining(`order.placed: ${text}, which`),
    });
  });

  test('refuses cycles, and tells them from mere depth; shared values are fine', () => {
    const parent: Record<string, unknown> = {};
    parent['child'] = { more: [{ parent }] };
    expect(refusal(parent)).toMatchObject({
      code: 'HF_PAYLOAD_NOT_JSON',
      message: expect.stringContaining('refers back to itself'),
    });
    let deep: unknown = 1;
    for (let level = 0; level < 600; level += 1) deep = { deep };
    expect(refusal(deep)).toMatchObject({
      code: 'HF_PAYLOAD_NOT_JSON',
      message: expect.stringContaining('nested more than 500 deep'),
    });
    const shared = { a: 1 };
    expect(encode([shared, shared])).toBe('[{"a":1},{"a":1}]');
  });

  test.each<[unknown, string]>([
    [{ name: 'a\0b' }, 'payload.name'],
    [['ok', '\ud800'], 'payload[1]'],
    [['\udc00x'], 'payload[0]'],
    [{ ok: { 'k\0': 1 } }, 'payload.ok["k\\u0000"]'],
    [{ '\udfff': 1 }, 'payload["\\udfff"]'],
    ['\0', 'payload'],
    // Looks like an escape before the real one.
    [['\\u0000', '\0'], 'payload[1]'],
  ])('refuses texts PostgreSQL cannot store, naming the place: %#', (value, place) => {
    const error = refusal(value);
    expect(error.code).toBe('HF_PAYLOAD_TEXT');
    expect(error.message).toContain(`${place} holds`);
    expect(error.message).not.toContain('\0');
  });

  test('a bad key of a property that is left out does not matter', () => {
    expect(encode({ 'a\0': undefined, b: '\\ud800' })).toBe('{"b":"\\\\ud800"}');
  });

  test('counts the size in UTF-8 bytes of the JSON', () => {
    expect(encode('\u00e9'.repeat(4), 10)).toHaveLength(6);
    expect(refusal('\u00e9'.repeat(4) + 'x', 10)).toMatchObject({
      code: 'HF_PAYLOAD_TOO_LARGE',
      message: expect.stringContaining('11 bytes of JSON; the limit is 10'),
    });
    expect(encode('x'.repeat(8), 10)).toHaveLength(10);
    expect(refusal('\u20ac'.repeat(3), 10).code).toBe('HF_PAYLOAD_TOO_LARGE');
  });

  test('accepts exactly what comes back from JSON equal', () => {
    // Everything fast-check can think of, dates and typed arrays, maps, sparse arrays and odd texts included.
    const anything = fc.anything({
      withBigInt: true,
      withDate: true,
      withMap: true,
      withSet: true,
      withTypedArray: true,
      withSparseArray: true,
      withNullPrototype: true,
      withUnicodeString: true,
      maxDepth: 4,
    });
    const value = fc.oneof(
      anything,
      fc.jsonValue({ stringUnit: 'binary' }),
      fc.record({ a: fc.string({ unit: 'binary' }), b: anything }),
    );
    let accepted = 0;
    fc.assert(
      fc.property(value, (input) => {
        let text: string;
        try {
          text = encode(input);
        } catch (error) {
          const { code } = error as { code?: string };
          if (code === 'HF_PAYLOAD_TEXT') return hasBadText(input);
          if (code === 'HF_PAYLOAD_NOT_JSON') return !comesBack(input);
          throw error;
        }
        accepted += 1;
        return text === JSON.stringify(input) && comesBack(input) && !hasBadText(input);
      }),
      { numRuns: 3000 },
    );
    expect(accepted).toBeGreaterThan(300);
  });

  test('an error never holds a value of the payload', () => {
    const secret = 'secret-4711';
    for (const value of [
      { a: secret, b: 1n },
      { a: `${secret}\0` },
      { a: secret.repeat(100) },
      { a: [secret, new Date()] },
    ]) {
      const error = refusal(value, 200);
      expect(error.message + JSON.stringify(error)).not.toContain(secret);
    }
  });
});

/** An independent opinion: parse what JSON.stringify makes and compare, taking undefined properties as absent and -0 as 0. */
function comesBack(input: unknown): boolean {
  try {
    const text: string | undefined = JSON.stringify(input);
    return text !== undefined && same(input, JSON.parse(text));
  } catch {
    return false;
  }
}

function same(before: unknown, after: unknown): boolean {
  if (typeof before === 'number' && typeof after === 'number') return before === after;
  if (typeof before !== 'object' || before === null || typeof after !== 'object' || after === null)
    return Object.is(before, after);
  if (Array.isArray(before) !== Array.isArray(after)) return false;
  const prototype: unknown = Object.getPrototypeOf(before);
  if (!Array.isArray(before) && prototype !== null && prototype !== Object.prototype) return false;
  if (Array.isArray(before)) {
    return (
      before.length === (after as unknown[]).length &&
      Array.from(before).every((item, index) => same(item, (after as unknown[])[index]))
    );
  }
  const present = Object.entries(before).filter(([, inner]) => inner !== undefined);
  return (
    present.length === Object.keys(after).length &&
    present.every(([key, inner]) => Object.hasOwn(after, key) && same(inner, (after as Record<string, unknown>)[key]))
  );
}

function hasBadText(value: unknown): boolean {
  if (typeof value === 'string') return value.includes('\0') || !isWellFormed(value);
  if (typeof value !== 'object' || value === null) return false;
  return Object.entries(value).some(
    ([key, inner]) => inner !== undefined && ((!Array.isArray(value) && hasBadText(key)) || hasBadText(inner)),
  );
}

function isWellFormed(text: string): boolean {
  try {
    // Throws for lone surrogates, and for nothing else.
    encodeURIComponent(text);
    return true;
  } catch {
    return false;
  }
}
