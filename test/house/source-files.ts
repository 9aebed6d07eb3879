/**
 * The project's own source files, read once, for the tests of this folder.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = fileURLToPath(new URL('../../', import.meta.url));

const INSTALLED = /[\\/]node_modules[\\/]/;

export interface SourceFile {
  /** From the root of the project, with forward slashes. */
  readonly path: string;
  readonly text: string;
  /** The text without comments, which keeps its line breaks. Good enough for looking for words; no parser. */
  readonly code: string;
}

/** All .ts and .tsx files below the given top-level folders that are ours, not installed; a folder that is not there has none. */
export function sourceFiles(...folders: readonly string[]): readonly SourceFile[] {
  return folders.flatMap((folder) => {
    const below = listFiles(join(ROOT, folder));
    return below.filter((file) => /\.tsx?$/.test(file) && !INSTALLED.test(file)).map((file) => readSource(file));
  });
}

function listFiles(folder: string): string[] {
  try {
    const entries = readdirSync(folder, { recursive: true, withFileTypes: true });
    return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

function readSource(file: string): SourceFile {
  const text = readFileSync(file, 'utf8');
  const blank = (comment: string): string => comment.replaceAll(/[^\n]/g, '');
  const code = text.replaceAll(/\/\*[\s\S]*?\*\//g, blank).replaceAll(/^\s*\/\/.*$/gm, '');
  return { path: relative(ROOT, file).replaceAll('\\', '/'), text, code };
}

/** What the file imports or re-exports by a relative path, as paths from the root. Type imports count as well. */
export function relativeImports(file: SourceFile): readonly string[] {
  const specifiers = [...file.code.matchAll(/(?:\bfrom\s*|\bimport\s*\(?\s*)'(\.[^']+)'/g)].map(
    (match) => match[1] ?? '',
  );
  return specifiers.map((specifier) => join(dirname(file.path), specifier).replaceAll('\\', '/'));
}

/** The lines for which `isWrong` holds, as `path:line`. */
export function linesWhere(files: readonly SourceFile[], isWrong: (line: string) => boolean): readonly string[] {
  return files.flatMap(({ path, text }) =>
    text.split('\n').flatMap((line, index) => (isWrong(line) ? [`${path}:${index + 1}: ${line.trim()}`] : [])),
  );
}
