/**
 * What an OpenID provider says, when it is forged, old or of before: tokens, what is known of the provider, and sessions that outlive a
 * process.
 */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { OidcAuthenticatorOptions } from '../../src/dashboard/dashboard.ts';
import { systemClock } from '../../src/runtime/clock.ts';
import { createTokenSigner, createVisitor, type TokenClaims, type Visitor } from '../support/identity-provider.ts';
import { useOidcLab } from './oidc-lab.ts';

const lab = useOidcLab();
const { serve, sessionOf, lastOf } = lab;

describe('by a token that was not made for this login nobody is let in', () => {
  const signer = createTokenSigner();
  const stranger = createTokenSigner();
  const now = (): number => Math.floor(Date.now() / 1_000);
  const forged = async (forge: (claims: TokenClaims) => string): Promise<string | undefined> => {
    await lab.replaceProvider({ more: { jwks: signer.jwks }, forge });
    serve();
    const visitor = createVisitor();
    await visitor.logIn(`${lab.home}/login/sso`, 'ada');
    const last = lastOf(visitor);
    expect(typeof (await sessionOf(visitor))).toBe(last === '/' ? 'object' : 'number');
    return last;
  };

  it('but by one that is signed anew as it was', async () => {
    expect(await forged((claims) => signer.sign(claims))).toBe('/');
  });

  it.each<[string, (claims: TokenClaims) => string]>([
    ['signed by somebody else', (claims) => stranger.sign(claims)],
    ['not signed', (claims) => signer.sign(claims, 'none')],
    ['of another login', (claims) => signer.sign({ ...claims, nonce: 'n'.repeat(43) })],
    ['of no login', ({ nonce: _, ...claims }) => signer.sign(claims)],
    ['for another client', (claims) => signer.sign({ ...claims, aud: 'post' })],
    ['for another client, too', (claims) => signer.sign({ ...claims, aud: ['basic', 'post'], azp: 'post' })],
    ['by another issuer', (claims) => signer.sign({ ...claims, iss: 'http://localhost:1' })],
    ['that is over', (claims) => signer.sign({ ...claims, iat: now() - 7_200, exp: now() - 3_600 })],
    ['that does not end', ({ exp: _, ...claims }) => signer.sign(claims)],
    ['of somebody else', (claims) => signer.sign({ ...claims, sub: 'anna' })],
  ])('%s', async (_, forge) => {
    expect(await forged(forge)).toBe('/?login=401');
  });
});

describe('what is known of a provider', () => {
  /** By so much the clock that never goes back has moved on, in milliseconds. */
  let laterMs: number;
  beforeEach(() => {
    laterMs = 0;
    vi.spyOn(systemClock, 'monotonic').mockImplementation(() => performance.now() + laterMs);
  });
  afterEach(() => vi.restoreAllMocks());
  const discovered = (): number => lab.provider.asked.filter((path) => path.includes('well-known')).length;
  const sentThere = async (): Promise<boolean> => {
    const response = await fetch(`${lab.home}/login/sso`, { redirect: 'manual' });
    return new URL(response.headers.get('location') ?? '', lab.home).origin === lab.provider.issuer;
  };

  it('is asked for again after an hour, and stays when it cannot be', async () => {
    serve();
    expect([await sentThere(), await sentThere(), discovered()]).toEqual([true, true, 1]);
    laterMs = 59 * 60_000;
    expect([await sentThere(), discovered()]).toEqual([true, 1]);
    laterMs = 61 * 60_000;
    expect([await sentThere(), discovered()]).toEqual([true, 2]);
    await lab.stopProvider();
    laterMs = 200 * 60_000;
    expect(await sentThere()).toBe(true);
    // Known before, or not at all.
    serve();
    expect(await sentThere()).toBe(false);
  });
});

describe('a session', () => {
  const sessionKey = 'k'.repeat(32);
  const roleAt = async (visitor: Visitor, options: Partial<OidcAuthenticatorOptions>) => {
    serve(options, { sessionKey });
    return sessionOf(visitor);
  };

  it('goes on at another process with the same rules, and is over where others are let in', async () => {
    serve({}, { sessionKey });
    const visitor = createVisitor();
    await visitor.logIn(`${lab.home}/login/sso`, 'ada');
    expect(await roleAt(visitor, {})).toMatchObject({ role: 'operator' });
    // Who it was is what counts, not how the page calls the provider.
    expect(await roleAt(visitor, { label: 'Acme' })).toMatchObject({ role: 'operator' });
    for (const others of [
      { roles: { 'on-call': 'viewer' } },
      { roles: { platform: 'admin' } },
      { everybody: 'viewer' },
      { groups: 'realm_access.roles' },
      { user: 'sub' },
      { clientId: 'post' },
    ] as const)
      expect(await roleAt(visitor, others)).toBe(401);
    expect(await roleAt(visitor, {})).toMatchObject({ role: 'operator' });
  });
});
