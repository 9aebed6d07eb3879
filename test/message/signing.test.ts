/**
 * Signatures of envelopes: what is signed for one destination is accepted there, and nothing else is.
 */
import { expect, it } from 'vitest';
import { encodeWire, decodeEnvelope } from '../../src/message/envelope.ts';
import { createChecker, createSigner } from '../../src/message/signing.ts';
import { verifyWebhook } from '../../src/message/webhook-signature.ts';

const OLD = `whsec_${Buffer.alloc(32, 1).toString('base64')}`;
const NEW = `whsec_${Buffer.alloc(32, 2).toString('base64')}`;
const NOW = 1_790_000_000_123;
const ID = '0197a3c2-5b20-7e01-8a2f-6f1d7a0c9e11';
const row = {
  id: ID,
  topic: 'order.placed',
  key: 'o-1',
  time: '2026-01-31T12:00:00.123456Z',
  payload: '{"total": 10000000000000000001.50, "note": "\\u00e9\\\\"}',
  headers: '{"schemaversion": 1, "destination": "elsewhere", "webhookid": "x"}',
};
const plain = encodeWire(row);
const sign = createSigner({ keys: { old: OLD } }, 'sign');
const to = { id: ID, destination: 'shipping' };
const signed = sign(plain, to, NOW);
const settings = { destination: 'shipping', mostAgeMs: 60_000 };
const check = createChecker({ keys: { old: OLD, new: NEW } }, settings, 'check');

it('accepts what was signed for its destination', () => {
  expect(check(signed, NOW)).toBeNull();
});

it('leaves the envelope what it was, for readers that know no signatures', () => {
  const { data, ...envelope } = decodeEnvelope(signed);
  const { data: before, ...unsigned } = decodeEnvelope(plain);
  expect(envelope).toEqual(unsigned);
  expect(data).toEqual(before);
  expect(signed.endsWith(plain.slice(1))).toBe(true);
});

it('signs as Standard Webhooks does, so that others can check it', () => {
  const { webhooksignature, webhooktimestamp } = JSON.parse(signed) as Record<string, string>;
  const body = `{${signed.slice(signed.indexOf('"destination":'))}`;
  const headers = {
    'webhook-id': ID,
    'webhook-timestamp': webhooktimestamp,
    'webhook-signature': webhooksignature,
  };
  expect(verifyWebhook({ headers, body, secrets: OLD, now: NOW })).toMatchObject({ id: ID });
});

it('refuses every text that differs in one place', () => {
  for (let at = 0; at < signed.length; at += 1) {
    const altered = signed.slice(0, at) + (signed[at] === 'x' ? 'y' : 'x') + signed.slice(at + 1);
    expect(`${at}: ${check(altered, NOW)}`).not.toBe(`${at}: null`);
  }
});

it.each([
  ['unsigned', plain],
  ['unsigned', JSON.parse(signed)],
  ['unsigned', undefined],
  ['unsigned', ` ${signed}`],
  ['destination', sign(plain, { ...to, destination: 'billing' }, NOW)],
  ['destination', sign(plain, { ...to, destination: 'shipping"' }, NOW)],
  ['key', createSigner({ keys: { other: OLD } }, 'sign')(plain, to, NOW)],
  ['signature', createSigner({ keys: { new: OLD } }, 'sign')(plain, to, NOW)],
  ['signature', signed.replace('"data":', '"data":1,"data":')],
  ['signature', `${signed} `],
  ['age', sign(plain, to, NOW - 61_000)],
])('says that it is the %s', (fault, wire) => {
  expect(check(wire, NOW)).toBe(fault);
});

it('takes a message whose signer has a clock before ours', () => {
  expect(check(sign(plain, to, NOW + 3_600_000), NOW)).toBeNull();
});

it('signs with the key that is named, so that readers can know it first', () => {
  const rotated = createSigner({ keys: { old: OLD, new: NEW }, use: 'new' }, 'sign')(plain, to, NOW);
  expect(check(rotated, NOW)).toBeNull();
  expect(createChecker({ keys: { old: OLD } }, settings, 'check')(rotated, NOW)).toBe('key');
});

it.each([
  [{ keys: {} }, 'HF_CONFIG'],
  [{ keys: { a: OLD, b: NEW } }, 'HF_CONFIG'],
  [{ keys: { a: OLD }, use: 'b' }, 'HF_CONFIG'],
  [{ keys: { 'a b': OLD } }, 'HF_CONFIG'],
  [{ keys: { a: 'whsec_short' } }, 'HF_CONFIG'],
  [{ keys: { a: OLD }, uses: 'a' }, 'HF_OPTION_UNKNOWN'],
])('refuses %j', (options, code) => {
  expect(() => createSigner(options, 'sign')).toThrow(expect.objectContaining({ code }));
  for (const secret of Object.values(options.keys)) {
    const said = (() => {
      try {
        createSigner(options, 'sign');
        return '';
      } catch (error) {
        return JSON.stringify(error) + String(error);
      }
    })();
    expect(said).not.toContain(secret);
  }
});
