/** What of logging in at an OpenID provider is decided without one: options, where a login leads, what claims say. */
import { describe, expect, it } from 'vitest';
import { createDashboard, oidcAuthenticator } from '../../src/dashboard/dashboard.ts';
import { actorIn, claimOf, groupsIn } from '../../src/dashboard/server/oidc-claims.ts';
import { createLoginLimit } from '../../src/dashboard/server/login-limit.ts';
import type { SignOn } from '../../src/dashboard/server/authenticator.ts';
import { addressOfPage, createSignOnFlow, type SignOnFlow } from '../../src/dashboard/server/sign-on.ts';
import { createTextSigner } from '../../src/dashboard/server/signed-text.ts';
import { openDatabase } from '../../src/postgres/database.ts';
import { silentLogger } from '../../src/runtime/log.ts';
import { createManualClock } from '../../src/testing/manual-clock.ts';

describe('options that cannot be used', () => {
  const make = (more: object) => () =>
    oidcAuthenticator({
      issuer: 'https://id.test',
      clientId: 'x',
      url: 'https://ops.test',
      everybody: 'viewer',
      ...more,
    });

  it.each([
    ['plain HTTP over the network', { issuer: 'http://id.test' }],
    ['an address of the dashboard that is none', { url: '/ops' }],
    ['an address with a query', { url: 'https://ops.test/?x=1' }],
    ['no client', { clientId: '' }],
    ['an empty secret', { clientSecret: '' }],
    ['a way to send it that is none', { clientAuthentication: 'jwt' }],
    ['a scope without openid', { scope: 'email' }],
    ['a scope with something that is called like it', { scope: 'email openid2' }],
    ['nobody with a role', { everybody: undefined }],
    ['a role that is none', { everybody: 'root' }],
    ['what nobody knows', { issure: 'https://id.test' }],
    ['a time that is none', { timeout: 'soon' }],
  ])('%s', (_, more) => {
    expect(make(more)).toThrow(/oidcAuthenticator/);
  });

  it('a path that is not the dashboard’s, and two providers', () => {
    const database = openDatabase({ url: 'postgres://nobody@127.0.0.1:1/nothing' });
    const at = (basePath: string, ...authenticators: readonly ReturnType<typeof oidcAuthenticator>[]) =>
      createDashboard({ database, authenticators, basePath });
    expect(() => at('/ops', make({})())).toThrow(/sends people back to/);
    expect(() => at('', make({})(), make({})())).toThrow(/several identity providers/);
  });
});

it('the address to come back to is that of the dashboard, with or without a slash at its end', () => {
  const options = { issuer: 'https://id.test', clientId: 'x', everybody: 'viewer' } as const;
  for (const url of ['https://ops.test/ops', 'https://ops.test/ops/'])
    expect(oidcAuthenticator({ ...options, url }).signOn?.callback.href).toBe(
      'https://ops.test/ops/login/sso/callback',
    );
});

describe('where a login leads', () => {
  it.each([
    ['/ops/', '/ops/'],
    ['/ops/runs/1?call=a%2Fb', '/ops/runs/1?call=a%2Fb'],
    ['/ops/runs#x', '/ops/runs'],
  ])('%s is an address of the page', (to, expected) => {
    expect(addressOfPage(to, '/ops')).toBe(expected);
    expect(addressOfPage(to.slice(4), '')).toBe(expected.slice(4));
  });

  it.each([
    undefined,
    '',
    'https://evil.test/ops/',
    '//evil.test/ops/',
    '/\\evil.test/ops/',
    '/.//evil.test',
    '/ops/..//evil.test',
    '\t//evil.test',
    '/\t/evil.test',
    'javascript:alert(1)',
    'ops/runs',
    '/opsy',
    '/other/',
    '/ops/../other/',
    '/ops/api/session',
    '/ops/login/sso',
    '/ops/logout',
    `/ops/${'x'.repeat(1_001)}`,
  ])('%j is the first view', (to) => {
    expect(addressOfPage(to, '/ops')).toBe('/ops/');
    expect(addressOfPage(to, '')).toMatch(/^\/(?!\/|\\)/);
    expect(new URL(addressOfPage(to, ''), 'https://ops.test/x').origin).toBe('https://ops.test');
  });
});

it('asks a provider for twenty at once, and makes nobody else wait', async () => {
  let answer: (() => void) | undefined;
  const silence = new Promise<never>((_, reject) => {
    answer = () => reject(new Error('it did not answer'));
  });
  const clock = createManualClock(0);
  const flow = createSignOnFlow({
    signOn: { label: 'x', callback: new URL('https://ops.test'), begin: () => silence, finish: () => silence },
    clock,
    log: silentLogger,
    limit: createLoginLimit(clock),
    basePath: '',
    key: undefined,
  });
  const facts = { https: true, client: null } as Parameters<typeof flow.begin>[0];
  const first = Array.from({ length: 20 }, async () => flow.begin(facts, undefined));
  let told: unknown;
  void flow.begin(facts, undefined).then((step) => (told = step));
  await new Promise((resolve) => void setImmediate(resolve));
  expect(told).toMatchObject({ location: '/?login=503' });
  answer?.();
  expect((await Promise.all(first)).map(({ location }) => location)).toEqual(first.map(() => '/?login=503'));
});

describe('a login that comes back', () => {
  const who = { actor: 'ada', role: 'operator' } as const;
  const facts = (client = '203.0.113.1') => ({ https: false, client }) as Parameters<SignOnFlow['begin']>[0];

  function flowOf(finish: SignOn['finish']) {
    const clock = createManualClock();
    const url = new URL('https://id.test');
    const signOn: SignOn = { label: 'x', callback: url, begin: async () => ({ url, keep: 'kept' }), finish };
    const limit = createLoginLimit(clock);
    const flow = createSignOnFlow({ signOn, clock, log: silentLogger, limit, basePath: '', key: 'k'.repeat(32) });
    const begin = async () => (await flow.begin(facts(), '/runs')).cookie?.split(';')[0] ?? '';
    const back = (cookie: string, client?: string) => flow.finish(facts(client), cookie, new URLSearchParams('code=1'));
    return { clock, begin, back };
  }

  it('leads to where it began, with what was kept for it, and its cookie is taken away', async () => {
    const kept: string[] = [];
    const { begin, back } = flowOf(async (_, keep) => (kept.push(keep), who));
    const step = await back(await begin());
    expect(step).toMatchObject({ location: '/runs', who, cookie: expect.stringContaining('Max-Age=0') as string });
    expect(kept).toEqual(['kept']);
  });

  it('is not even looked at when it did not begin here, or too long ago', async () => {
    let looks = 0;
    const { clock, begin, back } = flowOf(async () => ((looks += 1), who));
    const cookie = await begin();
    const session = createTextSigner({ key: 'k'.repeat(32), purpose: 'session' }).sign(
      JSON.stringify([Date.UTC(2100, 0), '/', 'kept']),
    );
    for (const each of ['', `${cookie}x`, `holdfast_sign_on=${session}`])
      expect(await back(each)).toMatchObject({ location: '/?login=400', who: null });
    await clock.advance('10m');
    expect(await back(cookie)).toMatchObject({ location: '/?login=400', who: null });
    expect(looks).toBe(0);
  });

  it('counts as a login that failed when it is not confirmed, and not when somebody may not look', async () => {
    const unconfirmed = flowOf(() => Promise.reject(new Error('no')));
    for (let tries = 0; tries < 10; tries += 1)
      expect(await unconfirmed.back(await unconfirmed.begin())).toMatchObject({ location: '/?login=401' });
    expect(await unconfirmed.back(await unconfirmed.begin())).toMatchObject({ location: '/?login=429', who: null });
    expect(await unconfirmed.back(await unconfirmed.begin(), '203.0.113.2')).toMatchObject({ location: '/?login=401' });
    const stranger = flowOf(async () => null);
    for (let tries = 0; tries < 11; tries += 1)
      expect(await stranger.back(await stranger.begin())).toMatchObject({ location: '/?login=403', who: null });
  });
});

describe('claims', () => {
  it('are found by name, and by a path', () => {
    const claims = { sub: 's', 'https://x.test/roles': ['a'], realm_access: { roles: ['b'] } };
    expect(claimOf(claims, 'https://x.test/roles')).toEqual(['a']);
    expect(claimOf(claims, 'realm_access.roles')).toEqual(['b']);
    expect(claimOf(claims, 'realm_access.other.more')).toBeUndefined();
    expect(claimOf(claims, 'constructor')).toBeUndefined();
    expect(claimOf(claims, 'realm_access.constructor')).toBeUndefined();
  });

  it('are groups as a list, as one, and as keys', () => {
    expect(groupsIn(['a', 1, null, 'b'])).toEqual(['a', 'b']);
    expect(groupsIn('a')).toEqual(['a']);
    expect(groupsIn({ a: {}, b: {} })).toEqual(['a', 'b']);
    expect(groupsIn(undefined)).toEqual([]);
  });

  it('are names that the audit bears', () => {
    expect(actorIn({ sub: 's', email: 'a\nb' }, 'email')).toBe('s');
    expect(actorIn({ sub: 's', email: 'a@x.test' }, 'email')).toBe('a@x.test');
    expect(actorIn({ sub: 's\u0000' }, 'email')).toBeNull();
    // An address that was not verified may be anybody's.
    expect(actorIn({ sub: 's', email: 'a@x.test', email_verified: false }, 'email')).toBe('s');
    expect(actorIn({ sub: 's', email: 'a@x.test', email_verified: true }, 'email')).toBe('a@x.test');
  });
});
