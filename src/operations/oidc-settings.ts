/**
 * How people log in at an OpenID provider: what the configuration file says of it is what its authenticator is given.
 */
import type { Duration } from '../runtime/duration.ts';

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
  readonly roles?: Readonly<Record<string, 'viewer' | 'operator' | 'admin'>> | undefined;
  /**
   * The role of everybody whom the provider knows.
   *
   * @defaultValue none: who has no group with a role is refused
   */
  readonly everybody?: 'viewer' | 'operator' | 'admin' | undefined;
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
