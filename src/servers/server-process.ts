/**
 * One server process on this machine: launched in a session of its own, registered with the keeper, its output in a log
 * file.
 */
import { spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import type { RunAs } from './machine.ts';
import { keep, release, type Kept } from './keeper.ts';

export interface ServerProcess {
  readonly pid: number;
  /** Why it is gone; undefined while it runs. */
  exit(): string | undefined;
  /** Resolves with why, once it is gone. */
  readonly gone: Promise<string>;
  /** Sends a signal and resolves when the process is gone; after `timeoutMs` it is killed. */
  end(signal: NodeJS.Signals, timeoutMs?: number): Promise<void>;
}

export interface Launch {
  readonly command: string;
  readonly args: readonly string[];
  readonly runAs: RunAs;
  readonly logFile: string;
  /** Sent by the keeper when this process is gone. */
  readonly orphanSignal: 'SIGQUIT' | 'SIGKILL';
}

export function launch({ command, args, runAs, logFile, orphanSignal }: Launch): ServerProcess {
  const log = openSync(logFile, 'a');
  const child = spawn(command, args, { detached: true, stdio: ['ignore', log, log], cwd: '/', ...runAs });
  closeSync(log);
  let exit: string | undefined;
  const kept: Kept | undefined =
    child.pid === undefined ? undefined : { kind: 'process', id: String(child.pid), signal: orphanSignal };
  if (kept !== undefined) keep(kept);
  const gone = new Promise<string>((resolve) => {
    const over = (reason: string): void => {
      exit ??= reason;
      if (kept !== undefined) release(kept);
      resolve(exit);
    };
    child.once('error', (error) => over(error.message));
    child.once('exit', (code, signal) => over(`it ended with ${signal ?? `exit code ${code}`}`));
  });
  child.unref();
  return {
    pid: child.pid ?? -1,
    exit: () => exit,
    gone,
    async end(signal, timeoutMs = 30_000) {
      if (exit !== undefined) return;
      child.ref();
      child.kill(signal);
      const killer = setTimeout(() => child.kill('SIGKILL'), timeoutMs);
      await gone;
      clearTimeout(killer);
    },
  };
}

/** The last lines of a log, for error messages. */
export function tailOf(logFile: string, lines = 8): string {
  try {
    return readFileSync(logFile, 'utf8').trim().split('\n').slice(-lines).join('\n');
  } catch {
    return '';
  }
}
