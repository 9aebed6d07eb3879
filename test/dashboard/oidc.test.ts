/**
 * Logging in at a real OpenID provider, over real connections: who gets which role, and what does not let anybody in.
 */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, it } from 'vitest';
import { createManualClock } from '../../src/testing/manual-clock.ts';
import { createVisitor, type Visitor } from '../support/identity-provider.ts';
import { builtPage, CHROMIUM, IN_CHROMIUM, openBrowser } from './browser.ts';
import { TOKEN, useOidcLab } from './oidc-lab.ts';

const lab = useOidcLab();
const { serve, sessionOf, lastOf } = lab;
const isCallback = (url: URL) => url.pathname === '/ops/login/sso/callback';

describe('who logs in at the provider', () => {
  it('gets the role of the highest group, stands by the address, and comes back to where it was', async () => {
    serve();
    for (const [login, role] of [
      ['ada', 'operator'],
      ['anna', 'admin'],
    ] as const) {
      const visitor = createVisitor();
      expect(await sessionOf(visitor)).toBe(401);
      await visitor.logIn(`${lab.home}/login/sso?to=${encodeURIComponent('/ops/runs?status=stuck')}`, login);
      expect(lastOf(visitor)).toBe('/runs?status=stuck');
      expect(await sessionOf(visitor)).toEqual({ actor: `${login}@example.com`, role });
    }
  });

  it.each(['https://evil.test/ops/', '//evil.test/ops/', '/ops/login/sso', '/elsewhere'])(
    'is not led to %s afterwards',
    async (to) => {
      serve();
      const visitor = createVisitor();
      await visitor.logIn(`${lab.home}/login/sso?to=${encodeURIComponent(to)}`, 'ada');
      expect(lastOf(visitor)).toBe('/');
      expect(visitor.way.filter((each) => each.startsWith('https://evil'))).toEqual([]);
      expect(await sessionOf(visitor)).toMatchObject({ role: 'operator' });
    },
  );

  it.each([
    ['who has no group with a role', 'eve', {}, '/?login=403'],
    ['who is let in as everybody', 'eve', { everybody: 'viewer' }, '/'],
    ['by a path of claims', 'ada', { groups: 'realm_access.roles' }, '/'],
    ['by a secret in the body', 'ada', { clientId: 'post', clientAuthentication: 'post' }, '/'],
    ['by PKCE alone', 'ada', { clientId: 'public', clientSecret: undefined }, '/'],
    ['with a secret that is wrong', 'ada', { clientSecret: 'another' }, '/?login=401'],
  ] as const)('%s', async (_, login, options, end) => {
    serve(options);
    const visitor = createVisitor();
    await visitor.logIn(`${lab.home}/login/sso`, login);
    expect(lastOf(visitor)).toBe(end);
    expect(typeof (await sessionOf(visitor))).toBe(end === '/' ? 'object' : 'number');
  });

  it('stands by the subject when the address is not verified, or where there is no such claim', async () => {
    serve();
    const mallory = createVisitor();
    await mallory.logIn(`${lab.home}/login/sso`, 'mallory');
    expect(await sessionOf(mallory)).toEqual({ actor: 'mallory', role: 'operator' });
    serve({ user: 'nickname' });
    const ada = createVisitor();
    await ada.logIn(`${lab.home}/login/sso`, 'ada');
    expect(await sessionOf(ada)).toEqual({ actor: 'ada', role: 'operator' });
  });

  it('is sent there with state, nonce and PKCE, each time others, and no session comes of that alone', async () => {
    serve();
    const asked = await Promise.all(
      [1, 2].map(async () => {
        const response = await fetch(`${lab.home}/login/sso`, { redirect: 'manual' });
        expect(response.status).toBe(303);
        const [cookie = ''] = response.headers.getSetCookie();
        expect(cookie).toMatch(
          /^holdfast_sign_on=[\w.-]+; Path=\/ops\/login\/sso; Max-Age=600; HttpOnly; SameSite=Lax$/,
        );
        return new URL(response.headers.get('location') ?? '').searchParams;
      }),
    );
    const [one = new URLSearchParams(), other = new URLSearchParams()] = asked;
    expect(one.get('code_challenge_method')).toBe('S256');
    expect(one.get('redirect_uri')).toBe(`${lab.home}/login/sso/callback`);
    for (const name of ['state', 'nonce', 'code_challenge']) {
      expect(one.get(name)?.length).toBeGreaterThan(20);
      expect(one.get(name)).not.toBe(other.get(name));
    }
  });
});

describe('nobody is let in', () => {
  it('who says no at the provider', async () => {
    serve();
    const visitor = createVisitor();
    const form = await visitor.visit(`${lab.home}/login/sso`);
    await visitor.visit(`${form.url.href}/abort`);
    expect(lastOf(visitor)).toBe('/?login=403');
    expect(await sessionOf(visitor)).toBe(401);
  });

  it('by an answer to a login that another browser began', async () => {
    serve();
    const [attacker, victim] = [createVisitor(), createVisitor()];
    const back = await attacker.logIn(`${lab.home}/login/sso`, 'ada', isCallback);
    expect(isCallback(back.url)).toBe(true);
    await victim.visit(back.url);
    expect(lastOf(victim)).toBe('/?login=400');
    // Also when that browser has a login of its own under way.
    await victim.logIn(`${lab.home}/login/sso`, 'eve', isCallback);
    await victim.visit(back.url);
    expect(lastOf(victim)).toBe('/?login=401');
    expect(await sessionOf(victim)).toBe(401);
  });

  it.each([
    ['another state', (query: URLSearchParams) => query.set('state', 'x'.repeat(43))],
    ['no state', (query: URLSearchParams) => query.delete('state')],
    ['another code', (query: URLSearchParams) => query.set('code', 'x'.repeat(43))],
    ['another issuer', (query: URLSearchParams) => query.set('iss', 'http://localhost:1')],
    ['two codes', (query: URLSearchParams) => query.append('code', 'x')],
  ])('by an answer with %s', async (_, alter) => {
    serve();
    const visitor = createVisitor();
    const back = await visitor.logIn(`${lab.home}/login/sso`, 'ada', isCallback);
    alter(back.url.searchParams);
    await visitor.visit(back.url);
    expect(lastOf(visitor)).toBe('/?login=401');
    expect(await sessionOf(visitor)).toBe(401);
  });

  it('by an answer that was used, or a cookie that was altered', async () => {
    serve();
    const visitor = createVisitor();
    const back = await visitor.logIn(`${lab.home}/login/sso`, 'ada', isCallback);
    const { host } = new URL(lab.home);
    const kept = visitor.cookies.get(`${host} holdfast_sign_on`) ?? '';
    await visitor.visit(back.url);
    expect(await sessionOf(visitor)).toMatchObject({ role: 'operator' });
    expect(visitor.cookies.has(`${host} holdfast_sign_on`)).toBe(false);
    const thief = createVisitor();
    thief.cookies.set(`${host} holdfast_sign_on`, kept);
    await thief.visit(back.url);
    expect(lastOf(thief)).toBe('/?login=401');
    const [body = '', signature = ''] = kept.split('.');
    const text = Buffer.from(body, 'base64url').toString();
    const later = text.replace(/^\[\d+/, `[${Date.now() + 9e9}`);
    for (const value of [`${Buffer.from(later).toString('base64url')}.${signature}`, body, `${kept}.x`]) {
      thief.cookies.set(`${host} holdfast_sign_on`, value);
      await thief.visit(back.url);
      expect(lastOf(thief)).toBe('/?login=400');
    }
    expect(await sessionOf(thief)).toBe(401);
  });

  it('when the way there and back took more than ten minutes', async () => {
    const clock = createManualClock(Date.now());
    serve({}, { clock });
    const visitor = createVisitor();
    const back = await visitor.logIn(`${lab.home}/login/sso`, 'ada', isCallback);
    await clock.advance('601s');
    await visitor.visit(back.url);
    expect(lastOf(visitor)).toBe('/?login=400');
    expect(await sessionOf(visitor)).toBe(401);
  });

  it('after ten that failed from one address, whatever it brings', async () => {
    serve();
    const visitor = createVisitor();
    for (let tries = 0; tries < 10; tries += 1) {
      const back = await visitor.logIn(`${lab.home}/login/sso`, 'ada', isCallback);
      back.url.searchParams.set('code', 'x');
      await visitor.visit(back.url);
      expect(lastOf(visitor)).toBe('/?login=401');
    }
    const back = await visitor.logIn(`${lab.home}/login/sso`, 'ada', isCallback);
    await visitor.visit(back.url);
    expect(lastOf(visitor)).toBe('/?login=429');
  });

  it('by a token of the provider that is over, unless clocks may differ by so much', async () => {
    await lab.replaceProvider({ more: { ttl: { IdToken: 1 } }, tokensTakeMs: 3_200 });
    for (const [clockTolerance, end] of [
      ['1s', '/?login=401'],
      ['30s', '/'],
    ] as const) {
      serve({ clockTolerance });
      const visitor = createVisitor();
      await visitor.logIn(`${lab.home}/login/sso`, 'ada');
      expect(lastOf(visitor)).toBe(end);
    }
  });
});

describe('a provider that does not answer', () => {
  it('keeps nobody waiting, and a token works all the same', async () => {
    const silent = createServer(() => undefined);
    silent.listen(0, '127.0.0.1');
    await once(silent, 'listening');
    const { port } = silent.address() as AddressInfo;
    serve({ issuer: `http://127.0.0.1:${port}`, timeout: '300ms' });
    const visitors = Array.from({ length: 30 }, () => createVisitor());
    await Promise.all(visitors.map((visitor) => visitor.visit(`${lab.home}/login/sso`)));
    expect(visitors.map(lastOf)).toEqual(visitors.map(() => '/?login=503'));
    const response = await fetch(`${lab.home}/api/session`, { headers: { authorization: `Bearer ${TOKEN}` } });
    expect(response.status).toBe(200);
    silent.close();
    silent.closeAllConnections();
  });
});

describe('a logout', () => {
  const logOut = async (visitor: Visitor) => {
    const { host } = new URL(lab.home);
    const cookie = `holdfast_session=${visitor.cookies.get(`${host} holdfast_session`)}`;
    const response = await fetch(`${lab.home}/logout`, { method: 'POST', headers: { cookie, 'x-holdfast-csrf': '1' } });
    return (await response.json()) as { readonly done: boolean; readonly next: string | null };
  };

  it('is one here alone', async () => {
    serve();
    const visitor = createVisitor();
    await visitor.logIn(`${lab.home}/login/sso`, 'ada');
    expect(await logOut(visitor)).toEqual({ done: true, next: null });
    expect(await sessionOf(visitor)).toBe(401);
  });

  it('goes on at the provider where that was asked for, and comes back', async () => {
    serve({ logoutEverywhere: true });
    const visitor = createVisitor();
    await visitor.logIn(`${lab.home}/login/sso`, 'ada');
    const { next } = await logOut(visitor);
    const url = new URL(next ?? '');
    expect(url.origin).toBe(lab.provider.issuer);
    expect(url.searchParams.get('post_logout_redirect_uri')).toBe(`${lab.home}/`);
    const page = await visitor.visit(url);
    expect(page.status).toBe(200);
    expect(page.text).toMatch(/xsrf/);
    // Who came with a token was never there.
    const login = await fetch(`${lab.home}/login`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-holdfast-csrf': '1' },
      body: JSON.stringify({ token: TOKEN }),
    });
    const session = login.headers.get('set-cookie')?.split(';')[0]?.split('=')[1] ?? '';
    visitor.cookies.set(`${new URL(lab.home).host} holdfast_session`, session);
    expect(await logOut(visitor)).toEqual({ done: true, next: null });
  });
});

it('says at the door that there is a provider', async () => {
  serve({ label: 'Acme' });
  const response = await fetch(`${lab.home}/api/session`);
  expect(await response.json()).toMatchObject({ form: true, signOn: 'Acme' });
});

describe.runIf(CHROMIUM !== null)(`a browser ${IN_CHROMIUM}`, () => {
  it('logs in at another site, keeps its session, and logs out', async () => {
    serve({ label: 'Acme' }, { pageFolder: builtPage() });
    const browser = await openBrowser();
    try {
      const page = await (await browser.newContext()).newPage();
      await page.goto(`${lab.home}/runs?status=stuck`);
      await page.getByRole('link', { name: 'Sign in with Acme' }).click();
      await page.getByPlaceholder('Enter any login').fill('ada');
      await page.getByPlaceholder('and password').fill('x');
      await page.getByRole('button', { name: 'Sign-in' }).click();
      await page.getByRole('button', { name: 'Continue' }).click();
      // What came from another site has no strict cookies; what the page then asks for has them.
      await page.getByRole('button', { name: 'ada@example.com' }).click();
      expect(page.url()).toBe(`${lab.home}/runs?status=stuck`);
      const cookies = await page.context().cookies(lab.home);
      expect(cookies.map(({ name, sameSite, httpOnly }) => ({ name, sameSite, httpOnly }))).toEqual([
        { name: 'holdfast_session', sameSite: 'Strict', httpOnly: true },
      ]);
      await page.getByRole('button', { name: 'Sign out' }).click();
      await page.getByRole('link', { name: 'Sign in with Acme' }).waitFor();
    } finally {
      await browser.close();
    }
  }, 120_000);
});
