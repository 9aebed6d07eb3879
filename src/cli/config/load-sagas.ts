/**
 * Loads the sagas of a folder or a file: whatever its modules export that saga({ … }) made.
 */
import { HoldfastError } from '../../errors.ts';
import type { AnySaga } from '../../saga/definition/definition.ts';
import { loadExports } from './load-modules.ts';

/**
 * In the order of the file names; a saga that several files export counts once.
 * Rejects as loadExports does, and with HF_SAGA_DEFINITION, naming the files, for a saga that is declared wrongly or twice.
 */
export async function loadSagas(path: string, folder: string): Promise<readonly AnySaga[]> {
  const found = await loadExports({
    path,
    folder,
    what: 'saga',
    advice: {
      path: 'Check --sagas, HOLDFAST_SAGAS or sagas in holdfast.config.ts; it is a folder or a file.',
      empty: 'Export what saga({ … }) returns from a module there: export const placeOrder = saga({ … }).',
    },
    isOne: isSaga,
  });
  refuseTwins(found);
  return [...found.keys()];
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
