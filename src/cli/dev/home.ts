/**
 * The folder `.holdfast` of a project: what `holdfast dev` keeps there, and what it says of itself to other commands in the same folder.
 */
import { createHash } from 'node:crypto';
import { existsSync, lstatSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { HoldfastError } from '../../errors.ts';
import { lockHolder } from '../../servers/folder-lock.ts';
import { canEnter, unprivilegedUser } from '../../servers/machine.ts';

export const HOME = '.holdfast';
export const LOCK = 'dev.json';

/** Absolute path of the folder, which is there now, and which version control passes over. Throws HF_CONFIG when it cannot be made. */
export function makeHome(project: string): string {
  const home = join(project, HOME);
  try {
    mkdirSync(home, { recursive: true });
    const ignore = join(home, '.gitignore');
    if (!existsSync(ignore))
      writeFileSync(ignore, '# Made by holdfast dev. It may be removed while that does not run.\n*\n');
  } catch (error) {
    throw new HoldfastError('HF_CONFIG', `${home} cannot be written: ${(error as Error).message}`, {
      cause: error,
      advice: 'holdfast dev keeps its database there. Run it in a folder of your own, on a disk that has room.',
    });
  }
  return home;
}

/** Where the server's data are: elsewhere when its user cannot reach the project, as one below the home of root. */
export function dataFolder(home: string): string {
  const runAs = unprivilegedUser();
  if (canEnter(home, runAs)) return join(home, 'postgres');
  const name = createHash('sha256').update(home).digest('hex').slice(0, 12);
  const folder = join('/var/tmp', `holdfast-${name}`);
  // Everybody may write there: it must not be another user's.
  if (existsSync(folder)) {
    const found = lstatSync(folder);
    if (!found.isDirectory() || ![0, runAs.uid].includes(found.uid)) {
      throw new HoldfastError('HF_CONFIG', `${folder} is another user's.`, {
        advice: 'Run holdfast dev as another user than root, or say in DATABASE_URL which database to use.',
      });
    }
  }
  return folder;
}

/** The URL of the database of a `holdfast dev` that runs in this folder. */
export function devDatabaseUrl(project: string): string | null {
  const home = join(project, HOME);
  return existsSync(home) ? (lockHolder(home, LOCK)?.says['databaseUrl'] ?? null) : null;
}
