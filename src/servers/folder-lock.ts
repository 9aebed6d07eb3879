/**
 * One process at a time for a folder. The lock is a file that names its holder; a holder that is gone, killed or lost with its machine,
 * holds nothing.
 */
import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beganAt, isAlive } from './process-identity.ts';

/** What stands in the file: who holds it, and what it says of itself to others. */
export interface LockHolder {
  readonly pid: number;
  readonly began: string | null;
  readonly says: Readonly<Record<string, string>>;
}

export interface FolderLock {
  /** What others may read, as long as it is held. */
  say(facts: Readonly<Record<string, string>>): void;
  release(): void;
}

/** The lock, or who has it. */
export function takeLock(folder: string, name: string): FolderLock | LockHolder {
  const file = join(folder, name);
  const own = join(folder, `${name}.${process.pid}`);
  const me: LockHolder = { pid: process.pid, began: beganAt(process.pid), says: {} };
  writeFileSync(own, JSON.stringify(me), { mode: 0o600 });
  try {
    // A link is made by one of several that try, and holds the whole text at once.
    while (!linked(own, file)) {
      const before = readText(file);
      const holder = before === null ? null : parsed(before);
      if (holder !== null && holds(holder)) return holder;
      setAside(file, `${own}.stale`, before);
    }
  } finally {
    rmSync(own, { force: true });
  }
  return {
    say(says) {
      writeFileSync(own, JSON.stringify({ ...me, says }), { mode: 0o600 });
      renameSync(own, file);
    },
    release: () => rmSync(file, { force: true }),
  };
}

/** Who holds it now; null: nobody. */
export function lockHolder(folder: string, name: string): LockHolder | null {
  const text = readText(join(folder, name));
  const holder = text === null ? null : parsed(text);
  return holder !== null && holds(holder) ? holder : null;
}

export function isLock(taken: FolderLock | LockHolder): taken is FolderLock {
  return 'release' in taken;
}

function holds({ pid, began }: LockHolder): boolean {
  return isAlive(pid) && (began === null || beganAt(pid) === began);
}

function linked(from: string, to: string): boolean {
  try {
    linkSync(from, to);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

/** What nobody holds is taken away; what somebody took in the meantime is put back. */
function setAside(file: string, aside: string, expected: string | null): void {
  try {
    renameSync(file, aside);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
    throw error;
  }
  if (readText(aside) !== expected) linked(aside, file);
  rmSync(aside, { force: true });
}

function readText(file: string): string | null {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

function parsed(text: string): LockHolder | null {
  try {
    const { pid, began, says } = JSON.parse(text) as Partial<LockHolder>;
    return typeof pid === 'number' && pid > 0 ? { pid, began: began ?? null, says: says ?? {} } : null;
  } catch {
    return null;
  }
}
