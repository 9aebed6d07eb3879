/**
 * The port by which the dashboard learns who is asking. Three adapters are here, tokens, a trusted proxy and OpenID Connect; others
 * implement {@link Authenticator}.
 */
import { badOption } from '../../runtime/options.ts';
import type { DashboardRole } from './contract.ts';

/** Somebody whom an {@link Authenticator} knows. */
export interface Principal {
  /** Stands in the audit, as `dashboard:NAME`. */
  readonly actor: string;
  readonly role: DashboardRole;
}

/** What an {@link Authenticator} is shown of a request. */
export interface AuthenticationRequest {
  /** Null: there is none. Names in lower case. */
  readonly header: (name: string) => string | null;
  /** The other end of the connection; null where the platform does not say. */
  readonly peer: string | null;
}

/**
 * Logging in at the page of somebody else, which sends the browser back. The dashboard keeps what is needed in between in a signed cookie of
 * that browser, for ten minutes.
 */
export interface SignOn {
  /** What the login page calls it: 'Sign in with LABEL'. */
  readonly label: string;
  /** The address that the browser comes back to: `/login/sso/callback` below the address of the dashboard. */
  readonly callback: URL;
  /** Where the browser is to go, and what is needed when it comes back. Rejects when that cannot be said now. */
  begin(): Promise<{ readonly url: URL; readonly keep: string }>;
  /**
   * Who it is that came back. `query`: what the browser brought. Null: somebody who may not look. Rejects for what was not begun here, was
   * altered, or cannot be confirmed.
   */
  finish(query: URLSearchParams, keep: string): Promise<Principal | null>;
  /** Where the browser is to go after a logout here, so that it is logged out there as well. Left out, or null: nowhere. */
  end?(): Promise<URL | null>;
}

/** Knows people by what their requests carry, by what they enter in the login form, or by what somebody else says of them. */
export interface Authenticator {
  /** For the log. */
  readonly name: string;
  /**
   * True when browsers or proxies add by themselves what it goes by (a cookie, a header): its requests are then defended against forgery
   * by pages of others. False when the caller must have put it there, as with `Authorization: Bearer`.
   */
  readonly ambient: boolean;
  /** Null: not known to this one. May reject: the request is then answered with 500. */
  authenticate(request: AuthenticationRequest): Principal | null | Promise<Principal | null>;
  /** Of what was entered in the login form. Left out: it has no form. */
  login?(secret: string): Principal | null | Promise<Principal | null>;
  /** Logging in at somebody else's page. Left out: there is none. One authenticator of a dashboard may have it. */
  readonly signOn?: SignOn | undefined;
  /** Differs when it would let in others, or the same with other rights: sessions that were begun before are then over. */
  readonly fingerprint?: string | undefined;
}

export const DASHBOARD_ROLES: readonly DashboardRole[] = ['viewer', 'operator', 'admin'];

/** Whether `role` may do what `needed` may. Pure. */
export function mayAs(role: DashboardRole, needed: DashboardRole): boolean {
  return DASHBOARD_ROLES.indexOf(role) >= DASHBOARD_ROLES.indexOf(needed);
}

/** Throws HF_CONFIG. */
export function assertDashboardRole(role: unknown, where: string): DashboardRole {
  const found = DASHBOARD_ROLES.find((each) => each === role);
  if (found !== undefined) return found;
  throw badOption(where, `has the role ${JSON.stringify(role)}`, `Give one of: ${DASHBOARD_ROLES.join(', ')}.`);
}
