/** Who is let in: tokens, proxies, sessions, the limit of logins, and what pages of others cannot do. */
import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { createAddressList } from '../../src/dashboard/server/addresses.ts';
import { mayAs } from '../../src/dashboard/server/authenticator.ts';
import { checkForgery, CSRF_HEADER } from '../../src/dashboard/server/guards.ts';
import { createLoginLimit } from '../../src/dashboard/server/login-limit.ts';
import { proxyAuthenticator } from '../../src/dashboard/server/proxy-authenticator.ts';
import { factsOf } from '../../src/dashboard/server/request-facts.ts';
import { createSessions } from '../../src/dashboard/server/sessions.ts';
import { createTextSigner } from '../../src/dashboard/server/signed-text.ts';
import { tokenAuthenticator } from '../../src/dashboard/server/token-authenticator.ts';
import { createManualClock } from '../../src/testing/manual-clock.ts';

const SECRET = 'correct-horse-battery';
const HASH = createHash('sha256').update('another-long-secret').digest('hex');
const asked = (headers: Readonly<Record<string, string>>, peer: string | null = '203.0.113.1') => ({
  peer,
  header: (name: string) => headers[name] ?? null,
});

it('roles contain each other', () => {
  expect(mayAs('admin', 'viewer')).toBe(true);
  expect(mayAs('operator', 'operator')).toBe(true);
  expect(mayAs('viewer', 'operator')).toBe(false);
  expect(mayAs('operator', 'admin')).toBe(false);
});

describe('tokens', () => {
  const tokens = tokenAuthenticator([`ada:operator:${SECRET}`, `ci@build:viewer:sha256:${HASH}`]);

  it('are known plain and by their hash', () => {
    expect(tokens.authenticate(asked({ authorization: `Bearer ${SECRET}` }))).toEqual({
      actor: 'ada',
      role: 'operator',
    });
    expect(tokens.login?.('another-long-secret')).toEqual({ actor: 'ci@build', role: 'viewer' });
  });

  it.each(['', SECRET.slice(1), `${SECRET} `, HASH, 'ada:operator', SECRET.toUpperCase()])('%j is none', (secret) => {
    expect(tokens.login?.(secret)).toBeNull();
  });

  it.each([`Basic ${SECRET}`, SECRET, 'Bearer', `Bearer ${SECRET} ${SECRET}`])('%j is no bearer', (authorization) => {
    expect(tokens.authenticate(asked({ authorization }))).toBeNull();
  });

  it.each([
    ['no role', `ada:${SECRET}`],
    ['a role that is none', `ada:root:${SECRET}`],
    ['a short one', 'ada:viewer:short'],
    ['a hash that is none', 'ada:viewer:sha256:abc'],
    ['a name that would break the audit', `a b:viewer:${SECRET}`],
    ['nothing', ''],
  ])('refuses %s, without showing it', (_, token) => {
    expect(() => tokenAuthenticator([token])).toThrow(/token 1 of the dashboard/);
    expect(() => tokenAuthenticator([token])).not.toThrow(new RegExp(SECRET));
  });

  it('has another fingerprint when it lets in others', () => {
    const again = tokenAuthenticator([`ci@build:viewer:sha256:${HASH}`, `ada:operator:${SECRET}`]);
    expect(again.fingerprint).toBe(tokens.fingerprint);
    expect(tokenAuthenticator([`ada:admin:${SECRET}`]).fingerprint).not.toBe(
      tokenAuthenticator([`ada:operator:${SECRET}`]).fingerprint,
    );
  });
});

describe('a proxy', () => {
  const proxy = proxyAuthenticator({ from: ['10.0.0.0/8'], roles: { sre: 'admin', 'on-call': 'operator' } });
  const user = { 'x-forwarded-user': 'ada', 'x-forwarded-groups': 'staff, on-call' };

  it('is believed when it connects from its address, and the highest role counts', () => {
    expect(proxy.authenticate(asked(user, '10.0.0.1'))).toEqual({ actor: 'ada', role: 'operator' });
    const both = { ...user, 'x-forwarded-groups': 'on-call,sre' };
    expect(proxy.authenticate(asked(both, '::ffff:10.0.0.1'))).toEqual({ actor: 'ada', role: 'admin' });
  });

  it.each([
    ['another address', user, '203.0.113.1'],
    ['an address that is not known', user, null],
    ['nobody', { 'x-forwarded-groups': 'sre' }, '10.0.0.1'],
    ['two names, one of them smuggled in', { ...user, 'x-forwarded-user': 'eve, ada' }, '10.0.0.1'],
    ['no group with a role', { ...user, 'x-forwarded-groups': 'staff' }, '10.0.0.1'],
    ['groups that are properties of every object', { ...user, 'x-forwarded-groups': 'constructor' }, '10.0.0.1'],
  ])('is not for %s', (_, headers, peer) => {
    expect(proxy.authenticate(asked(headers, peer))).toBeNull();
  });

  it('refuses settings by which nobody or anybody would come in', () => {
    expect(() => proxyAuthenticator({ from: [], everybody: 'viewer' })).toThrow(/trusts no address/);
    expect(() => proxyAuthenticator({ from: ['10.0.0.1'] })).toThrow(/nobody a role/);
    expect(() => proxyAuthenticator({ from: ['10.0.0.1'], everybody: 'root' as never })).toThrow(/role/);
  });
});

describe('sessions', () => {
  const clock = createManualClock();
  const make = (key?: string, fingerprint = 'a') =>
    createSessions({ clock, lifeMs: 3_600_000, basePath: '/ops', key, fingerprint });
  const pairOf = (cookie: string) => cookie.split(';')[0] ?? '';

  it('are what the cookie proves, for as long as they last', async () => {
    const sessions = make();
    const cookie = sessions.begin({ actor: 'ada', role: 'operator' }, true);
    expect(cookie).toMatch(
      /^__Secure-holdfast_session=[\w.-]+; Path=\/ops; Max-Age=3600; HttpOnly; SameSite=Strict; Secure$/,
    );
    const open = sessions.find(`other=1; ${pairOf(cookie)}`, true);
    expect(open).toMatchObject({ actor: 'ada', role: 'operator' });
    // A cookie of HTTPS is none of HTTP, and the other way round.
    expect(sessions.find(pairOf(cookie), false)).toBeNull();
    expect(sessions.begin({ actor: 'ada', role: 'viewer' }, false)).not.toMatch(/Secure/);
    await clock.advance('1h');
    expect(sessions.find(pairOf(cookie), true)).toBeNull();
  });

  it('are over after a logout', () => {
    const sessions = make();
    const pair = pairOf(sessions.begin({ actor: 'ada', role: 'viewer' }, false));
    const open = sessions.find(pair, false);
    const other = pairOf(sessions.begin({ actor: 'ada', role: 'viewer' }, false));
    expect(sessions.end(open, false)).toMatch(/Max-Age=0/);
    expect(sessions.find(pair, false)).toBeNull();
    // Of the same person, in another browser.
    expect(sessions.find(other, false)).toMatchObject({ actor: 'ada' });
    // Nor does the logout of one open what another has ended.
    sessions.end(sessions.find(other, false), false);
    expect([sessions.find(pair, false), sessions.find(other, false)]).toEqual([null, null]);
  });

  it('cannot be altered, nor made with another key or for other tokens', () => {
    const key = 'k'.repeat(32);
    const sessions = make(key);
    const pair = pairOf(sessions.begin({ actor: 'ada', role: 'viewer' }, false));
    const [name = '', value = ''] = pair.split('=');
    const [body = '', signature = ''] = value.split('.');
    const claims = JSON.parse(Buffer.from(body, 'base64url').toString()) as unknown[];
    const forged = Buffer.from(JSON.stringify(claims.with(3, 'admin'))).toString('base64url');
    expect(make(key).find(pair, false)).toMatchObject({ role: 'viewer' });
    expect(make(key, 'b').find(pair, false)).toBeNull();
    expect(make().find(pair, false)).toBeNull();
    for (const each of [`${forged}.${signature}`, body, `${body}.`, `.${signature}`, `${body}.${signature}.x`, '']) {
      expect(sessions.find(`${name}=${each}`, false)).toBeNull();
    }
    // What a process with other roles or more facts has signed.
    const signer = createTextSigner({ key, purpose: 'a' });
    const signed = (given: unknown) => `${name}=${signer.sign(JSON.stringify(given))}`;
    expect(sessions.find(signed(claims), false)).toMatchObject({ role: 'viewer' });
    for (const each of [claims.with(3, 'root'), [...claims, 'more'], claims.slice(0, 4)])
      expect(sessions.find(signed(each), false)).toBeNull();
  });
});

describe('logins', () => {
  it('that fail are limited for each address, and tries come back', async () => {
    const clock = createManualClock();
    const limit = createLoginLimit(clock);
    for (let tries = 0; tries < 10; tries += 1) {
      expect(limit.waitFor('203.0.113.1')).toBe(0);
      limit.failed('203.0.113.1');
    }
    expect(limit.waitFor('203.0.113.1')).toBe(6);
    expect(limit.waitFor('203.0.113.2')).toBe(0);
    await clock.advance('6s');
    expect(limit.waitFor('203.0.113.1')).toBe(0);
    limit.failed('203.0.113.1');
    expect(limit.waitFor('203.0.113.1')).toBe(6);
  });

  it('are counted for a network of IPv6, whose addresses nobody can count', () => {
    const limit = createLoginLimit(createManualClock());
    for (let tries = 0; tries < 10; tries += 1) limit.failed(`2001:db8:0:1::${tries}`);
    expect(limit.waitFor('2001:db8:0:1:ffff::1')).toBeGreaterThan(0);
    expect(limit.waitFor('2001:db8:0:2::1')).toBe(0);
  });

  it('do not fill memory', () => {
    const limit = createLoginLimit(createManualClock());
    for (let tries = 0; tries < 10; tries += 1) limit.failed('203.0.113.1');
    for (let each = 0; each < 10_000; each += 1) limit.failed(`10.0.${each >> 8}.${each & 255}`);
    expect(limit.waitFor('203.0.113.1')).toBe(0);
  });
});

describe('a request that acts', () => {
  const check = (headers: Readonly<Record<string, string>>, isForm = false, method = 'POST') => {
    const header = (name: string) => ({ host: 'dash.test', ...headers })[name] ?? null;
    const facts = factsOf({ peer: '10.0.0.1', encrypted: false, urlHost: '', header }, createAddressList([], 'test'));
    return () => checkForgery({ method, facts, header, isForm });
  };
  const meant = { [CSRF_HEADER]: '1' };

  it.each([
    ['of a program', meant, false],
    ['of the page', { ...meant, origin: 'http://dash.test', 'sec-fetch-site': 'same-origin' }, false],
    ['of the page behind a proxy that speaks HTTPS', { ...meant, origin: 'https://dash.test' }, false],
    ['of a form of ours', { origin: 'http://dash.test' }, true],
    ['of a form of ours, whose referrer we forbid', { origin: 'null', 'sec-fetch-site': 'same-origin' }, true],
  ])('%s passes', (_, headers, isForm) => {
    expect(check(headers, isForm)).not.toThrow();
  });

  it.each([
    ['without the header', {}, false],
    ['without the header, from the page even', { origin: 'http://dash.test' }, false],
    ['of another origin', { ...meant, origin: 'http://evil.test' }, false],
    ['of another port', { ...meant, origin: 'http://dash.test:81' }, false],
    ['of another site', { ...meant, 'sec-fetch-site': 'cross-site' }, false],
    ['of a neighbour', { ...meant, 'sec-fetch-site': 'same-site' }, false],
    ['of a form of others', { origin: 'http://evil.test' }, true],
    ['of a form in a sandbox of others', { origin: 'null', 'sec-fetch-site': 'cross-site' }, true],
    ['of a form of who knows whom', {}, true],
    ['of an origin that is none', { ...meant, origin: 'file://' }, false],
  ])('%s does not', (_, headers, isForm) => {
    expect(check(headers, isForm)).toThrow(/HF_REQUEST|origin|header/);
  });

  it('is none when it only looks', () => {
    expect(check({ origin: 'http://evil.test' }, false, 'GET')).not.toThrow();
  });
});
