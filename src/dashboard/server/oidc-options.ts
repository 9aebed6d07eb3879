/**
 * What the authenticator of OpenID Connect is given, and what is made of it: checked before anybody is asked.
 */
import type { OidcAuthenticatorOptions } from '../../operations/oidc-settings.ts';
import { parseDuration } from '../../runtime/duration.ts';
import { badOption, refuseUnknownOptions } from '../../runtime/options.ts';
import { isLoopbackName } from './addresses.ts';
import { CALLBACK_PATH } from './sign-on.ts';

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
