/**
 * Loads the sagas of a folder or a file: whatever its modules export that saga({ … }) made. TypeScript is read by jiti, as the
 * configuration file is.
 */
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { HoldfastError, isHoldfastError } from '../../errors.ts';
import type { AnySaga } from '../../saga/definition/definition.ts';

const MODULE = /\.(?:ts|mts|js|mjs)$/;
/** Beside the sagas, but none themselves. */
const PASSED_OVER = /\.(?:d\.m?ts|(?:test|spec)\.m?[jt]s|test-d\.m?ts)$/;

/**
 * In the order of the file names; a saga that several files export counts once.
 * Rejects with HF_CONFIG for a path that is not there, a module that cannot be loaded and a folder without sagas, and with
 * HF_SAGA_DEFINITION, naming the files, for a saga that is declared wrongly or twice.
 */
export async function loadSagas(path: string, folder: string): Promise<readonly AnySaga[]> {
  const files = modulesAt(resolve(folder, path));
  const { createJiti } = await import('jiti');
  // One cache for all of them, so that a child is the same saga in whichever file it is used. None on disk.
  const jiti = createJiti(import.meta.url, { fsCache: false });
  const found = new Map<AnySaga, string>();
  for (const file of files) {
    // One after the other: the first that fails is named.
    // oxlint-disable-next-line no-await-in-loop
    for (const each of await sagasOf(file, (name) => jiti.import<object>(name))) {
      if (!found.has(each)) found.set(each, file);
    }
  }
  if (found.size === 0) {
    throw new HoldfastError('HF_CONFIG', `There is no saga in ${resolve(folder, path)}.`, {
      advice: 'Export what saga({ … }) returns from a module there: export const placeOrder = saga({ … }).',
    });
  }
  refuseTwins(found);
  return [...found.keys()];
}

function modulesAt(path: string): readonly string[] {
  if (!existsSync(path)) {
    throw new HoldfastError('HF_CONFIG', `There are no sagas at ${path}: it does not exist.`, {
      advice: 'Check --sagas, HOLDFAST_SAGAS or sagas in holdfast.config.ts; it is a folder or a file.',
    });
  }
  if (!statSync(path).isDirectory()) return [path];
  return readdirSync(path, { withFileTypes: true })
    .filter((entry) => !entry.isDirectory() && MODULE.test(entry.name) && !PASSED_OVER.test(entry.name))
    .map(({ name }) => join(path, name))
    .toSorted();
}

async function sagasOf(file: string, load: (file: string) => Promise<object>): Promise<readonly AnySaga[]> {
  try {
    return Object.values(await load(file)).filter(isSaga);
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

/** By its shape: the module may have another copy of the package. */
function isSaga(value: unknown): value is AnySaga {
  if (typeof value !== 'object' || value === null) return false;
  const { name, version, steps, signals, run, deadlineMs } = value as Partial<Record<keyof AnySaga, unknown>>;
  const named = typeof name === 'string' && typeof version === 'number' && deadlineMs !== undefined;
  return named && typeof steps === 'object' && typeof signals === 'object' && typeof run === 'function';
}

function refuseTwins(found: ReadonlyMap<AnySaga, string>): void {
  const files = new Map<string, string>();
  for (const [{ name, version }, file] of found) {
    const twin = files.get(`${name}@${version}`);
    files.set(`${name}@${version}`, file);
    if (twin === undefined) continue;
    const where = twin === file ? `${file} has` : `${twin} and ${file} both have`;
    throw new HoldfastError('HF_SAGA_DEFINITION', `${where} a saga ${name} of version ${version}.`, {
      advice: 'Give the newer one the next version; several versions can run side by side.',
    });
  }
}
