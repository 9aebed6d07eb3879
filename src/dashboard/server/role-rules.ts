/**
 * Roles by the groups that somebody else says a person is in.
 */
import { badOption } from '../../runtime/options.ts';
import { assertDashboardRole, mayAs } from './authenticator.ts';
import type { DashboardRole } from './contract.ts';

export interface RoleRules {
  /** Roles by group. */
  readonly roles?: Readonly<Record<string, DashboardRole>> | undefined;
  /** Of everybody. */
  readonly everybody?: DashboardRole | undefined;
}

/** The role of somebody in these groups; of several the highest; null: none. Throws HF_CONFIG for rules that give nobody one. */
export function createRoleRules(
  { roles = {}, everybody }: RoleRules,
  where: string,
): (groups: readonly string[]) => DashboardRole | null {
  const byGroup = new Map(Object.entries(roles).map(([group, role]) => [group, assertDashboardRole(role, where)]));
  const common = everybody === undefined ? null : assertDashboardRole(everybody, where);
  if (byGroup.size === 0 && common === null)
    throw badOption(where, 'gives nobody a role', 'Give `roles` or `everybody`.');
  return (groups) => highest([common, ...groups.map((group) => byGroup.get(group) ?? null)]);
}

function highest(roles: readonly (DashboardRole | null)[]): DashboardRole | null {
  return roles.reduce((best, role) => (role !== null && (best === null || mayAs(role, best)) ? role : best), null);
}
