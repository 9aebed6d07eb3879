/** Redaction by path: what is named is hidden, wherever it stands; all else is as it was, and nothing that is given is changed. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createRedactor, REDACTED, showAll } from '../../src/runtime/redact.ts';

const ORDER = {
  id: 'o-1',
  customer: { name: 'Ann', email: 'ann@example.org', address: { city: 'Riga', email: 'home@example.org' } },
  card: { number: '4111', cvc: '123' },
  lines: [
    { sku: 'a', price: 1, by: { email: 'x@example.org' } },
    { sku: 'b', price: 2 },
  ],
};

describe('createRedactor', () => {
  it.each<[readonly string[], unknown, unknown]>([
    [['customer.email'], { customer: { email: 'a', city: 'b' } }, { customer: { email: REDACTED, city: 'b' } }],
    [['customer'], { customer: { email: 'a' }, id: 1 }, { customer: REDACTED, id: 1 }],
    [['card.*'], { card: { number: 1, cvc: { a: 1 } } }, { card: { number: REDACTED, cvc: REDACTED } }],
    [['*.email'], { a: { email: 1 }, email: 2 }, { a: { email: REDACTED }, email: 2 }],
    [['**.email'], { a: { b: { email: 1 } }, email: 2 }, { a: { b: { email: REDACTED } }, email: REDACTED }],
    [['a.**'], { a: 1, b: 2 }, { a: REDACTED, b: 2 }],
    [['a.**.z'], { a: { z: 1, b: { z: 2, y: 3 } } }, { a: { z: REDACTED, b: { z: REDACTED, y: 3 } } }],
    // Through lists, lists of lists, and at the top.
    [['lines.price'], { lines: [{ price: 1, sku: 'a' }] }, { lines: [{ price: REDACTED, sku: 'a' }] }],
    [['price'], [[{ price: 1 }], { price: 2 }], [[{ price: REDACTED }], { price: REDACTED }]],
    [['lines.*.price'], { lines: [{ price: 1 }] }, { lines: [{ price: REDACTED }] }],
    [['lines.1'], { lines: ['a', 'b'] }, { lines: ['a', REDACTED] }],
    [['lines.*'], { lines: ['a', 'b'] }, { lines: [REDACTED, REDACTED] }],
    // Names with dots are names, and paths.
    [
      ['customer.email'],
      { 'customer.email': 1, 'customer.name': 2 },
      { 'customer.email': REDACTED, 'customer.name': 2 },
    ],
    [['a.b.c'], { 'a.b': { c: 1 }, a: { 'b.c': 2, x: 3 } }, { 'a.b': { c: REDACTED }, a: { 'b.c': REDACTED, x: 3 } }],
    [['a'], { 'a.b': 1 }, { 'a.b': REDACTED }],
    [['*'], { 'a.b': 1 }, { 'a.b': REDACTED }],
    [['x.*'], { x: { 'a.b': 1 } }, { x: { 'a.b': REDACTED } }],
    // What is not there, or is nothing that has fields.
    [['customer.email'], { customer: null }, { customer: null }],
    [['customer.email'], { customer: 'ann' }, { customer: 'ann' }],
    [['customer.email'], 'text', 'text'],
    [['a'], null, null],
    [['a'], undefined, undefined],
    [['a'], { a: null }, { a: REDACTED }],
    [['a'], {}, {}],
    [[], { a: 1 }, { a: 1 }],
    // Odd names.
    [['a'], { '': 1, '.': 2, 'b.': 3 }, { '': 1, '.': 2, 'b.': 3 }],
    [['*'], { '': 1 }, { '': REDACTED }],
  ])('%j hides of %j', (paths, value, expected) => {
    expect(createRedactor(paths)(value)).toEqual(expected);
  });

  it('hides several at once and leaves what it is given as it is', () => {
    const before = structuredClone(ORDER);
    const shown = createRedactor(['customer.email', 'card.*', 'lines.by.email'])(ORDER);
    expect(shown).toEqual({
      ...ORDER,
      customer: { ...ORDER.customer, email: REDACTED },
      card: { number: REDACTED, cvc: REDACTED },
      lines: [{ ...ORDER.lines[0], by: { email: REDACTED } }, ORDER.lines[1]],
    });
    expect(ORDER).toEqual(before);
  });

  it('sets no prototype', () => {
    const given: unknown = JSON.parse('{"__proto__": {"secret": 1, "email": "a"}, "constructor": {"email": "b"}}');
    const shown = createRedactor(['**.email'])(given) as object;
    expect(Object.getPrototypeOf(shown)).toBe(Object.prototype);
    expect(JSON.stringify(shown)).toBe(
      '{"__proto__":{"secret":1,"email":"[redacted]"},"constructor":{"email":"[redacted]"}}',
    );
  });

  it('takes values that are deeper than any stack', () => {
    let given: unknown = { secret: 'x' };
    for (let level = 0; level < 200_000; level += 1) given = level % 2 === 0 ? [given] : { a: given };
    let shown = createRedactor(['**.secret'])(given);
    for (let level = 0; level < 200_000; level += 1)
      shown = Array.isArray(shown) ? (shown[0] as unknown) : (shown as { a: unknown }).a;
    expect(shown).toEqual({ secret: REDACTED });
  });

  it('comes back soon from paths that can be divided in very many ways', () => {
    const paths = Array.from({ length: 50 }, (_, index) => `${'**.a.'.repeat(10)}z${index}`);
    let given: unknown = { z: 1 };
    for (let level = 0; level < 300; level += 1) given = { a: given, b: given === null ? 1 : 2 };
    expect(() => createRedactor(paths)(given)).not.toThrow();
  }, 5_000);

  it.each<[unknown, RegExp]>([
    ['customer', /no list/],
    [[1], /of type number/],
    [[''], /Between two dots/],
    [['a..b'], /Between two dots/],
    [['.a'], /Between two dots/],
    [['card.num*'], /whole name/],
    [['**'], /everything/],
    [[Array.from({ length: 65 }, () => 'a').join('.')], /at most 64/],
    [Array.from({ length: 1_001 }, () => 'a'), /1001 paths/],
  ])('refuses %j', (paths, why) => {
    expect(() => createRedactor(paths as string[], 'holdfast.config.ts: redact')).toThrow(why);
  });

  it('is nothing at all without paths', () => {
    expect(createRedactor([])).toBe(showAll);
  });
});

describe('for any value and any paths', () => {
  const name = fc.constantFrom('a', 'b', 'c', '__proto__', 'a.b', '0');
  const value: fc.Arbitrary<unknown> = fc.letrec((tie) => ({
    value: fc.oneof(
      { maxDepth: 5 },
      fc.constantFrom(1, 'text', null, true),
      fc.array(tie('value'), { maxLength: 3 }),
      fc
        .array(fc.tuple(name, tie('value')), { maxLength: 4 })
        .map((entries) => Object.fromEntries(entries) as Record<string, unknown>),
    ),
  })).value;
  const part = fc.constantFrom('a', 'b', 'c', '*', '**');
  const path = fc
    .array(part, { minLength: 1, maxLength: 4 })
    .filter((parts) => parts.some((each) => each !== '**'))
    .map((parts) => parts.join('.'));

  /** By the meaning of a path, in the plainest way: every way to a leaf, against a regular expression. */
  function isHidden(paths: readonly string[], names: readonly (string | number)[]): boolean {
    const wayOf = (withLists: boolean): string =>
      names
        .filter((each) => withLists || typeof each === 'string')
        .map((each) => `${String(each)}.`)
        .join('');
    return paths.some((each) => {
      const regex = each
        .split('.')
        .map((one) => (one === '**' ? '(?:[^.]+\\.)*' : one === '*' ? '[^.]+\\.' : `${one}\\.`))
        .join('');
      return new RegExp(`^${regex}$`).test(wayOf(false));
    });
  }

  it('hides what a path leads to, and all that is in it', () => {
    fc.assert(
      fc.property(value, fc.array(path, { maxLength: 3 }), (given, paths) => {
        const shown = createRedactor(paths)(given);
        const look = (before: unknown, after: unknown, names: readonly (string | number)[]): void => {
          if (names.some((_, index) => isHidden(paths, names.slice(0, index + 1)))) {
            expect(after).toBe(REDACTED);
            return;
          }
          if (after === REDACTED || typeof before !== 'object' || before === null) return;
          for (const [key, each] of Object.entries(before)) {
            const next = Array.isArray(before) ? Number(key) : key;
            look(each, (after as Record<string, unknown>)[key], [...names, next]);
          }
        };
        look(given, shown, []);
      }),
      { numRuns: 500 },
    );
  });

  it('leaves the rest, its order and its shape, and hides nothing more when asked again', () => {
    fc.assert(
      fc.property(value, fc.array(path, { maxLength: 3 }), (given, paths) => {
        const before = JSON.stringify(given);
        const redact = createRedactor(paths);
        const shown = redact(given);
        expect(JSON.stringify(given)).toBe(before);
        expect(JSON.stringify(redact(shown))).toBe(JSON.stringify(shown));
        const look = (from: unknown, to: unknown): void => {
          if (to === REDACTED) return;
          if (typeof from !== 'object' || from === null) return expect(to).toBe(from);
          expect(Array.isArray(to)).toBe(Array.isArray(from));
          expect(Object.keys(to as object)).toEqual(Object.keys(from));
          for (const [key, each] of Object.entries(from))
            look(each, Object.entries(to as object).find(([k]) => k === key)?.[1]);
        };
        look(given, shown);
      }),
      { numRuns: 500 },
    );
  });

  it('hides nothing whose names stand in no path', () => {
    fc.assert(
      fc.property(value, (given) => {
        expect(JSON.stringify(createRedactor(['x.y', '**.z', 'a.x.*'])(given))).toBe(JSON.stringify(given));
      }),
      { numRuns: 300 },
    );
  });
});
