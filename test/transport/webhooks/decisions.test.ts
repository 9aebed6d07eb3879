/** What of the webhook transport is decided without a network: addresses, answers, rests, bodies, chains. */
import fc from 'fast-check';
import { Webhook } from 'standardwebhooks';
import { describe, expect, it } from 'vitest';
import type { OutboundMessage } from '../../../src/transport/port.ts';
import { createAddressGuard } from '../../../src/transport/webhooks/address-guard.ts';
import { chainsOf } from '../../../src/transport/webhooks/batch-plan.ts';
import {
  healthAfterFailure,
  healthAfterHoldUp,
  healthAfterSuccess,
  askedToWait,
  isOnTrial,
  restLeftMs,
  WELL,
  type EndpointHealth,
} from '../../../src/transport/webhooks/endpoint-health.ts';
import { resolveEndpoint } from '../../../src/transport/webhooks/endpoint.ts';
import { judgeReply, retryAfterMs } from '../../../src/transport/webhooks/judge.ts';
import { bodyOf, webhookRequest } from '../../../src/transport/webhooks/webhook-request.ts';
import { outbound } from '../../../src/testing/transport/kit.ts';
import { SECRET } from './receiver.ts';

describe('addresses', () => {
  const guard = createAddressGuard(false, 'allowPrivate');

  it.each([
    '8.8.8.8',
    '1.1.1.1',
    '172.15.255.255',
    '172.32.0.0',
    '100.63.255.255',
    '100.128.0.0',
    '2606:4700::1111',
    '64:ff9b::8.8.8.8',
    '64:ff9b::808:808',
  ])('of the internet are allowed: %s', (address) => expect(guard.allows(address)).toBe(true));

  it.each(
    `0.0.0.0 10.0.0.1 100.64.0.1 127.0.0.1 127.255.255.255 169.254.169.254 172.16.0.1 172.31.255.255 192.168.1.1 192.0.0.192 198.18.0.1 203.0.113.7 224.0.0.1 240.0.0.1 255.255.255.255 :: ::1 ::ffff:127.0.0.1 ::ffff:8.8.8.8 ::ffff:7f00:1 ::127.0.0.1 fe80::1 fc00::1 fd00:ec2::254 ff02::1 2001::1 2001:db8::1 2002:7f00:1:: 64:ff9b::127.0.0.1 64:ff9b::a9fe:a9fe 64:ff9b:1::1 100::1 fec0::1 localhost [::1] 127.1 0x7f.0.0.1 fe80::1%eth0`.split(
      ' ',
    ),
  )('of anything else are not: %s', (address) => expect(guard.allows(address)).toBe(false));

  it('are not what is none', () => expect(guard.allows('')).toBe(false));

  it('of one subnet are allowed when it is told so, and no others', () => {
    const own = createAddressGuard(['10.1.0.0/16', 'fd00:1::/32'], 'allowPrivate');
    expect(['10.1.2.3', 'fd00:1::5', '8.8.8.8'].map((each) => own.allows(each))).toEqual([true, true, true]);
    expect(['10.2.0.1', 'fd00:2::5', '127.0.0.1'].map((each) => own.allows(each))).toEqual([false, false, false]);
    expect(createAddressGuard(true, 'allowPrivate').allows('127.0.0.1')).toBe(true);
  });

  it.each(['10.1.0.0', '10.1.0.0/33', 'fd00::/129', 'intranet/8', '10.0.0.0/8/8', ''])('are no subnet: %s', (subnet) =>
    expect(() => createAddressGuard([subnet], 'allowPrivate')).toThrow(expect.objectContaining({ code: 'HF_CONFIG' })),
  );

  it('in a URL are what the URL means, however it is written', () => {
    const rules = { guard, allowHttp: true, publishWithinMs: 8_000 };
    const refused = (url: string) => resolveEndpoint('e', { url, secrets: SECRET }, rules).refused;
    for (const host of ['127.0.0.1', '2130706433', '0x7f000001', '0177.0.0.1', '127.1', '[::1]', '[::ffff:10.0.0.1]'])
      expect({ host, refused: refused(`http://${host}/`) }).toEqual({ host, refused: true });
    expect(refused('https://8.8.8.8/')).toBe(false);
    expect(refused('https://hooks.example.com/')).toBe(false);
  });
});

describe('answers', () => {
  const judge = (
    status: number,
    ending: 'client-errors' | 'gone' = 'client-errors',
    retryAfter: string | null = null,
  ) => judgeReply({ kind: 'answer', status, retryAfter }, 'acme', ending, 0);

  it('take, refuse or put off a message', () => {
    const kinds = (...all: number[]) => new Set(all.map((status) => judge(status).kind));
    expect(kinds(200, 201, 202, 204, 299)).toEqual(new Set(['taken']));
    expect(kinds(301, 302, 307, 400, 401, 403, 404, 410, 413, 422)).toEqual(new Set(['refused']));
    expect(kinds(408, 425, 429, 500, 502, 503, 504, 599)).toEqual(new Set(['away']));
    expect([judge(410), judge(404)]).toMatchObject([{ gone: true }, { gone: false }]);
    expect(judge(404).kind === 'refused' && judge(404)).toMatchObject({ error: { code: 'HF_MESSAGE_REFUSED' } });
  });

  it('end a message only with 410 where it is told so', () => {
    expect([301, 400, 404, 410].map((status) => judge(status, 'gone').kind)).toEqual([
      'away',
      'away',
      'away',
      'refused',
    ]);
  });

  it('ask for time with 429 and 503 alone', () => {
    expect([429, 503, 500].map((status) => judge(status, 'gone', '120'))).toMatchObject([
      { asksMs: 120_000 },
      { asksMs: 120_000 },
      { asksMs: null },
    ]);
    expect(judge(429)).toMatchObject({ asksMs: null });
  });

  it('say when to come again in seconds or as a date, and nothing else counts', () => {
    expect(retryAfterMs('0', 0)).toBe(0);
    expect(retryAfterMs('Fri, 31 Dec 1999 23:59:59 GMT', Date.UTC(1999, 11, 31, 23, 59, 0))).toBe(59_000);
    expect(retryAfterMs('Fri, 31 Dec 1999 23:59:59 GMT', Date.UTC(2_000, 1, 1))).toBe(0);
    for (const header of [null, '', '-1', '1.5', 'soon', '9'.repeat(20)]) expect(retryAfterMs(header, 0)).toBe(null);
  });

  it('that do not come put a message off; an address that may not be is for good', () => {
    const failed = (code: string) => judgeReply({ kind: 'failure', code }, 'acme', 'gone', 0);
    expect([failed('ECONNREFUSED'), failed('TIMEOUT'), failed('ENOTFOUND')]).toMatchObject([
      { kind: 'away' },
      { kind: 'away' },
      { kind: 'away' },
    ]);
    expect(failed('ADDRESS_REFUSED')).toMatchObject({ kind: 'refused', gone: false });
  });
});

describe('the health of an endpoint', () => {
  const policy = { consecutiveFailures: 3, halfOpenAfterMs: 1_000 };
  const fail = (health: EndpointHealth, nowMs: number) =>
    healthAfterFailure(health, policy, { nowMs, random: () => 1 });
  const failed = (times: number, nowMs = 0) =>
    Array.from({ length: times }).reduce<EndpointHealth>((health) => fail(health, nowMs), WELL);

  it('rests after failures in a row, then after each, for ever longer', () => {
    expect(restLeftMs(failed(2), 0)).toBe(0);
    let health = failed(3);
    const rests = [restLeftMs(health, 0)];
    for (let n = 0, nowMs = 0; n < 10; n += 1) {
      nowMs += restLeftMs(health, nowMs);
      expect(isOnTrial(health)).toBe(true);
      health = fail(health, nowMs);
      rests.push(restLeftMs(health, nowMs));
    }
    expect(rests).toEqual([1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300].map((seconds) => seconds * 1_000));
  });

  it('is not held against it twice: what was under way when the rest began counts no more', () => {
    expect(failed(20)).toEqual(failed(3));
  });

  it('is well again after one success, but keeps the rest that it has asked for', () => {
    expect(healthAfterSuccess(failed(2))).toEqual(WELL);
    const asked = askedToWait(WELL, 5_000, 0);
    expect(restLeftMs(healthAfterSuccess(asked), 1_000)).toBe(4_000);
    expect(restLeftMs(askedToWait(asked, 1_000, 0), 0)).toBe(5_000);
    expect(restLeftMs(askedToWait(WELL, 1e12, 0), 0)).toBe(3_600_000);
  });

  it('rests nine times as long as it held up the others, when that was longer than they bear', () => {
    expect(healthAfterHoldUp(WELL, 1_000, 1_000, 0)).toBe(WELL);
    expect(restLeftMs(healthAfterHoldUp(WELL, 1_001, 1_000, 0), 0)).toBe(9_009);
  });

  it('never rests for less than half of what it should', () => {
    fc.assert(
      fc.property(
        fc.double({ min: 0, max: 0.999, noNaN: true }),
        fc.integer({ min: 0, max: 30 }),
        (random, openings) => {
          const health = { failures: 2, openings, restUntilMs: 0 };
          const restMs = restLeftMs(healthAfterFailure(health, policy, { nowMs: 0, random: () => random }), 0);
          const most = Math.min(300_000, 1_000 * 2 ** openings);
          expect(restMs).toBeGreaterThanOrEqual(most / 2);
          expect(restMs).toBeLessThanOrEqual(most);
        },
      ),
    );
  });
});

describe('a request', () => {
  const endpoint = resolveEndpoint(
    'acme',
    { url: 'https://hooks.example.com/in?x=1', secrets: SECRET, headers: { authorization: 'Bearer t' } },
    { guard: createAddressGuard(false, ''), allowHttp: false, publishWithinMs: 8_000 },
  );
  const message = outbound('acme', 1, {
    wire: '{"specversion":"1.0","type":"x","time":"2026-01-31T12:00:00.123456Z","headers":{"data":"no","secret":"s"},"data":{"n":9007199254740993,"t":"grüße \\u2028"}}',
  });

  it('has type, time and data of the message, with no digit lost and none of its headers', () => {
    expect(bodyOf(message, 'standard')).toBe(
      '{"type":"test.happened","timestamp":"2026-01-31T12:00:00.123456Z","data":{"n":9007199254740993,"t":"grüße \\u2028"}}',
    );
    expect(bodyOf(message, 'cloudevents')).toBe(message.wire);
  });

  it('is signed over just what is sent', () => {
    const body = bodyOf(message, 'standard');
    const timestamp = Math.floor(Date.now() / 1_000);
    const request = webhookRequest(message, body, { endpoint, form: 'standard', timestamp });
    const headers = request.headers as Record<string, string>;
    expect(new Webhook(SECRET).verify(request.body, headers)).toEqual(JSON.parse(body));
    expect(headers).toMatchObject({
      authorization: 'Bearer t',
      'webhook-id': message.id,
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(body),
    });
  });

  it('is refused for what is no envelope', () => {
    for (const wire of ['{"holdfast": 1, ', '[]', 'x', '{"no":"envelope"}'])
      expect(() => bodyOf({ ...message, wire }, 'standard')).toThrow(
        expect.objectContaining({ code: 'HF_MESSAGE_REFUSED' }),
      );
  });
});

it('chains are the messages of a key in their order', () => {
  const parcels = ['a', null, 'b', 'a', null, 'a'].map((key, index) => ({
    message: { key } as OutboundMessage,
    index,
  }));
  expect(chainsOf(parcels).map((chain) => chain.map(({ index }) => index))).toEqual([[0, 3, 5], [1], [2], [4]]);
});
