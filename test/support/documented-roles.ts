/**
 * The roles of docs/roles.md and what they are granted, as they stand on the page, for the tests that hold it to its word.
 */
import { readFileSync } from 'node:fs';

function grantsOfThePage(): string {
  const page = readFileSync(new URL('../../docs/roles.md', import.meta.url), 'utf8');
  const grants = /<!-- roles: tested -->\s*```sql\n([\s\S]*?)\n```/.exec(page)?.[1];
  if (grants === undefined) throw new Error('docs/roles.md has no block of SQL behind <!-- roles: tested -->.');
  return grants;
}

export function documentedRoles(): readonly string[] {
  return [...new Set([...grantsOfThePage().matchAll(/ TO (\w+);/g)].map((match) => match[1] ?? ''))];
}

/** The statements, for roles of these names behind a prefix and `_`: roles belong to the whole server. */
export function documentedGrants(prefix: string): string {
  return grantsOfThePage().replaceAll(/ (TO|FROM) (\w+);/g, ` $1 ${prefix}_$2;`);
}
