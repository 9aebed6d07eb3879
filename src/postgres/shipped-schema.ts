/**
 * What the migrations of this package make, as JSON: written by `npm run schema`, for whoever compares a schema with it.
 *
 * Here it is read from the folder migrations/. The build puts a module in this one's place that carries the text itself
 * (.ci/embed.mjs), as with the migrations.
 */
import { readFile } from 'node:fs/promises';

export async function shippedSchema(): Promise<string> {
  return readFile(new URL('../../migrations/expected-schema.json', import.meta.url), 'utf8');
}
