/**
 * Which files a mistake in one of them reaches: those that import it, directly or not. All others are the same with and without it.
 */
import { relativeImports, type SourceFile } from '../house/source-files.ts';

/**
 * What loads a file, itself included. Of one that is not a source file nobody knows who reads it: all of them, perhaps.
 *
 * @param files paths from the root of the project
 */
export function importersOf(files: readonly SourceFile[]): (path: string) => ReadonlySet<string> {
  const importers = new Map<string, string[]>(files.map(({ path }) => [path, []]));
  for (const file of files) for (const imported of relativeImports(file)) importers.get(imported)?.push(file.path);
  return (path) => {
    if (!importers.has(path)) return new Set(importers.keys());
    const reached = new Set([path]);
    // What is added on the way is visited as well.
    for (const each of reached) for (const importer of importers.get(each) ?? []) reached.add(importer);
    return reached;
  };
}
