/**
 * The texts of the migrations that this package ships, by file name.
 *
 * Here they are read from the folder migrations/. The build puts a module in this one's place that carries the texts themselves
 * (.ci/embed.mjs): an application that is bundled into one file has no such folder beside it.
 */
import { readMigrationTexts } from './migration-folder.ts';

/** Two levels up from src/postgres. Made when it is asked for: in a bundle of CommonJS there is no import.meta.url. */
export async function shippedMigrations(): Promise<ReadonlyMap<string, string>> {
  return readMigrationTexts(new URL('../../migrations/', import.meta.url));
}
