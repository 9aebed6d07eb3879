/**
 * Notices when files of the project change: those that were loaded, and what is new in folders that are loaded as a whole. Folders are
 * watched and not files, because editors put a new file in the place of the old one.
 */
import { watch, type FSWatcher } from 'node:fs';
import { basename, dirname, join } from 'node:path';

export interface FileWatch {
  /** What to look at from now on, beside what was named before. Absolute. */
  add(files: readonly string[], folders: readonly string[]): void;
  close(): void;
}

export interface FileWatchHooks {
  /** Once for changes that come together. */
  readonly onChange: (file: string) => void;
  /** A folder cannot be watched: changes in it are not noticed. */
  readonly onTrouble: (folder: string, error: Error) => void;
}

/** Editors write in several steps, and people save several files. */
const TOGETHER_MS = 150;
const MODULE = /\.[cm]?[jt]sx?$|\.json$/;

export function watchFiles({ onChange, onTrouble }: FileWatchHooks): FileWatch {
  const files = new Set<string>();
  const whole = new Set<string>();
  const watchers = new Map<string, FSWatcher>();
  let timer: NodeJS.Timeout | null = null;
  let first = '';

  function changed(folder: string, name: string | null): void {
    // Some systems do not say which.
    const file = name === null ? folder : join(folder, name);
    const counts = name === null || files.has(file) || (whole.has(folder) && MODULE.test(basename(file)));
    if (!counts) return;
    if (timer === null) first = file;
    else clearTimeout(timer);
    timer = setTimeout(() => {
      timer = null;
      onChange(first);
    }, TOGETHER_MS);
  }

  function look(folder: string): void {
    if (watchers.has(folder)) return;
    try {
      const watcher = watch(folder, (_event, name) => changed(folder, name));
      watcher.on('error', (error) => {
        watchers.delete(folder);
        onTrouble(folder, error);
      });
      watchers.set(folder, watcher);
    } catch (error) {
      onTrouble(folder, error as Error);
    }
  }

  return {
    add(more, folders) {
      for (const file of more) {
        files.add(file);
        look(dirname(file));
      }
      for (const folder of folders) {
        whole.add(folder);
        look(folder);
      }
    },
    close() {
      if (timer !== null) clearTimeout(timer);
      for (const watcher of watchers.values()) watcher.close();
      watchers.clear();
    },
  };
}
