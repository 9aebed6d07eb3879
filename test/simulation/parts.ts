/** Seeds in processes of their own, compiled into one file: that starts at once, and takes less than a loader of TypeScript leaves of it. */
import { join } from 'node:path';
import { compilePrograms } from '../../.ci/compile-programs.ts';

export interface CompiledPart {
  readonly path: string;
  readonly dispose: () => Promise<void>;
}

/** @param root where the project is, or a copy of it */
export async function compilePart(root: string): Promise<CompiledPart> {
  const { paths, dispose } = await compilePrograms([join(root, 'test/simulation/part.ts')]);
  const path = paths['part.ts'];
  if (path === undefined) throw new Error('part.ts was not compiled.');
  return { path, dispose };
}
