/**
 * OpenID Connect: people log in at an identity provider (Keycloak, Entra ID, Okta, Google …), by the authorization code flow with PKCE. What it
 * says of them decides their role.
 */
import { createHash } from 'node:crypto';
import type { OidcAuthenticatorOptions } from '../../operations/oidc-settings.ts';
import { systemClock } from '../../runtime/clock.ts';
import { sharedAnswer } from '../../runtime/shared-answer.ts';
import type { Authenticator, Principal, SignOn } from './authenticator.ts';
import { actorIn, claimOf, groupsIn } from './oidc-claims.ts';
import { OIDC, settleOidc, type SettledOidc } from './oidc-options.ts';
import {
  assertOpenidClient,
  loadOpenidClient,
  type Claims,
  type OpenidClient,
  type ProviderConfiguration,
  type TokenAnswer,
} from './openid-client.ts';
import { createRoleRules } from './role-rules.ts';
import { CALLBACK_PATH } from './sign-on.ts';

/** What a provider says of itself is asked for again after an hour; that it cannot be asked, after some seconds. */
const KNOWN_FOR_MS = 60 * 60_000;
const FAILED_FOR_MS = 5_000;

/**
 * An authenticator that asks an OpenID provider. Needs the package `openid-client`.
 *
 * @throws HoldfastError HF_CONFIG, also where openid-client is not installed, HF_OPTION_UNKNOWN, HF_DURATION
 * @example
 * const authenticator = oidcAuthenticator({
 *   issuer: 'https://id.example.com/realms/shop',
 *   clientId: 'holdfast',
 *   clientSecret: process.env['OIDC_SECRET'],
 *   url: 'https://ops.example.com/holdfast',
 *   roles: { 'on-call': 'operator', platform: 'admin' },
 *   everybody: 'viewer',
 * });
 */
export function oidcAuthenticator(options: OidcAuthenticatorOptions): Authenticator {
  const settled = settleOidc(options);
  const roleOf = createRoleRules(options, OIDC);
  assertOpenidClient();
  const provider = createProvider(settled);

  async function principalOf(claims: Claims, token: TokenAnswer): Promise<Principal | null> {
    const known = await withUserInfo(claims, token);
    const actor = actorIn(known, settled.user);
    const role = roleOf(groupsIn(claimOf(known, settled.groups)));
    return actor === null || role === null ? null : { actor, role };
  }

  /** Many providers say little in the token itself. */
  async function withUserInfo(claims: Claims, token: TokenAnswer): Promise<Claims> {
    const { client, configuration } = await provider();
    const wanted = [settled.user, ...(options.roles === undefined ? [] : [settled.groups])];
    const isComplete = wanted.every((name) => claimOf(claims, name) !== undefined);
    if (isComplete || configuration.serverMetadata().userinfo_endpoint === undefined) return claims;
    return { ...(await client.fetchUserInfo(configuration, token.access_token, claims.sub)), ...claims };
  }

  const signOn: SignOn = {
    label: options.label ?? settled.issuerUrl.host,
    callback: settled.callback,
    async begin() {
      const { client, configuration } = await provider();
      const kept = {
        state: client.randomState(),
        nonce: client.randomNonce(),
        verifier: client.randomPKCECodeVerifier(),
      };
      const url = client.buildAuthorizationUrl(configuration, {
        redirect_uri: settled.callback.href,
        scope: options.scope ?? 'openid profile email',
        code_challenge: await client.calculatePKCECodeChallenge(kept.verifier),
        code_challenge_method: 'S256',
        state: kept.state,
        nonce: kept.nonce,
      });
      return { url, keep: JSON.stringify(kept) };
    },
    async finish(query, keep) {
      const { state, nonce, verifier } = JSON.parse(keep) as Readonly<Record<'state' | 'nonce' | 'verifier', string>>;
      const { client, configuration } = await provider();
      // As it was asked for, whatever name the request came by.
      const back = new URL(settled.callback);
      back.search = query.toString();
      try {
        const token = await client.authorizationCodeGrant(configuration, back, {
          pkceCodeVerifier: verifier,
          expectedState: state,
          expectedNonce: nonce,
        });
        const claims = token.claims();
        return claims === undefined ? null : await principalOf(claims, token);
      } catch (error) {
        // They, or the provider, said no.
        if ((error as { readonly error?: unknown }).error === 'access_denied') return null;
        throw error;
      }
    },
    async end() {
      if (options.logoutEverywhere !== true) return null;
      const { client, configuration } = await provider();
      if (configuration.serverMetadata().end_session_endpoint === undefined) return null;
      const home = new URL(settled.callback);
      home.pathname = `${home.pathname.slice(0, -CALLBACK_PATH.length)}/`;
      return client.buildEndSessionUrl(configuration, { post_logout_redirect_uri: home.href });
    },
  };
  return { name: 'oidc', ambient: true, authenticate: () => null, signOn, fingerprint: fingerprintOf(options) };
}

interface Provider {
  readonly client: OpenidClient;
  readonly configuration: ProviderConfiguration;
}

/** Asks it about itself when that is needed first, and once for all who wait. What was known stays when it cannot be asked any more. */
function createProvider(settled: SettledOidc): () => Promise<Provider> {
  let known: { readonly provider: Provider; readonly untilMs: number } | null = null;
  const now = (): number => systemClock.monotonic();
  const ask = sharedAnswer(
    async (): Promise<Provider> => {
      const client = await loadOpenidClient();
      const provider = { client, configuration: await discover(client, settled) };
      known = { provider, untilMs: now() + KNOWN_FOR_MS };
      return provider;
    },
    FAILED_FOR_MS,
    now,
  );
  return async () => {
    if (known !== null && now() < known.untilMs) return known.provider;
    const before = known?.provider;
    return before === undefined ? ask() : ask().catch(() => before);
  };
}

async function discover(client: OpenidClient, settled: SettledOidc): Promise<ProviderConfiguration> {
  const { issuerUrl, clientId, clientSecret, clientAuthentication = 'basic', timeoutMs, toleranceMs } = settled;
  const prove = (secret: string) =>
    clientAuthentication === 'basic' ? client.ClientSecretBasic(secret) : client.ClientSecretPost(secret);
  return client.discovery(
    issuerUrl,
    clientId,
    { [client.clockTolerance]: toleranceMs / 1_000 },
    clientSecret === undefined ? client.None() : prove(clientSecret),
    {
      timeout: timeoutMs / 1_000,
      // The signature of the token is checked as well, although it comes from the provider itself.
      execute: [
        client.enableNonRepudiationChecks,
        ...(issuerUrl.protocol === 'http:' ? [client.allowInsecureRequests] : []),
      ],
    },
  );
}

/** Whoever would be let in otherwise now has to log in again. */
function fingerprintOf({ issuer, clientId, user, groups, roles, everybody }: OidcAuthenticatorOptions): string {
  const byGroup = Object.entries(roles ?? {}).map((each) => each.join('='));
  const rules = JSON.stringify([issuer, clientId, user, groups, byGroup.toSorted(), everybody]);
  return createHash('sha256').update(rules).digest('hex');
}
