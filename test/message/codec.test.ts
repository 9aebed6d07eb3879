/** Values that are encrypted open by their key, in their place, and nowhere else. */
import { describe, expect, it } from 'vitest';
import { createAesGcmCodec } from '../../src/message/aes-gcm-codec.ts';
import { openText } from '../../src/message/codec.ts';
import {
  isEncrypted,
  messageOfError,
  parkedErrorText,
  tellEncrypted,
  type EncryptedValue,
} from '../../src/message/encrypted-value.ts';
import type { Envelope } from '../../src/message/envelope.ts';
import { elementsOf, membersOf, objectText } from '../../src/message/json-parts.ts';
import { openEnvelope, placeOfPayload } from '../../src/message/open-envelope.ts';

const A = Buffer.alloc(32, 1).toString('base64');
const B = Buffer.alloc(32, 2).toString('base64');
const codec = createAesGcmCodec({ keys: { a: A, b: B }, use: 'a' });
const text = '{"card":"4111 1111","amount":10000000000000000001.50,"who":"Zoë"}';
const encrypt = (place = 'here'): EncryptedValue => JSON.parse(codec.encode(text, place)) as EncryptedValue;
const why = (fn: () => unknown): unknown => {
  try {
    fn();
    return null;
  } catch (error) {
    return (error as { readonly details?: { readonly why?: string } }).details?.why;
  }
};

describe('the codec', () => {
  it('gives back the very text, and shows nothing of it', () => {
    const value = encrypt();
    expect(isEncrypted(value)).toBe(true);
    expect(JSON.stringify(value)).not.toContain('4111');
    expect(Buffer.from(String(value.data), 'base64').toString('latin1')).not.toContain('4111');
    expect(codec.decode(value, 'here')).toBe(text);
  });

  it('does not open what was moved, altered, or relabelled', () => {
    const value = encrypt();
    const data = Buffer.from(String(value.data), 'base64');
    expect(why(() => codec.decode(value, 'there'))).toBe('altered');
    expect(why(() => codec.decode({ ...value, $enc: 'b' }, 'here'))).toBe('altered');
    expect(why(() => codec.decode({ ...value, iv: 'AAAA' }, 'here'))).toBe('altered');
    expect(why(() => codec.decode({ ...value, data: 7 }, 'here'))).toBe('altered');
    for (let at = 0; at < data.length; at += 1) {
      const altered = Buffer.from(data);
      altered.writeUInt8(altered.readUInt8(at) ^ 1, at);
      expect(why(() => codec.decode({ ...value, data: altered.toString('base64') }, 'here'))).toBe('altered');
      expect(why(() => codec.decode({ ...value, data: data.subarray(0, at).toString('base64') }, 'here'))).toBe(
        'altered',
      );
    }
  });

  it('reads by old keys and writes by the one it is to use', () => {
    const newer = createAesGcmCodec({ keys: { a: A, b: B }, use: 'b' });
    expect(newer.decode(encrypt(), 'here')).toBe(text);
    const value = JSON.parse(newer.encode(text, 'here')) as EncryptedValue;
    expect(value.$enc).toBe('b');
    expect(why(() => createAesGcmCodec({ keys: { a: A } }).decode(value, 'here'))).toBe('key');
  });

  it('never makes the same of the same, unless that is asked for', () => {
    expect(encrypt()).not.toEqual(encrypt());
    const again = codec.encode(text, 'here', true);
    expect(codec.encode(text, 'here', true)).toBe(again);
    expect(codec.encode(text, 'there', true)).not.toBe(again);
    expect(codec.encode(`${text} `, 'here', true)).not.toBe(again);
    expect(codec.decode(JSON.parse(again) as EncryptedValue, 'here')).toBe(text);
  });

  it('uses no nonce twice, also where it is to make the same of the same', () => {
    const texts = ['', 'a', 'b', 'ab', 'eb'];
    const nonces = ['here', 'her', 'there'].flatMap((place) =>
      texts.map((each) => (JSON.parse(codec.encode(each, place, true)) as EncryptedValue).iv),
    );
    expect(new Set(nonces).size).toBe(nonces.length);
  });

  it('opens nothing by a tag that was cut', () => {
    const whole = JSON.parse(codec.encode('', 'here')) as EncryptedValue;
    expect(codec.decode(whole, 'here')).toBe('');
    const tag = Buffer.from(String(whole.data), 'base64');
    for (const length of [4, 8, 12, 15])
      expect(why(() => codec.decode({ ...whole, data: tag.subarray(0, length).toString('base64') }, 'here'))).toBe(
        'altered',
      );
  });

  it('is asked for where a value is encrypted, and only there', () => {
    expect(openText({ card: 1 }, null, 'here')).toBeNull();
    expect(openText(undefined, codec, 'here')).toBeNull();
    expect(openText(encrypt(), codec, 'here')).toBe(text);
    expect(why(() => openText(encrypt(), null, 'here'))).toBe('no codec');
    for (const value of [{ $enc: 1 }, { $enc: 'a', more: 1 }, 'a', null, [encrypt()]])
      expect(isEncrypted(value)).toBe(false);
  });

  it.each([
    [{ keys: {} }, 'HF_CONFIG'],
    [{ keys: { a: A, b: B } }, 'HF_CONFIG'],
    [{ keys: { a: A }, use: 'c' }, 'HF_CONFIG'],
    [{ keys: { a: A.slice(4) } }, 'HF_CONFIG'],
    [{ keys: { 'a"': A } }, 'HF_CONFIG'],
    [{ keys: { a: A }, require: true }, 'HF_OPTION_UNKNOWN'],
  ])('refuses %j', (options, code) => {
    expect(() => createAesGcmCodec(options)).toThrow(expect.objectContaining({ code }));
  });
});

describe('a payload', () => {
  const envelope = { id: '01890a5d-ac96-774b-bcce-b302099a8057', topic: 'card.charged' } as Envelope;
  const data = JSON.parse(codec.encode(text, placeOfPayload(envelope))) as EncryptedValue;

  it('opens in its message, with its digits, and in no other one', () => {
    const opened = openEnvelope(codec, { ...envelope, data }, '{}');
    expect(opened.envelope.data).toMatchObject({ card: '4111 1111' });
    expect(opened.wire).toBe(`{"data":${text}}`);
    const other = { ...envelope, id: '01890a5d-ac96-774b-bcce-b302099a8058', data };
    expect(why(() => openEnvelope(codec, other, '{}'))).toBe('altered');
    expect(why(() => openEnvelope(codec, { ...envelope, topic: 'card.refunded', data }, '{}'))).toBe('altered');
  });

  it('that is plain is taken, unless it must not be', () => {
    const plain = { ...envelope, data: { card: 1 } };
    expect(openEnvelope(codec, plain, '{}')).toEqual({ envelope: plain, wire: '{}' });
    const strict = createAesGcmCodec({ keys: { a: A }, required: true });
    expect(why(() => openEnvelope(strict, plain, '{}'))).toBe('plain');
  });
});

it('the parts of a JSON text are the texts that stand there', () => {
  const object = ' { "a" : [1, {"b": "}],\\"" }], "c\\"": 1.0e400 ,"d":{} } ';
  expect(membersOf(object)).toEqual([
    ['a', '[1, {"b": "}],\\"" }]'],
    ['c"', '1.0e400'],
    ['d', '{}'],
  ]);
  expect(objectText(membersOf('{"a":1.50,"b":"\\\\"}'))).toBe('{"a":1.50,"b":"\\\\"}');
  expect(elementsOf('[{"a":[1,2]}, "x,y" ,3]')).toEqual(['{"a":[1,2]}', '"x,y"', '3']);
  expect([elementsOf('[]'), membersOf('{ }')]).toEqual([[], []]);
});

describe('what people are told of an encrypted value', () => {
  const value = encrypt();

  it('is its key, wherever it stands', () => {
    const told = JSON.stringify({ input: value, list: [value, { $enc: 'a', other: 1 }], n: 1 }, tellEncrypted);
    expect(told).toBe('{"input":"encrypted (key a)","list":["encrypted (key a)",{"$enc":"a","other":1}],"n":1}');
    expect(JSON.stringify(value, tellEncrypted)).toBe('"encrypted (key a)"');
  });

  it('is its key in errors, and what they say in others', () => {
    expect(messageOfError({ message: 'encrypted', encrypted: value } as { message: string })).toBe('encrypted (key a)');
    expect(messageOfError({ message: 'no tea' })).toBe('no tea');
    const kept = `Error: [E1] encrypted ${JSON.stringify(value)}`;
    expect(parkedErrorText(kept)).toBe('Error: [E1] encrypted (key a)');
    expect(parkedErrorText('Error: no tea')).toBe('Error: no tea');
  });
});
