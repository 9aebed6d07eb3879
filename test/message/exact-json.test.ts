/**
 * Numbers that a double would alter, and the limits of JSON that decoder and encoder share.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { decodePayload } from '../../src/message/decode.ts';
import { decodeEnvelope } from '../../src/message/envelope.ts';
import { memberText, parseExact } from '../../src/message/exact-json.ts';
import { holdsInfinity, isTooDeep, MAX_JSON_DEPTH } from '../../src/message/json-limits.ts';
import { message } from '../../src/message/message-type.ts';
import { encodePayload } from '../../src/message/payload.ts';

const EXACT = [
  '0',
  '-0',
  '1',
  '-1.50',
  '1e3',
  '1E+3',
  '0.1',
  '9007199254740992',
  '1e21',
  '123456789.125',
  '1e-7',
  '5e-324',
];
const INEXACT = [
  '9007199254740993',
  '-9007199254740993',
  '0.12345678901234567890',
  '1e400',
  '-1e400',
  '1e-400',
  '12345678901234567.5',
];

describe('numbers', () => {
  it.each(EXACT)('%s stays a number', (number) => {
    expect(parseExact(`{"n":${number}}`, 'text')).toEqual(JSON.parse(`{"n":${number}}`));
    expect(parseExact(`[${number}]`, 'bigint')).toEqual([Number(number)]);
  });

  it.each(INEXACT)('%s comes as it is written', (number) => {
    expect(parseExact(`{"a":[1,${number}, true],"b":${number}}`, 'text')).toEqual({ a: [1, number, true], b: number });
  });

  it('comes as a BigInt where it is whole', () => {
    expect(parseExact('{"id": 9007199254740993, "n": 7, "x": 1e400, "t": "9007199254740993"}', 'bigint')).toEqual({
      id: 9007199254740993n,
      n: 7,
      x: '1e400',
      t: '9007199254740993',
    });
  });

  it('are not looked for in texts', () => {
    const value = { 'a"9007199254740993': 'x\\" 9007199254740993', n: '\\', e: 'true', __proto__: null };
    expect(parseExact(JSON.stringify(value), 'bigint')).toEqual(value);
  });

  it('lose nothing, whatever stands around them', () => {
    fc.assert(
      fc.property(
        fc.json(),
        fc.bigInt(),
        fc.constantFrom('text' as const, 'bigint' as const),
        (json, whole, numbers) => {
          const parsed = parseExact(`{"rest":${json},"whole":${whole}}`, numbers) as { readonly whole: unknown };
          expect(String(parsed.whole)).toBe(String(Number.isSafeInteger(Number(whole)) ? Number(whole) : whole));
          // What a double holds is as JSON.parse has it; fast-check's own numbers are doubles.
          expect(JSON.stringify(parseExact(json, numbers))).toBe(JSON.stringify(JSON.parse(json)));
        },
      ),
      { examples: [['{"a":"\\\\\\""}', 2n ** 64n, 'text']] },
    );
  });
});

it('finds the text of a member as JSON.parse finds its value', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.constantFrom('data', 'type', 'a"b'), fc.json({ maxDepth: 3 }))), (members) => {
      const text = `{ ${members.map(([name, json]) => `${JSON.stringify(name)} : ${json}`).join(' , ')} }`;
      const value = (JSON.parse(text) as { readonly data?: unknown }).data;
      const found = memberText(text, 'data');
      expect(found === undefined ? undefined : JSON.parse(found)).toEqual(value);
    }),
  );
});

const nested = (depth: number): string => '['.repeat(depth) + ']'.repeat(depth);

describe('depth', () => {
  it('has one limit, for what is sent and what is read', () => {
    for (const [depth, fits] of [
      [MAX_JSON_DEPTH, true],
      [MAX_JSON_DEPTH + 1, false],
      [200_000, false],
    ] as const) {
      const text = nested(depth);
      const value: unknown = JSON.parse(text);
      expect(isTooDeep(value, text)).toBe(!fits);
      expect(isTooDeep({ a: value }, undefined, MAX_JSON_DEPTH + 1)).toBe(!fits);
      if (fits) expect(encodePayload(value, { maxBytes: 1e6, where: 't' })).toBe(text);
      else expect(() => encodePayload(value, { maxBytes: 1e6, where: 't' })).toThrow(/nested more than 500 deep/);
    }
  });

  it('is refused in an envelope, as text or parsed', () => {
    const text = `{"specversion":"1.0","holdfast":1,"id":"01890000-0000-7000-8000-000000000000","type":"t","source":"s","time":"2026-01-01T00:00:00Z","data":${nested(100_000)}}`;
    expect(() => decodeEnvelope(text)).toThrow(/nested more than 500 deep/);
    expect(() => decodeEnvelope(JSON.parse(text))).toThrow(/nested more than 500 deep/);
  });
});

describe('a message type', () => {
  const wire = (data: string): string => `{"data":1,"x":{"data":2},"data":${data}}`;
  const envelope = (data: string, version = 1) => ({ id: 'm', version, data: JSON.parse(data) as unknown });

  it('refuses what would be Infinity, unless it takes numbers as they are written', async () => {
    const plain = message('t', { schema: z.object({ n: z.unknown() }) });
    for (const data of ['{"n":1e400}', '{"n":[0,1E+400]}', `{"n":-1${'0'.repeat(400)}}`]) {
      await expect((async () => decodePayload(plain, envelope(data), wire(data)))()).rejects.toThrow(
        /beyond what JavaScript can hold/,
      );
      expect(holdsInfinity(JSON.parse(data), data)).toBe(true);
      expect(holdsInfinity(JSON.parse(data))).toBe(true);
    }
    const exact = message('t', { schema: z.object({ n: z.string() }), numbers: 'text' });
    expect(await decodePayload(exact, envelope('{"n":1e400}'), wire('{"n":1e400}'))).toEqual({ n: '1e400' });
    expect(holdsInfinity({ t: 'e999' }, '{"t":"e999"}')).toBe(false);
  });

  it('raises and validates exact numbers', async () => {
    const type = message('t', {
      version: 2,
      upcast: { 1: (old) => ({ ids: [(old as { readonly id: bigint }).id] }) },
      schema: z.object({ ids: z.array(z.coerce.bigint()) }),
      numbers: 'bigint',
    });
    const data = '{"id": 9007199254740993}';
    expect(await decodePayload(type, envelope(data), wire(data))).toEqual({ ids: [9007199254740993n] });
  });

  it('knows two ways', () => {
    expect(() => message('t', { schema: z.unknown(), numbers: 'exact' as never })).toThrow(/numbers is "exact"/);
  });
});
