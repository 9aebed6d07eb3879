/**
 * Loads the modules of a folder or a file of the user's, for what is looked for among their exports. TypeScript is read by jiti, as the
 * configuration file is.
 */
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { HoldfastError, isHoldfastError } from '../../errors.ts';

const MODULE = /\.(?:ts|mts|js|mjs)$/;
/** Beside what is looked for, but nothing of it themselves. */
const PASSED_OVER = /\.(?:d\.m?ts|(?:test|spec)\.m?[jt]s|test-d\.m?ts)$/;

export interface ModulesOptions<T> {
  /** A folder or a file, from `folder`. */
  readonly path: string;
  readonly folder: string;
  /** In errors: 'saga'. */
  readonly what: string;
  /** Says where the path comes from, and what to export. */
  readonly advice: { readonly path: string; readonly empty: string };
  readonly isOne: (value: unknown) => value is T;
}

/**
 * What the modules export, each with the file that it was first found in, in the order of the file names. Rejects with HF_CONFIG for a path
 * that is not there, a module that cannot be loaded and a folder where nothing is found, and with what a module itself throws of
 * Holdfast's, naming the file.
 */
export async function loadExports<T>(options: ModulesOptions<T>): Promise<ReadonlyMap<T, string>> {
  const path = resolve(options.folder, options.path);
  const { createJiti } = await import('jiti');
  // One cache for all of them, so that what two files import is the same in both. None on disk.
  const jiti = createJiti(import.meta.url, { fsCache: false });
  const found = new Map<T, string>();
  for (const file of modulesAt(path, options)) {
    // One after the other: the first that fails is named.
    // oxlint-disable-next-line no-await-in-loop
    for (const each of Object.values(await load(file, (name) => jiti.import<object>(name)))) {
      if (options.isOne(each) && !found.has(each)) found.set(each, file);
    }
  }
  if (found.size > 0) return found;
  throw new HoldfastError('HF_CONFIG', `There is no ${options.what} in ${path}.`, { advice: options.advice.empty });
}

function modulesAt(
  path: string,
  { what, advice }: Pick<ModulesOptions<unknown>, 'what' | 'advice'>,
): readonly string[] {
  if (!existsSync(path)) {
    throw new HoldfastError('HF_CONFIG', `There are no ${what}s at ${path}: it does not exist.`, {
      advice: advice.path,
    });
  }
  if (!statSync(path).isDirectory()) return [path];
  return readdirSync(path, { withFileTypes: true })
    .filter((entry) => !entry.isDirectory() && MODULE.test(entry.name) && !PASSED_OVER.test(entry.name))
    .map(({ name }) => join(path, name))
    .toSorted();
}

async function load(file: string, read: (file: string) => Promise<object>): Promise<object> {
  try {
    return await read(file);
  } catch (error) {
    if (isHoldfastError(error)) {
      const { code, message, advice } = error;
      const what = advice === undefined ? message : message.replace(advice, '').trim();
      throw new HoldfastError(code, `${file}: ${what}`, { cause: error, ...(advice === undefined ? {} : { advice }) });
    }
    throw new HoldfastError(
      'HF_CONFIG',
      `${file} cannot be loaded: ${error instanceof Error ? error.message : String(error)}`,
      {
        advice: 'It is a module that runs when it is loaded; the cause is in it or in what it imports.',
        cause: error,
      },
    );
  }
}

/** Every file of the user's own that has been loaded by now, also by what was loaded: what a change of is a change of the program. */
export async function loadedFiles(): Promise<readonly string[]> {
  const { createJiti } = await import('jiti');
  return Object.keys(createJiti(import.meta.url, { fsCache: false }).cache).filter(
    (file) => !/[\\/]node_modules[\\/]/.test(file),
  );
}
