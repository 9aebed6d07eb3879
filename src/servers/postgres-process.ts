/**
 * One PostgreSQL server as a process of this machine: its data folder is made, it is launched, and is waited for. Whose folder that is, and
 * what becomes of it afterwards, is for the callers to say.
 */
import { chownSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { runCommand, untilReady, type RunAs } from './machine.ts';
import { launch, tailOf, type ServerProcess } from './server-process.ts';

export interface DataFolderOptions {
  readonly binDir: string;
  readonly data: string;
  readonly runAs: RunAs;
  readonly password: string;
  /** Where the server's user can read the password from. It is written here. */
  readonly passwordFile: string;
  /**
   * Wait until all of it is on the disk.
   *
   * @defaultValue false
   */
  readonly sync?: boolean;
}

export function makeDataFolder(options: DataFolderOptions): void {
  const { binDir, data, runAs, password, passwordFile, sync = false } = options;
  writeFileSync(passwordFile, password, { mode: 0o600 });
  if (runAs.uid !== undefined) chownSync(passwordFile, runAs.uid, runAs.gid);
  const login = ['-U', 'postgres', '-A', 'scram-sha-256', `--pwfile=${passwordFile}`];
  const args = ['-D', data, ...login, '-E', 'UTF8', '--no-locale', ...(sync ? [] : ['--no-sync'])];
  runCommand(join(binDir, 'initdb'), args, { runAs });
}

export interface PostgresLaunch {
  readonly binDir: string;
  readonly data: string;
  /** For its socket, where there is room for one. */
  readonly folder: string;
  readonly port: number;
  readonly settings: Readonly<Record<string, string>>;
  readonly runAs: RunAs;
  readonly logFile: string;
}

/** On 127.0.0.1 alone. Ended as in a crash when this process is gone; the next start recovers. */
export function launchPostgres(given: PostgresLaunch): ServerProcess {
  const { binDir, data, folder, port, settings, runAs, logFile } = given;
  const all = {
    ...settings,
    port: String(port),
    listen_addresses: '127.0.0.1',
    unix_socket_directories: socketFolder(folder),
  };
  const args = Object.entries(all).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  return launch({
    command: join(binDir, 'postgres'),
    args: ['-D', data, ...args],
    runAs,
    logFile,
    orphanSignal: 'SIGQUIT',
  });
}

/** Rejects with the end of its log when it ends instead, or takes longer than a minute. */
export async function postgresIsReady(server: ServerProcess, data: string, logFile: string): Promise<void> {
  const giveUp = (): Error | undefined =>
    server.exit() === undefined ? undefined : new Error(`${server.exit()}\n${tailOf(logFile)}`);
  await untilReady(() => saysReady(data, server.pid), { timeoutMs: 60_000, giveUp, what: 'PostgreSQL' });
}

/** Somebody else took the port between the look and the start. */
export function isPortTaken(error: unknown): boolean {
  return /could not bind|could not create any TCP/.test(String(error));
}

/** Unix socket paths have about 107 bytes; without room for one, TCP alone does. */
function socketFolder(path: string): string {
  return path.length < 80 ? path : '';
}

/** The postmaster writes its state into its pid file; this needs no connection and no password. */
function saysReady(data: string, pid: number): boolean {
  try {
    const lines = readFileSync(join(data, 'postmaster.pid'), 'utf8').split('\n');
    return Number(lines[0]) === pid && lines[7]?.trim() === 'ready';
  } catch {
    return false;
  }
}
