/**
 * What the server starters need from the machine: a user to run as, a temporary folder, a free port, a command's output.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { chownSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { keep, release } from './keeper.ts';

/** Numeric ids for spawn; empty when the current user will do. */
export type RunAs = { readonly uid: number; readonly gid: number } | Record<string, never>;

let runAsMemo: RunAs | undefined;

/** PostgreSQL refuses to run as root: then it is `postgres`, else `nobody`, else 65534. Otherwise the current user. */
export function unprivilegedUser(): RunAs {
  runAsMemo ??=
    process.getuid?.() === 0 ? (lookUpUser('postgres') ?? lookUpUser('nobody') ?? { uid: 65_534, gid: 65_534 }) : {};
  return runAsMemo;
}

function lookUpUser(name: string): RunAs | undefined {
  const uid = Number.parseInt(output('id', ['-u', name]) ?? '', 10);
  const gid = Number.parseInt(output('id', ['-g', name]) ?? '', 10);
  return Number.isNaN(uid) || Number.isNaN(gid) ? undefined : { uid, gid };
}

/** Standard output of a command that succeeds, trimmed; undefined when it fails or is not there. */
export function output(command: string, args: readonly string[], runAs: RunAs = {}): string | undefined {
  const result = spawnSync(command, args, {
    encoding: 'utf8',
    timeout: 20_000,
    stdio: ['ignore', 'pipe', 'ignore'],
    cwd: '/',
    ...runAs,
  });
  return result.status === 0 ? result.stdout.trim() : undefined;
}

/** Runs a command to its end and throws with the end of its output when it fails. */
export function runCommand(
  command: string,
  args: readonly string[],
  options: { runAs?: RunAs; env?: NodeJS.ProcessEnv; timeoutMs?: number } = {},
): string {
  try {
    return execFileSync(command, args, {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
      cwd: '/',
      env: { ...process.env, ...options.env },
      timeout: options.timeoutMs ?? 120_000,
      ...options.runAs,
    });
  } catch (error) {
    const { stderr, stdout } = error as { stderr?: string; stdout?: string };
    const tail = [stdout, stderr].filter(Boolean).join('\n').trim().split('\n').slice(-8).join('\n');
    throw new Error(`${command} failed: ${tail || (error as Error).message}`, { cause: error });
  }
}

export interface TemporaryFolder {
  readonly path: string;
  remove(): void;
}

/** A fresh folder owned by `runAs`, removed at the latest when this process ends. */
export function temporaryFolder(prefix: string, runAs: RunAs = {}): TemporaryFolder {
  const path = mkdtempSync(join(baseFolder(runAs), `${prefix}-`));
  keep({ kind: 'folder', id: path });
  if (runAs.uid !== undefined) chownSync(path, runAs.uid, runAs.gid);
  return {
    path,
    remove() {
      rmSync(path, { recursive: true, force: true, maxRetries: 5 });
      release({ kind: 'folder', id: path });
    },
  };
}

/** The system's temporary folder, unless the user the server runs as cannot enter it (TMPDIR below /root, say). */
function baseFolder(runAs: RunAs): string {
  return canEnter(tmpdir(), runAs) ? tmpdir() : '/tmp';
}

/** Whether that user may go into the folder: not below the home of another one. */
export function canEnter(folder: string, runAs: RunAs): boolean {
  return runAs.uid === undefined || output('/bin/sh', ['-c', `cd "$0" && test -x .`, folder], runAs) !== undefined;
}

/**
 * A TCP port nobody listens on. Taken below the range from which systems draw the ports of outgoing connections
 * (32768 and up on Linux, 49152 on macOS), so that it is still free when a stopped server starts on it again.
 */
export async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < 200; attempt++) {
    const port = 20_000 + Math.floor(Math.random() * 12_000);
    if (await isPortFree(port)) return port;
  }
  throw new Error('No free TCP port between 20000 and 32000 on 127.0.0.1.');
}

/** Whether nobody listens on this port of 127.0.0.1. */
export function isPortFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => server.close(() => resolve(true)));
  });
}

/** Waits until `ready` says so. Throws what `giveUp` returns as soon as it returns something, or after `timeoutMs`. */
export async function untilReady(
  ready: () => boolean | Promise<boolean>,
  options: { timeoutMs: number; giveUp?: () => Error | undefined; what: string },
): Promise<void> {
  const deadline = performance.now() + options.timeoutMs;
  while (!(await ready())) {
    const reason = options.giveUp?.();
    if (reason !== undefined) throw reason;
    if (performance.now() > deadline) throw new Error(`${options.what} was not ready after ${options.timeoutMs} ms.`);
    await new Promise((resolve) => setTimeout(resolve, 15));
  }
}
