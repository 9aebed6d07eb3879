/**
 * A proxy that has made sure who is asking (oauth2-proxy, an identity-aware load balancer) and says so in a header. Believed only when
 * the connection comes from its address.
 */
import { badOption, refuseUnknownOptions } from '../../runtime/options.ts';
import { createAddressList } from './addresses.ts';
import type { Authenticator } from './authenticator.ts';
import type { DashboardRole } from './contract.ts';
import { createRoleRules } from './role-rules.ts';

/** Options of {@link proxyAuthenticator}. */
export interface ProxyAuthenticatorOptions {
  /** Addresses and ranges that the proxy connects from, such as `10.0.3.0/24`. Nobody else must be able to connect from there. */
  readonly from: readonly string[];
  /**
   * The header with who is asking. The proxy must set it on every request, whatever the client sent.
   *
   * @defaultValue 'x-forwarded-user'
   */
  readonly user?: string | undefined;
  /**
   * The header with groups, divided by commas. The proxy must set it on every request, too.
   *
   * @defaultValue 'x-forwarded-groups'
   */
  readonly groups?: string | undefined;
  /**
   * Roles by group; of several the highest counts.
   *
   * @defaultValue none
   */
  readonly roles?: Readonly<Record<string, DashboardRole>> | undefined;
  /**
   * The role of everybody whom the proxy lets in.
   *
   * @defaultValue none: who has no group with a role is refused
   */
  readonly everybody?: DashboardRole | undefined;
}

/** A comma would be two headers in one: the proxy's and one that the client smuggled in. */
const USER = /^[^\p{Cc},]{1,200}$/u;
const HEADER = /^[a-z][a-z0-9-]{0,99}$/;

/**
 * An authenticator that believes a proxy.
 *
 * @throws HoldfastError HF_CONFIG, HF_OPTION_UNKNOWN
 * @example
 * const authenticator = proxyAuthenticator({
 *   from: ['10.0.3.0/24'],
 *   roles: { 'on-call': 'operator', platform: 'admin' },
 *   everybody: 'viewer',
 * });
 */
export function proxyAuthenticator(options: ProxyAuthenticatorOptions): Authenticator {
  const where = 'proxyAuthenticator';
  refuseUnknownOptions(options, ['from', 'user', 'groups', 'roles', 'everybody'], where);
  const { from, roles, everybody } = options;
  if (!Array.isArray(from) || from.length === 0)
    throw badOption(where, 'trusts no address', "Give `from`, such as ['10.0.3.0/24'].");
  const addresses = createAddressList(from, where);
  const userHeader = assertHeader(options.user ?? 'x-forwarded-user', where);
  const groupsHeader = assertHeader(options.groups ?? 'x-forwarded-groups', where);
  const roleOf = createRoleRules({ roles, everybody }, where);

  return {
    name: 'proxy',
    ambient: true,
    authenticate({ header, peer }) {
      if (!addresses.has(peer)) return null;
      const actor = header(userHeader)?.trim() ?? '';
      if (!USER.test(actor)) return null;
      const groups = (header(groupsHeader) ?? '').split(',').map((group) => group.trim());
      const role = roleOf(groups);
      return role === null ? null : { actor, role };
    },
  };
}

function assertHeader(name: string, where: string): string {
  if (HEADER.test(name)) return name;
  throw badOption(
    where,
    `names the header ${JSON.stringify(name)}`,
    'Give it in lower case, such as x-forwarded-user.',
  );
}
