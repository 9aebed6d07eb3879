/** The webhook of alerts: signatures by Standard Webhooks, answers, and what an error may say. */
import { createHmac } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import type { AlertNotice } from '../../src/operations/alerts/alert.ts';
import { createAlerts } from '../../src/operations/alerts/alerts.ts';
import { readSecret, signWebhook } from '../../src/message/webhook-signature.ts';
import { callWebhook, type WebhookTarget } from '../../src/operations/alerts/webhook.ts';
import type { Database } from '../../src/postgres/database.ts';
import { systemClock } from '../../src/runtime/clock.ts';
import { closedUrl, SECRET, useWebhookReceiver } from './webhook-receiver.ts';

const receiver = useWebhookReceiver();
const notice: AlertNotice = {
  id: '0197a1f0-7d1c-7cc3-98c4-dc0c0c07398f',
  status: 'firing',
  kind: 'stuck',
  subject: 'place-order',
  count: 2,
  since: '2026-01-01T00:00:00.000Z',
  at: '2026-01-01T00:01:00.000Z',
  again: false,
  summary: 'Two runs need a person.',
  advice: 'holdfast saga ls --stuck',
};
const target = (more: Partial<WebhookTarget> = {}): WebhookTarget => ({
  url: new URL(receiver.url),
  keys: [readSecret(SECRET, 'secret')],
  timeoutMs: 5_000,
  ...more,
});
const call = (to: WebhookTarget, signal = new AbortController().signal) =>
  callWebhook(to, notice, { clock: systemClock, signal });

describe('a signature', () => {
  it('is that of Standard Webhooks', () => {
    // From the reference implementations of the specification.
    const key = readSecret('whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', 'secret');
    const message = { id: 'msg_p5jXN8AQM9LWM0D4loKWxJek', timestamp: 1614265330, body: '{"test": 2432232314}' };
    expect(signWebhook(message, [key])).toBe('v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=');
  });

  it('is given for each secret, over what was sent', async () => {
    const old = Buffer.alloc(24, 1);
    const fresh = Buffer.alloc(64, 2);
    expect(await call(target({ keys: [fresh, old] }))).toMatchObject({ ok: true, status: 204, trouble: null });
    const [hook] = receiver.received;
    expect(hook?.id).toBe(notice.id);
    expect(Math.abs(Number(hook?.timestamp) - Date.now() / 1_000)).toBeLessThan(60);
    const expected = [fresh, old].map(
      (key) =>
        `v1,${createHmac('sha256', key).update(`${hook?.id}.${hook?.timestamp}.${hook?.body}`).digest('base64')}`,
    );
    expect(hook?.signatures).toEqual(expected);
    expect(JSON.parse(hook?.body ?? '')).toEqual({
      type: 'alert.firing',
      timestamp: notice.at,
      data: {
        status: 'firing',
        kind: 'stuck',
        subject: 'place-order',
        count: 2,
        since: notice.since,
        again: false,
        summary: notice.summary,
        advice: notice.advice,
      },
    });
  });
});

describe('an answer', () => {
  it.each([
    [200, true],
    [204, true],
    [400, false],
    [410, false],
    [500, false],
  ])('of %i counts: %s', async (status, ok) => {
    receiver.answer = () => ({ status });
    expect(await call(target())).toMatchObject({ ok, status });
  });

  it('that sends elsewhere is not followed', async () => {
    receiver.answer = () => ({ status: 307, headers: { location: '/elsewhere' } });
    expect(await call(target())).toMatchObject({ ok: false, trouble: 'answered 307: redirects are not followed' });
    expect(receiver.received.map(({ path }) => path)).toEqual(['/alerts']);
  });

  it('may say when to come back, within reason', async () => {
    receiver.answer = () => ({ status: 429, headers: { 'retry-after': '30' } });
    expect(await call(target())).toMatchObject({ retryAfterMs: 30_000 });
    receiver.answer = () => ({ status: 503, headers: { 'retry-after': '999999' } });
    expect(await call(target())).toMatchObject({ retryAfterMs: 3_600_000 });
    receiver.answer = () => ({ status: 503, headers: { 'retry-after': 'Wed, 21 Oct 2015 07:28:00 GMT' } });
    expect(await call(target())).toMatchObject({ retryAfterMs: null });
  });

  it('that does not come is given up in time, and at once when all is to stop', async () => {
    receiver.answer = () => null;
    expect(await call(target({ timeoutMs: 100 }))).toMatchObject({
      ok: false,
      status: null,
      trouble: 'no answer within 100 ms',
    });
    const stop = new AbortController();
    const called = call(target(), stop.signal);
    stop.abort(new Error('stop'));
    await expect(called).rejects.toThrow('stop');
  });

  it('that cannot come is told without the address', async () => {
    const { trouble } = await call(target({ url: new URL(await closedUrl('/T0K3N')) }));
    expect(trouble).toBe('not reached: ECONNREFUSED');
  });
});

describe('options', () => {
  const database = { query: () => Promise.reject(new Error('none')) } as unknown as Database;
  const make = (webhook: { url: string; secret: string | string[] }) => () => createAlerts({ database, webhook });

  it.each([
    ['no secret', { url: 'https://a.example/T0K3N', secret: [] }, 'has no secret'],
    ['a secret of another kind', { url: 'https://a.example/T0K3N', secret: 'hunter2hunter2' }, 'Standard Webhooks'],
    ['a secret that is too short', { url: 'https://a.example/T0K3N', secret: 'whsec_aHVudGVyMg==' }, '24 to 64'],
    ['no address', { url: 'T0K3N', secret: SECRET }, 'cannot be used'],
    ['a password in the address', { url: 'https://user:T0K3N@a.example/', secret: SECRET }, 'without user'],
  ])('with %s are refused, and not shown', (_, webhook, message) => {
    expect(make(webhook)).toThrow(message);
    expect(make(webhook)).toThrow(/^(?![\s\S]*(?:T0K3N|hunter2|aHVudGVy))/);
  });

  it.each([
    [{ rules: { lateness: false } }, 'late'],
    [{ rules: { stuck: { over: '1m' } } }, 'over'],
    [{ interval: '10ms' }, 'at least a second'],
    [{ quiet: '1h', repeat: '1m' }, 'shorter than quiet'],
    [{ objectives: { main: 'soon' } }, 'objectives.main'],
    [{ hook: () => {} }, 'hook'],
  ])('like %o are refused', (given, message) => {
    expect(() => createAlerts({ database, ...(given as object) })).toThrow(message);
  });
});
