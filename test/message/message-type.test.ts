import type { StandardSchemaV1 } from '@standard-schema/spec';
import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { decodePayload } from '../../src/message/decode.ts';
import { messageId } from '../../src/message/id.ts';
import { encodeForSend, message, type MessageOptions } from '../../src/message/message-type.ts';

const OrderPlaced = message('order.placed', {
  schema: z.object({
    orderId: z.string(),
    at: z.iso.datetime().transform((text) => new Date(text)),
    items: z.array(z.string()).default([]),
  }),
  key: (order) => order.orderId,
});
const limits = { maxBytes: 1000 };
const order = { orderId: 'o-1', at: '2026-01-01T00:00:00Z' };

/** A Standard Schema of our own, asynchronous, whose messages quote values as some libraries' do. */
function quoting(): StandardSchemaV1<{ name: string }, { name: string; checked: true }> {
  return {
    '~standard': {
      version: 1,
      vendor: 'test',
      validate: async (value) => {
        const { name } = value as { name: unknown };
        await Promise.resolve();
        if (typeof name === 'string' && name !== 'secret-4711') return { value: { name, checked: true } };
        const shown = typeof name === 'string' ? `"${name}"` : String(name);
        return { issues: [{ message: `Expected a name but received ${shown}`, path: [{ key: 'name' }] }] };
      },
    },
  };
}
const Named = message('user.named', { schema: quoting(), key: (user) => user.name });

describe('message', () => {
  test('declares a type, with version 1 by default', () => {
    expect(OrderPlaced).toMatchObject({ topic: 'order.placed', version: 1 });
    expect(OrderPlaced.upcasts.size).toBe(0);
  });

  const schema = z.object({});
  const same = (old: unknown) => old;
  test.each<[string, object, string, RegExp]>([
    ['order.*', { schema }, 'HF_MESSAGE_TYPE', /Wildcards/],
    ['a', { schema, versoin: 2 }, 'HF_OPTION_UNKNOWN', /"version"/],
    ['a', { schema, ordered: true }, 'HF_OPTION_UNKNOWN', /ordered/],
    ['a', { schema: {} }, 'HF_MESSAGE_TYPE', /Standard Schema/],
    ['a', {}, 'HF_MESSAGE_TYPE', /Standard Schema/],
    ['a', { schema, key: 'id' }, 'HF_MESSAGE_TYPE', /key is not a function/],
    ['a', { schema, version: 0 }, 'HF_MESSAGE_TYPE', /version is 0/],
    ['a', { schema, version: 1.5 }, 'HF_MESSAGE_TYPE', /version is 1.5/],
    ['a', { schema, version: 4, upcast: { 1: same, 3: same } }, 'HF_MESSAGE_TYPE', /lacks version 2.*from 1 up to 3/],
    ['a', { schema, version: 4, upcast: { 2: same } }, 'HF_MESSAGE_TYPE', /lacks version 3/],
    ['a', { schema, version: 2, upcast: { 2: same } }, 'HF_MESSAGE_TYPE', /upcast 2 starts at or above version 2/],
    ['a', { schema, version: 2, upcast: { x: same } }, 'HF_MESSAGE_TYPE', /key "x"/],
    ['a', { schema, version: 2, upcast: { 1: {} } }, 'HF_MESSAGE_TYPE', /upcast 1 is not a function/],
  ])('message(%j, %o) is refused', (topic, options, code, text) => {
    expect(() => message(topic, options as MessageOptions<StandardSchemaV1>)).toThrowError(
      expect.objectContaining({ code, message: expect.stringMatching(text) }),
    );
  });

  test('old versions may be given up from below', () => {
    expect([...message('a', { schema, version: 4, upcast: { 3: same, 2: same } }).upcasts.keys()]).toEqual([2, 3]);
    expect(message('a', { schema, version: 4 }).upcasts.size).toBe(0);
  });
});

describe('encodeForSend', () => {
  test('keeps the input form; the key sees the output', () => {
    const year = message('a', {
      schema: z.object({ at: z.iso.datetime().transform((text) => new Date(text)) }),
      key: (value) => String(value.at.getUTCFullYear()),
    });
    expect(encodeForSend(year, { at: order.at }, limits)).toEqual({
      text: JSON.stringify({ at: order.at }),
      key: '2026',
    });
    expect(encodeForSend(OrderPlaced, order, limits)).toEqual({ text: JSON.stringify(order), key: 'o-1' });
  });

  test('is a promise only for a schema that validates asynchronously, and takes the payload as it was at the call', async () => {
    const user = { name: 'ada' };
    const encoded = encodeForSend(Named, user, limits);
    user.name = 'bob';
    expect(encoded).toBeInstanceOf(Promise);
    expect(await encoded).toMatchObject({ text: '{"name":"ada"}' });
  });

  test('a key given by the caller comes first; null is none', () => {
    expect(encodeForSend(OrderPlaced, order, { ...limits, key: 'other' })).toMatchObject({ key: 'other' });
    expect(encodeForSend(OrderPlaced, order, { ...limits, key: null })).toMatchObject({ key: null });
    expect(encodeForSend(message('a', { schema: z.string() }), 'x', limits)).toMatchObject({ key: null });
  });

  test.each<[unknown, string]>([
    ['', 'HF_KEY_EMPTY'],
    ['a\0', 'HF_PAYLOAD_TEXT'],
    ['\u20ac'.repeat(342), 'HF_PAYLOAD_TOO_LARGE'],
    [7, 'HF_MESSAGE_TYPE'],
  ])('the key %j is refused, whether computed or given', (key, code) => {
    const computed = message('a', { schema: z.string(), key: () => key as string });
    expect(() => encodeForSend(computed, 'x', limits)).toThrowError(expect.objectContaining({ code }));
    expect(() => encodeForSend(OrderPlaced, order, { ...limits, key: key as string })).toThrowError(
      expect.objectContaining({ code }),
    );
  });

  test('a mismatch lists places, at most five, and no values', () => {
    const Strict = message('strict', { schema: z.object({ a: z.array(z.number()), b: z.string() }) });
    const secret = 'secret-4711';
    const bad = { a: Array.from({ length: 8 }, () => secret), b: 1 } as never;
    expect(() => encodeForSend(Strict, bad, limits)).toThrowError(
      expect.objectContaining({
        code: 'HF_PAYLOAD_INVALID',
        message: expect.stringMatching(
          /^strict: (?!.*secret-4711).*payload\.a\[0\]: .*payload\.a\[4\]: .*; and 4 more\.$/,
        ),
        details: expect.objectContaining({ issueCount: 9 }),
      }),
    );
  });

  test.each([
    ['secret-4711', '<text>'],
    [4711, '<number>'],
    [47.11, '<number>'],
  ])('values that a library quotes in its message are taken out: %j', async (name, shown) => {
    const error: unknown = await Promise.resolve(encodeForSend(Named, { name } as never, limits)).catch(
      (caught: unknown) => caught,
    );
    expect(error).toMatchObject({
      code: 'HF_PAYLOAD_INVALID',
      message: `user.named: the payload does not match the schema: payload.name: Expected a name but received ${shown}.`,
    });
    expect(JSON.stringify(error)).not.toContain(String(name));
  });
});

describe('decodePayload', () => {
  const envelope = (version: number, data: unknown) => ({ id: messageId(), version, data });

  test('gives the output form', async () => {
    expect(await decodePayload(OrderPlaced, envelope(1, order))).toEqual({
      orderId: 'o-1',
      at: new Date(order.at),
      items: [],
    });
    expect(await decodePayload(Named, envelope(1, { name: 'ada' }))).toEqual({ name: 'ada', checked: true });
  });

  const V3 = message('a', {
    version: 4,
    schema: z.object({ total: z.object({ cents: z.number(), currency: z.string() }) }),
    upcast: {
      2: (old) => ({ total: { cents: (old as { total: number }).total } }),
      3: (old) => ({ total: { currency: 'EUR', ...(old as { total: { cents: number } }).total } }),
    },
  });

  test('raises older versions one by one', async () => {
    const expected = { total: { cents: 5, currency: 'EUR' } };
    expect(await decodePayload(V3, envelope(2, { total: 5 }))).toEqual(expected);
    expect(await decodePayload(V3, envelope(3, { total: { cents: 5 } }))).toEqual(expected);
    expect(await decodePayload(V3, envelope(4, expected))).toEqual(expected);
  });

  test('refuses versions that are too new or too old, and says what to do', async () => {
    await expect(decodePayload(V3, envelope(5, {}))).rejects.toMatchObject({
      code: 'HF_MESSAGE_VERSION',
      message: expect.stringContaining('Deploy consumers before producers'),
    });
    await expect(decodePayload(V3, envelope(1, {}))).rejects.toMatchObject({
      code: 'HF_MESSAGE_VERSION',
      message: expect.stringContaining('no upcast from version 1'),
    });
  });

  test('refuses what the schema refuses, and upcasts that throw', async () => {
    await expect(decodePayload(V3, envelope(4, { total: 5 }))).rejects.toMatchObject({ code: 'HF_PAYLOAD_INVALID' });
    await expect(decodePayload(Named, envelope(1, { name: 5 }))).rejects.toMatchObject({ code: 'HF_PAYLOAD_INVALID' });
    await expect(decodePayload(V3, envelope(3, null))).rejects.toMatchObject({
      code: 'HF_PAYLOAD_INVALID',
      cause: expect.any(TypeError),
    });
  });
});

test('ids ascend within a process and are version 7', () => {
  const ids = Array.from({ length: 5000 }, () => messageId());
  expect(ids.toSorted()).toEqual(ids);
  expect(new Set(ids).size).toBe(ids.length);
  expect(ids.every((id) => /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/.test(id))).toBe(
    true,
  );
});
