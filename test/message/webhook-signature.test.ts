/** Webhooks that come in: verified as Standard Webhooks has it, held against its own library. */
import { Webhook } from 'standardwebhooks';
import { describe, expect, it } from 'vitest';
import {
  readSecret,
  signWebhook,
  verifyWebhook,
  type VerifyWebhookOptions,
} from '../../src/message/webhook-signature.ts';

const SECRET = `whsec_${Buffer.alloc(32, 7).toString('base64')}`;
const OLD = `whsec_${Buffer.alloc(24, 1).toString('base64')}`;
const NOW = 1_800_000_000_000;
const BODY = '{"type":"invoice.paid","data":{"total":"12 €"}}';

const signed = (secret = SECRET, body = BODY, atMs = NOW): Record<string, string> => ({
  'webhook-id': 'msg_1',
  'webhook-timestamp': String(atMs / 1_000),
  'webhook-signature': new Webhook(secret).sign('msg_1', new Date(atMs), body),
});
const verify = (options: Partial<VerifyWebhookOptions> = {}) =>
  verifyWebhook({ headers: signed(), body: BODY, secrets: SECRET, now: NOW, ...options });
const refused = (part: string) => expect.objectContaining({ code: 'HF_WEBHOOK_UNVERIFIED', details: { part } });

describe('verifyWebhook', () => {
  it('takes what the library of Standard Webhooks signs, as text and as bytes, from each kind of headers', () => {
    const expected = { id: 'msg_1', sentAt: new Date(NOW), body: BODY };
    expect(verify()).toEqual(expected);
    expect(verify({ body: Buffer.from(BODY) })).toEqual(expected);
    expect(verify({ headers: new Headers(signed()) })).toEqual(expected);
    const spelled = Object.fromEntries(Object.entries(signed()).map(([name, value]) => [name.toUpperCase(), value]));
    expect(verify({ headers: spelled })).toEqual(expected);
    expect(verify({ headers: { ...signed(), 'webhook-signature': [signed()['webhook-signature'] ?? ''] } })).toEqual(
      expected,
    );
  });

  it('signs what that library takes', () => {
    const timestamp = Math.floor(Date.now() / 1_000);
    const keys = [readSecret(OLD, 'old'), readSecret(SECRET, 'new')];
    const headers = {
      'webhook-id': 'msg_2',
      'webhook-timestamp': String(timestamp),
      'webhook-signature': signWebhook({ id: 'msg_2', timestamp, body: BODY }, keys),
    };
    for (const secret of [OLD, SECRET]) expect(new Webhook(secret).verify(BODY, headers)).toEqual(JSON.parse(BODY));
  });

  it('takes any of the secrets, and any of the signatures', () => {
    expect(verify({ headers: signed(OLD), secrets: [SECRET, OLD] }).id).toBe('msg_1');
    const both = `v1a,AAAA v1,AAAA ${signed()['webhook-signature']}`;
    expect(verify({ headers: { ...signed(), 'webhook-signature': both } }).id).toBe('msg_1');
  });

  it.each([
    ['another body', { body: `${BODY} ` }],
    ['another secret', { secrets: OLD }],
    ['another id', { headers: { ...signed(), 'webhook-id': 'msg_2' } }],
    ['no signature', { headers: { ...signed(), 'webhook-signature': '' } }],
    [
      'another scheme',
      { headers: { ...signed(), 'webhook-signature': signed()['webhook-signature']?.replace('v1', 'v2') } },
    ],
    [
      'a part of the signature',
      { headers: { ...signed(), 'webhook-signature': signed()['webhook-signature']?.slice(0, 20) } },
    ],
    [
      'a signature after very many',
      { headers: { ...signed(), 'webhook-signature': `${'v1,AAAA '.repeat(50)}${signed()['webhook-signature']}` } },
    ],
  ])('refuses %s', (_, options) => {
    expect(() => verify(options)).toThrow(refused('signature'));
  });

  it('refuses what was sent too long ago or lies ahead, and what has no time or no id', () => {
    expect(verify({ now: NOW + 300_000 }).id).toBe('msg_1');
    for (const now of [NOW + 300_001, NOW - 300_001]) expect(() => verify({ now })).toThrow(refused('timestamp'));
    expect(verify({ now: NOW + 3_600_000, tolerance: '1h' }).id).toBe('msg_1');
    for (const time of ['', 'now', '1e9', '-5', '9'.repeat(13)])
      expect(() => verify({ headers: { ...signed(), 'webhook-timestamp': time } })).toThrow(refused('timestamp'));
    for (const id of [undefined, '', 'a b', 'x'.repeat(257)])
      expect(() => verify({ headers: { ...signed(), 'webhook-id': id } })).toThrow(refused('id'));
  });

  it('refuses what it cannot be meant to be told, and shows no secret', () => {
    expect(() => verify({ secrets: [] })).toThrow(expect.objectContaining({ code: 'HF_CONFIG' }));
    expect(() => verify({ secrets: 'hunter2' })).toThrow(expect.objectContaining({ code: 'HF_CONFIG' }));
    expect(() => verify({ secrets: 'hunter2' })).not.toThrow(/hunter2/);
    expect(() => verify({ body: JSON.parse(BODY) as string })).toThrow(/before it is parsed/);
    expect(() => verify({ tolerence: '1m' } as object)).toThrow(expect.objectContaining({ code: 'HF_OPTION_UNKNOWN' }));
  });
});
