/**
 * Leaves nothing behind. Servers and temporary folders are registered with a small keeper process, which holds one end
 * of a pipe from this one. However this process ends (exit, Ctrl-C, SIGKILL, crash), the pipe closes, and the keeper
 * stops what is still registered and removes its folders.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import type { Socket } from 'node:net';
import type { Writable } from 'node:stream';

/** Something that must not outlive this process. */
export type Kept =
  | { readonly kind: 'process'; readonly id: string; readonly signal: 'SIGQUIT' | 'SIGKILL' }
  /** A process that leads a group, and all of that group. */
  | { readonly kind: 'group'; readonly id: string; readonly signal: 'SIGTERM' }
  | { readonly kind: 'container'; readonly id: string }
  | { readonly kind: 'folder'; readonly id: string };

/** Plain CommonJS for `node -e`: it must run from TypeScript sources, from dist/ and from inside node_modules alike. */
const KEEPER_SCRIPT = String.raw`
const { execFileSync } = require('node:child_process');
const { rmSync, readFileSync } = require('node:fs');
const kept = new Map();
let rest = '';
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => {});
process.stdin.setEncoding('utf8');
process.stdin.on('data', (chunk) => {
  const lines = (rest + chunk).split('\n');
  rest = lines.pop();
  for (const line of lines) {
    const { hold, release } = JSON.parse(line);
    if (hold) kept.set(hold.kind + hold.id, hold);
    if (release) kept.delete(release.kind + release.id);
  }
});
process.stdin.on('error', cleanUp);
process.stdin.on('end', cleanUp);
function alive(pid) {
  try {
    process.kill(pid, 0);
    return !(pid > 0 && process.platform === 'linux' && /\) Z /.test(readFileSync('/proc/' + pid + '/stat', 'utf8')));
  } catch { return false; }
}
function kill(pid, signal) { try { process.kill(pid, signal); } catch {} }
async function end(processes) {
  for (const { id, signal } of processes) kill(id, signal);
  for (let waited = 0; waited < 100 && processes.some(({ id }) => alive(id)); waited++) {
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  for (const { id } of processes) if (alive(id)) kill(id, 'SIGKILL');
}
async function cleanUp() {
  const all = [...kept.values()];
  const ids = (kind, sign) => all.filter((item) => item.kind === kind).map((item) => ({ id: sign * Number(item.id), signal: item.signal }));
  // What works with a server goes before it.
  await end(ids('group', -1));
  await end(ids('process', 1));
  for (const item of all) {
    try {
      if (item.kind === 'container') execFileSync('docker', ['rm', '-f', '-v', item.id], { stdio: 'ignore', timeout: 30000 });
      if (item.kind === 'folder') rmSync(item.id, { recursive: true, force: true, maxRetries: 5 });
    } catch {}
  }
  process.exit(0);
}
`;

interface Keeper {
  readonly child: ChildProcess;
  readonly pipe: Writable;
  /** Resolves when it is gone, or could not be started. */
  readonly gone: Promise<void>;
}

/** Longer than it takes itself: five seconds for groups and five for processes that do not obey. */
const DISMISSAL_MS = 15_000;

let keeper: Keeper | undefined;

function keeperPipe(): Writable {
  if (keeper !== undefined) return keeper.pipe;
  const { NODE_OPTIONS: _unwanted, ...env } = process.env;
  // A session of its own, so that Ctrl-C at the terminal does not end the keeper before its work.
  const child = spawn(process.execPath, ['-e', KEEPER_SCRIPT], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
    cwd: '/',
    env,
  });
  const gone = new Promise<void>((resolve) => {
    child.once('exit', () => resolve());
    child.on('error', () => resolve());
  });
  child.stdin.on('error', () => {});
  child.unref();
  (child.stdin as Socket).unref();
  keeper = { child, pipe: child.stdin, gone };
  return child.stdin;
}

/** Registers something to be ended or removed when this process is gone. */
export function keep(item: Kept): void {
  keeperPipe().write(`${JSON.stringify({ hold: item })}\n`);
}

/** Forgets something that was ended or removed in the ordinary way. */
export function release(item: Kept): void {
  // A keeper that was dismissed has ended it already.
  keeper?.pipe.write(`${JSON.stringify({ release: item })}\n`);
}

/**
 * For a process that is about to end in order: ends and removes now what is still registered, and resolves when nothing of it is left, the
 * keeper itself included. Otherwise the keeper outlives us by the moment that it takes to see that we are gone.
 *
 * One that takes longer than `limitMs` is not waited for any more. It is not ended either: it goes on with what it has to do, after us as well.
 */
export async function dismissKeeper(limitMs = DISMISSAL_MS): Promise<void> {
  if (keeper === undefined) return;
  const { child, pipe, gone } = keeper;
  // What is registered from now on gets a keeper of its own.
  keeper = undefined;
  child.ref();
  pipe.end();
  let limit: NodeJS.Timeout | undefined;
  await Promise.race([gone, new Promise<void>((resolve) => (limit = setTimeout(resolve, limitMs)))]);
  clearTimeout(limit);
  child.unref();
}
