/**
 * What migrations/expected-schema.json is made of: the migrations, and the grants of docs/roles.md.
 */
import { readMigrationTexts } from '../../src/postgres/migration-folder.ts';
import { documentedGrants } from './documented-roles.ts';

export async function schemaSources(): Promise<readonly string[]> {
  const texts = await readMigrationTexts(new URL('../../migrations/', import.meta.url));
  const files = [...texts].toSorted(([a], [b]) => (a < b ? -1 : 1));
  return [...files.map(([, text]) => text), documentedGrants('part')];
}
