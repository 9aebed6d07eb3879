/**
 * A folder of migrations as texts by file name. Used for the package's own in a checkout, and by tests that bring theirs.
 */
import { readdir, readFile } from 'node:fs/promises';

export async function readMigrationTexts(directory: URL): Promise<ReadonlyMap<string, string>> {
  const files = (await readdir(directory)).filter((file) => file.endsWith('.sql'));
  return new Map(
    await Promise.all(
      files.map(async (file): Promise<[string, string]> => [file, await readFile(new URL(file, directory), 'utf8')]),
    ),
  );
}
