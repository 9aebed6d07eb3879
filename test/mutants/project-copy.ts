/**
 * A copy of the project in which mistakes can be planted: the tree that somebody works in is never touched.
 */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { ROOT } from '../house/source-files.ts';
import { plantedIn, type Plant } from './mutant.ts';

export interface ProjectCopy {
  readonly folder: string;
  /** Its files, as paths from that folder. */
  readonly paths: readonly string[];
  /** What `work` resolves with, done with the mistake in place, which is gone afterwards. */
  during<T>(plant: Plant, work: () => Promise<T>): Promise<T>;
  remove(): void;
}

/** All files that git knows or would know, as they are now. */
export function copyProject(): ProjectCopy {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-mutants-'));
  const listed = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], { cwd: ROOT });
  const paths = listed.toString().split('\0').filter(Boolean);
  for (const path of paths) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    cpSync(join(ROOT, path), join(folder, path), { force: true });
  }
  symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'), 'junction');
  return {
    folder,
    paths,
    async during(plant, work) {
      const path = join(folder, plant.file);
      const before = readFileSync(path, 'utf8');
      writeFileSync(path, plantedIn(before, plant));
      try {
        return await work();
      } finally {
        writeFileSync(path, before);
      }
    },
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}
