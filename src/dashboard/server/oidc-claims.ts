/**
 * Who somebody is, by what an identity provider says of them. Pure.
 */
import type { Claims } from './openid-client.ts';

/** Fit for the audit. */
const NAME = /^[^\p{Cc}]{1,200}$/u;

/**
 * A claim by its name, or by a path of names with dots (`realm_access.roles`): a name may have dots itself, so the whole of it is looked for
 * first.
 */
export function claimOf(claims: Readonly<Record<string, unknown>>, name: string): unknown {
  if (Object.hasOwn(claims, name)) return claims[name];
  let value: unknown = claims;
  for (const part of name.split('.')) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, part)) return undefined;
    value = (value as Readonly<Record<string, unknown>>)[part];
  }
  return value;
}

/** A list of names, one name, or an object that has them as its keys. */
export function groupsIn(value: unknown): readonly string[] {
  if (typeof value === 'string') return [value];
  if (Array.isArray(value)) return value.filter((each): each is string => typeof each === 'string');
  return typeof value === 'object' && value !== null ? Object.keys(value) : [];
}

/**
 * How somebody stands in the audit: by the claim that was asked for, or by the subject, which is always there. An address that the provider
 * has not verified may be anybody's.
 */
export function actorIn(claims: Claims, name: string): string | null {
  const value = claimOf(claims, name);
  const isDoubtful = name === 'email' && claims['email_verified'] === false;
  if (typeof value === 'string' && NAME.test(value) && !isDoubtful) return value;
  return NAME.test(claims.sub) ? claims.sub : null;
}
