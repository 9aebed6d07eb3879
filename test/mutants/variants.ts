/**
 * Variants of the project in which mistakes are tried beside each other: a folder for each, with all files, of which the untouched ones
 * are links. A variant loads what its mistake reaches by itself, and shares all else with the untouched project.
 */
import { linkSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { plantedIn, type Plant } from './mutant.ts';

/** What a folder of variants is made of. */
export interface Project {
  /** An untouched copy, on the file system of the variants. */
  readonly folder: string;
  /** Its files, as paths from that folder. */
  readonly paths: readonly string[];
}

export interface Variant {
  readonly folder: string;
  /** Which files it loads by itself, as paths from its folder. */
  readonly own: ReadonlySet<string>;
}

/**
 * Makes the folder.
 *
 * @param own which files it loads by itself
 * @param plant `null` for a control
 */
export function createVariant(project: Project, { folder, own }: Variant, plant: Plant | null): void {
  const made = new Set<string>();
  const foldersOfOwn = new Set([...own, ...(plant === null ? [] : [plant.file])].flatMap((path) => foldersOf(path)));
  mkdirSync(folder, { recursive: true });
  for (const path of project.paths) {
    // A folder in which everything is shared is one link.
    const shared = foldersOf(path).find((each) => !foldersOfOwn.has(each));
    if (shared === undefined) {
      mkdirSync(join(folder, dirname(path)), { recursive: true });
      linkSync(join(project.folder, path), join(folder, path));
    } else if (!made.has(shared)) {
      made.add(shared);
      mkdirSync(join(folder, dirname(shared)), { recursive: true });
      symlinkSync(join(project.folder, shared), join(folder, shared), 'junction');
    }
  }
  symlinkSync(join(project.folder, 'node_modules'), join(folder, 'node_modules'), 'junction');
  if (plant === null) return;
  const path = join(folder, plant.file);
  const planted = plantedIn(readFileSync(path, 'utf8'), plant);
  // A new file: writing into the old one would write into all variants.
  rmSync(path);
  writeFileSync(path, planted);
}

/** From the outermost on: a, a/b for a/b/c.ts. */
function foldersOf(path: string): readonly string[] {
  const names = path.split('/').slice(0, -1);
  return names.map((_, at) => names.slice(0, at + 1).join('/'));
}

/** Where an import leads: to the variant's own file, or to the one that all share. `null` when it is not one of a variant. */
export function resolveInVariant(
  specifier: string,
  importer: string,
  project: string,
  variants: readonly Variant[],
): string | null {
  if (!specifier.startsWith('.')) return null;
  const variant = variants.find(({ folder }) => importer.startsWith(`${folder}/`));
  if (variant === undefined) return null;
  const path = relative(variant.folder, resolve(dirname(importer), specifier)).replaceAll('\\', '/');
  return join(variant.own.has(path) ? variant.folder : project, path);
}
