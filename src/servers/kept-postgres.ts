/**
 * A PostgreSQL server whose data survive: its folder stays, its port and password stay the same, and it does not outlive this process. For
 * development. One process at a time may have the folder; whoever calls this holds a lock on it.
 */
import { randomBytes } from 'node:crypto';
import { chownSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { HoldfastError } from '../errors.ts';
import { freePort, isPortFree, output, unprivilegedUser, untilReady, type RunAs } from './machine.ts';
import { majorOf, type PostgresBinaries } from './postgres-binaries.ts';
import { urlOf, withClient } from './postgres-client.ts';
import { isPortTaken, launchPostgres, makeDataFolder, postgresIsReady } from './postgres-process.ts';
import { isAlive } from './process-identity.ts';
import type { ServerProcess } from './server-process.ts';

export interface KeptPostgresOptions {
  /** Absolute; made when it is not there. The server's user must be able to reach it. */
  readonly folder: string;
  /** Made when it is not there. */
  readonly database: string;
  readonly binaries: PostgresBinaries;
}

export interface KeptPostgres {
  /** As the superuser. The same as long as nobody takes the port meanwhile. */
  readonly url: string;
  readonly port: number;
  /** Resolves with why, when it has ended. */
  readonly gone: Promise<string>;
  /** Rolls back what is open, and ends it. */
  stop(): Promise<void>;
}

/** It is kept for weeks, and may lose nothing when the machine goes down. */
const SETTINGS = { max_connections: '100' } as const;
const LARGEST_LOG = 5_000_000;
const ORPHAN_MS = 15_000;

/** The major version that made the data of the folder; undefined: there are none yet. */
export function keptVersion(folder: string): number | undefined {
  const file = join(folder, 'data', 'PG_VERSION');
  return existsSync(file) ? majorOf(readFileSync(file, 'utf8')) : undefined;
}

/** Rejects with HF_SERVER_MISSING, and why, when it does not start. */
export async function startKeptPostgres({ folder, database, binaries }: KeptPostgresOptions): Promise<KeptPostgres> {
  const runAs = unprivilegedUser();
  const place = { data: join(folder, 'data'), logFile: join(folder, 'log'), passwordFile: join(folder, 'password') };
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    if (runAs.uid !== undefined) chownSync(folder, runAs.uid, runAs.gid);
    if (!existsSync(place.data)) makeData(folder, binaries, runAs);
    await endOrphan(place.data);
    if (existsSync(place.logFile) && statSync(place.logFile).size > LARGEST_LOG) rmSync(place.logFile);
    const { server, port } = await launchOn(folder, { ...place, binDir: binaries.binDir, runAs });
    const password = readFileSync(place.passwordFile, 'utf8').trim();
    try {
      await makeDatabase(urlOf(port, password, 'postgres'), database);
    } catch (error) {
      await server.end('SIGINT');
      throw error;
    }
    return {
      url: urlOf(port, password, database),
      port,
      gone: server.gone,
      stop: () => server.end('SIGINT'),
    };
  } catch (error) {
    const what = error instanceof Error ? error.message : String(error);
    throw new HoldfastError('HF_SERVER_MISSING', `PostgreSQL ${binaries.version} in ${folder} did not start: ${what}`, {
      cause: error,
      advice: /No space left|ENOSPC/.test(what)
        ? 'The disk is full. Make room; what is committed is safe.'
        : `Its log is ${place.logFile}. Remove ${folder} to begin with an empty database, or say in DATABASE_URL which one to use.`,
    });
  }
}

/** Under another name until it is whole: what dies in between leaves nothing that looks like a database. */
function makeData(folder: string, { binDir }: PostgresBinaries, runAs: RunAs): void {
  const half = join(folder, 'half-made');
  rmSync(half, { recursive: true, force: true });
  const password = randomBytes(12).toString('hex');
  makeDataFolder({ binDir, data: half, runAs, password, passwordFile: join(folder, 'password'), sync: true });
  renameSync(half, join(folder, 'data'));
}

interface LaunchPlace {
  readonly data: string;
  readonly logFile: string;
  readonly binDir: string;
  readonly runAs: RunAs;
}

/** On the port of before, or on another one when somebody else has that. */
async function launchOn(
  folder: string,
  { data, logFile, binDir, runAs }: LaunchPlace,
): Promise<{ readonly server: ServerProcess; readonly port: number }> {
  const file = join(folder, 'port');
  const before = existsSync(file) ? Number.parseInt(readFileSync(file, 'utf8'), 10) : Number.NaN;
  let port = before > 0 && (await isPortFree(before)) ? before : await freePort();
  for (let attempt = 1; ; attempt += 1) {
    const server = launchPostgres({ binDir, data, folder, port, settings: SETTINGS, runAs, logFile });
    try {
      // Each attempt needs to know how the one before it ended.
      // oxlint-disable-next-line no-await-in-loop
      await postgresIsReady(server, data, logFile);
      writeFileSync(file, `${port}\n`);
      return { server, port };
    } catch (error) {
      // oxlint-disable-next-line no-await-in-loop
      await server.end('SIGQUIT');
      if (attempt >= 5 || !isPortTaken(error)) throw error;
      // oxlint-disable-next-line no-await-in-loop
      port = await freePort();
    }
  }
}

async function makeDatabase(adminUrl: string, database: string): Promise<void> {
  await withClient(adminUrl, async (client) => {
    const { rowCount } = await client.query('SELECT FROM pg_database WHERE datname = $1', [database]);
    if (rowCount === 0) await client.query(`CREATE DATABASE "${database.replaceAll('"', '""')}"`);
  });
}

/** A server that was left behind, because whoever was to end it was killed as well, is ended; a pid file of another program's is removed. */
async function endOrphan(data: string): Promise<void> {
  const file = join(data, 'postmaster.pid');
  if (!existsSync(file)) return;
  const pid = Number.parseInt(readFileSync(file, 'utf8'), 10);
  if (!(pid > 0) || !isAlive(pid)) return;
  if (!commandOf(pid).includes(data)) return rmSync(file);
  process.kill(pid, 'SIGINT');
  await untilReady(() => !isAlive(pid), { timeoutMs: ORPHAN_MS, what: `The end of the server left behind (${pid})` });
}

function commandOf(pid: number): string {
  if (process.platform !== 'linux') return output('ps', ['-o', 'command=', '-p', String(pid)]) ?? '';
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
  } catch {
    return '';
  }
}
