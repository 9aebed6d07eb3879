/**
 * The user's own program beside `holdfast dev`: `holdfast dev -- npm start`. It is given where database and Redis are, and ends with us.
 */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { createInterface } from 'node:readline';
import { keep, release, type Kept } from '../../servers/keeper.ts';
import { endGroup } from './services-process.ts';

export interface Companion {
  stop(): Promise<void>;
}

export interface CompanionHooks {
  readonly onLine: (line: string) => void;
  readonly onEnd: (why: string) => void;
}

/** For its own way of stopping, in milliseconds. */
const PATIENCE_MS = 8_000;

export function startCompanion(
  [command = '', ...args]: readonly string[],
  env: NodeJS.ProcessEnv,
  { onLine, onEnd }: CompanionHooks,
): Companion {
  const child = spawn(command, args, {
    env: { ...env, PATH: withProjectBinaries(env['PATH'] ?? '') },
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const kept: Kept = { kind: 'group', id: String(child.pid), signal: 'SIGTERM' };
  if (child.pid !== undefined) keep(kept);
  for (const input of [child.stdout, child.stderr]) createInterface({ input }).on('line', onLine);
  let isOver = false;
  child.once('error', (error: NodeJS.ErrnoException) => {
    isOver = true;
    onEnd(error.code === 'ENOENT' ? `there is no command ${command}` : error.message);
  });
  child.once('close', (code, signal) => {
    release(kept);
    if (!isOver) onEnd(signal === null ? `it ended with exit code ${code ?? '?'}` : `it ended with ${signal}`);
    isOver = true;
  });
  return {
    async stop() {
      if (isOver) return;
      isOver = true;
      await endGroup(child, PATIENCE_MS, true);
    },
  };
}

/** As npm has it for scripts. */
function withProjectBinaries(path: string): string {
  const folder = join(process.cwd(), 'node_modules', '.bin');
  return existsSync(folder) && !path.split(delimiter).includes(folder) ? `${folder}${delimiter}${path}` : path;
}
