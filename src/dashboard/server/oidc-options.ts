/**
 * What the authenticator of OpenID Connect is given, and what is made of it: checked before anybody is asked.
 */
import { parseDuration, type Duration } from '../../runtime/duration.ts';
import { badOption, refuseUnknownOptions } from '../../runtime/options.ts';
import { isLoopbackName } from './addresses.ts';
import type { DashboardRole } from './contract.ts';
import { CALLBACK_PATH } from './sign-on.ts';

/** Options of `oidcAuthenticator`. */
export interface OidcAuthenticatorOptions {
  /** The provider, as it names itself: 'https://id.example.com/realms/shop'. Plain HTTP only on this machine. */
  readonly issuer: string;
  /** How the provider knows the dashboard. */
  readonly clientId: string;
  /**
   * What the dashboard proves itself with.
   *
   * @defaultValue none: a public client, which PKCE alone protects
   */
  readonly clientSecret?: string | undefined;
  /**
   * How the secret is sent: in a header (client_secret_basic) or in the body (client_secret_post), as the client is registered.
   *
   * @defaultValue 'basic'
   */
  readonly clientAuthentication?: 'basic' | 'post' | undefined;
  /**
   * The dashboard as browsers find it, with its base path: 'https://ops.example.com/holdfast'. Register `URL/login/sso/callback` at the
   * provider as the address to come back to.
   */
  readonly url: string;
  /**
   * What the provider is asked for.
   *
   * @defaultValue 'openid profile email'
   */
  readonly scope?: string | undefined;
  /**
   * The claim that somebody stands in the audit by. Of an `email` that is not verified, and where there is no such claim: `sub`.
   *
   * @defaultValue 'email'
   */
  readonly user?: string | undefined;
  /**
   * The claim with groups or roles: a list, one, or an object with them as its keys. A path with dots for one within another:
   * 'realm_access.roles'.
   *
   * @defaultValue 'groups'
   */
  readonly groups?: string | undefined;
  /**
   * Roles by group; of several the highest counts.
   *
   * @defaultValue none
   */
  readonly roles?: Readonly<Record<string, DashboardRole>> | undefined;
  /**
   * The role of everybody whom the provider knows.
   *
   * @defaultValue none: who has no group with a role is refused
   */
  readonly everybody?: DashboardRole | undefined;
  /**
   * What the login page calls it.
   *
   * @defaultValue the host of the issuer
   */
  readonly label?: string | undefined;
  /**
   * Whether a logout here is one at the provider, too: then of everything else that uses it as well.
   *
   * @defaultValue false
   */
  readonly logoutEverywhere?: boolean | undefined;
  /**
   * How long the provider may take to answer, each time it is asked.
   *
   * @defaultValue '5s'
   */
  readonly timeout?: Duration | undefined;
  /**
   * By how much the clocks of provider and dashboard may differ.
   *
   * @defaultValue '30s'
   */
  readonly clockTolerance?: Duration | undefined;
}

export const OIDC = 'oidcAuthenticator';
const KNOWN = [
  'issuer',
  'clientId',
  'clientSecret',
  'clientAuthentication',
  'url',
  'scope',
  'user',
  'groups',
  'roles',
  'everybody',
  'label',
  'logoutEverywhere',
  'timeout',
  'clockTolerance',
] as const;

export interface SettledOidc extends OidcAuthenticatorOptions {
  readonly issuerUrl: URL;
  readonly callback: URL;
  readonly user: string;
  readonly groups: string;
  readonly timeoutMs: number;
  readonly toleranceMs: number;
}

/** Throws HF_CONFIG, HF_OPTION_UNKNOWN or HF_DURATION. */
export function settleOidc(options: OidcAuthenticatorOptions): SettledOidc {
  refuseUnknownOptions(options, KNOWN, OIDC);
  const { issuer, clientId, clientSecret, clientAuthentication, url, scope = 'openid' } = options;
  const issuerUrl = assertUrl(issuer, 'issuer');
  const home = assertUrl(url, 'url');
  if (typeof clientId !== 'string' || clientId === '')
    throw badOption(OIDC, 'has no clientId', 'Give the one that the provider knows.');
  if (clientSecret === '')
    throw badOption(OIDC, 'has an empty clientSecret', 'Give it, or leave it out for a public client.');
  if (clientAuthentication !== undefined && !['basic', 'post'].includes(clientAuthentication))
    throw badOption(
      OIDC,
      `has the clientAuthentication ${JSON.stringify(clientAuthentication)}`,
      "Give 'basic' or 'post'.",
    );
  if (!scope.split(' ').includes('openid'))
    throw badOption(OIDC, `has the scope ${JSON.stringify(scope)}`, "It must have 'openid' in it.");
  const callback = new URL(home);
  callback.pathname = `${home.pathname.replace(/\/$/, '')}${CALLBACK_PATH}`;
  return {
    ...options,
    issuerUrl,
    callback,
    user: options.user ?? 'email',
    groups: options.groups ?? 'groups',
    timeoutMs: parseDuration(options.timeout ?? '5s', `${OIDC}: timeout`),
    toleranceMs: parseDuration(options.clockTolerance ?? '30s', `${OIDC}: clockTolerance`),
  };
}

/** HTTPS, or plain HTTP on this machine, where nobody is in between. */
function assertUrl(text: string, name: string): URL {
  const url = URL.canParse(text) ? new URL(text) : null;
  const isSafe = url?.protocol === 'https:' || (url?.protocol === 'http:' && isLoopbackName(url.hostname));
  if (url !== null && isSafe && url.search === '' && url.hash === '' && url.username === '') return url;
  throw badOption(
    OIDC,
    `has the ${name} ${JSON.stringify(text)}`,
    'Give an address such as https://ops.example.com/holdfast; http only for this machine.',
  );
}
