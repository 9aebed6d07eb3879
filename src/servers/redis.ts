/**
 * Starts a private Redis (or Valkey) for tests, the demo and the bench: own port, 127.0.0.1 only, nothing on disk,
 * gone at exit. A restart finds it empty, as after the loss of its memory.
 *
 * Where it comes from, in this order: redis-server or valkey-server on the machine; apt, as root on Debian; docker.
 * HOLDFAST_TEST_REDIS=system|apt|docker allows one of them only.
 * A server that is there already is used by findOrStartRedis when HOLDFAST_TEST_REDIS_URL names it.
 */
import { connect } from 'node:net';
import { join } from 'node:path';
import { HoldfastError } from '../errors.ts';
import { aptIsOurs, unpackByApt, systemBinary } from './debian-packages.ts';
import { dockerAnswers, startContainer } from './docker.ts';
import { freePort, temporaryFolder, unprivilegedUser, untilReady } from './machine.ts';
import { launch, tailOf, type ServerProcess } from './server-process.ts';

/** Options of {@link startRedis}. */
export interface RedisOptions {
  /** More command line arguments, for example ['--maxmemory', '8mb']. */
  readonly args?: readonly string[] | undefined;
}

/** A private Redis server. Made by {@link startRedis}. */
export interface RedisServer {
  readonly url: string;
  readonly port: number;
  /** Ends it in order (SIGTERM). */
  stop(): Promise<void>;
  /** Ends it at once (SIGKILL). */
  kill(): Promise<void>;
  /** Starts it again on the same port, empty. */
  start(): Promise<void>;
  dispose(): Promise<void>;
}

const IMAGE = 'valkey/valkey:8-alpine';
const INSTALL =
  'Install Redis or Valkey (Debian: apt-get install redis-server, macOS: brew install redis), or set HOLDFAST_TEST_REDIS_URL.';
/** Memory only; a full queue must refuse writes instead of dropping jobs, as BullMQ demands. */
const BASE_ARGS = ['--save', '', '--appendonly', 'no', '--maxmemory-policy', 'noeviction'];

/** The server of HOLDFAST_TEST_REDIS_URL, which is never stopped, or else a private one. HF_SERVER_MISSING. */
export async function findOrStartRedis(options: RedisOptions = {}): Promise<RedisServer> {
  const given = process.env['HOLDFAST_TEST_REDIS_URL'];
  return given === undefined || given === '' ? startRedis(options) : givenServer(given);
}

/**
 * A private server, whatever the environment gives. HF_SERVER_MISSING when none can be found or started.
 *
 * @example
 * const server = await startRedis();
 * const transport = createBullmqTransport({ connection: server.url });
 * await transport.close();
 * await server.dispose();
 */
export async function startRedis(options: RedisOptions = {}): Promise<RedisServer> {
  const only = process.env['HOLDFAST_TEST_REDIS'];
  const args = [...BASE_ARGS, ...(options.args ?? [])];
  const binary = findRedisBinary(only);
  if (binary !== undefined) return startFromBinary(binary, args);
  if ((only === undefined || only === 'docker') && dockerAnswers()) return startFromImage(args);
  throw new HoldfastError('HF_SERVER_MISSING', 'Redis is needed and none was found.', { advice: INSTALL });
}

const systemRedis = (): string | undefined => systemBinary(['redis-server', 'valkey-server']);

/** The path of a server binary, installed where that is ours to do; undefined where docker has to serve. */
export function findRedisBinary(only = process.env['HOLDFAST_TEST_REDIS']): string | undefined {
  const system = only === undefined || only === 'system' ? systemRedis() : undefined;
  if (system !== undefined || !(only === undefined || only === 'apt') || !aptIsOurs()) return system;
  try {
    unpackByApt(['redis-server']);
    return systemRedis();
  } catch (error) {
    if (only === undefined && dockerAnswers()) return undefined;
    throw new HoldfastError('HF_SERVER_MISSING', 'Redis is needed and apt-get could not install it.', {
      cause: error,
      advice: INSTALL,
    });
  }
}

interface Driver {
  up(): Promise<void>;
  down(signal: 'SIGTERM' | 'SIGKILL'): Promise<void>;
  remove(): void;
}

async function startFromBinary(binary: string, args: readonly string[]): Promise<RedisServer> {
  const runAs = unprivilegedUser();
  const folder = temporaryFolder('holdfast-redis', runAs);
  const logFile = join(folder.path, 'log');
  let port = await freePort();
  let server: ServerProcess | undefined;
  const up = async (): Promise<void> => {
    const own = ['--port', String(port), '--bind', '127.0.0.1', '--dir', folder.path, '--daemonize', 'no'];
    const started = launch({ command: binary, args: [...own, ...args], runAs, logFile, orphanSignal: 'SIGKILL' });
    server = started;
    const giveUp = (): Error | undefined =>
      started.exit() === undefined ? undefined : new Error(`${started.exit()}\n${tailOf(logFile)}`);
    await untilReady(() => answers(port), { timeoutMs: 30_000, giveUp, what: 'Redis' });
    // A server of somebody else's may have answered on our port while ours was failing to take it.
    const ready = new RegExp(`^${started.pid}:[MS] .*Ready to accept connections`, 'm');
    await untilReady(() => ready.test(tailOf(logFile, 40)), { timeoutMs: 30_000, giveUp, what: 'Redis' });
  };
  for (let attempt = 1; ; attempt++) {
    try {
      await up();
      break;
    } catch (error) {
      await server?.end('SIGKILL');
      if (
        attempt < 5 &&
        /Address already in use|Could not create server TCP|Failed listening on port/.test(String(error))
      ) {
        port = await freePort();
        continue;
      }
      folder.remove();
      throw new HoldfastError('HF_SERVER_MISSING', `Redis did not start: ${(error as Error).message}`, {
        cause: error,
        advice: INSTALL,
      });
    }
  }
  return finish({ up, down: async (signal) => server?.end(signal), remove: () => folder.remove() }, port);
}

async function startFromImage(args: readonly string[]): Promise<RedisServer> {
  const port = await freePort();
  const container = startContainer({ image: IMAGE, port, containerPort: 6379, args: ['valkey-server', ...args] });
  const giveUp = (): Error | undefined =>
    container.running() ? undefined : new Error(`The container ended.\n${container.log()}`);
  const up = (): Promise<void> =>
    untilReady(() => answers(port), { timeoutMs: 60_000, giveUp, what: 'Redis in docker' });
  try {
    await up();
  } catch (error) {
    container.remove();
    throw new HoldfastError('HF_SERVER_MISSING', 'Redis did not start in docker.', { cause: error, advice: INSTALL });
  }
  const driver: Driver = {
    async up() {
      container.start();
      await up();
    },
    async down(signal) {
      container.signal(signal);
    },
    remove: () => container.remove(),
  };
  return finish(driver, port);
}

function finish(driver: Driver, port: number): RedisServer {
  let running = true;
  let disposed = false;
  const end = async (signal: 'SIGTERM' | 'SIGKILL'): Promise<void> => {
    if (!running) return;
    running = false;
    await driver.down(signal);
  };
  return {
    url: `redis://127.0.0.1:${port}`,
    port,
    stop: () => end('SIGTERM'),
    kill: () => end('SIGKILL'),
    async start() {
      if (running || disposed) return;
      await driver.up();
      running = true;
    },
    async dispose() {
      if (disposed) return;
      disposed = true;
      await end('SIGKILL');
      driver.remove();
    },
  };
}

async function givenServer(url: string): Promise<RedisServer> {
  const { hostname, port: portText } = new URL(url);
  const port = Number(portText || 6379);
  if (!(await answers(port, hostname))) {
    throw new HoldfastError('HF_SERVER_MISSING', 'The server of HOLDFAST_TEST_REDIS_URL does not answer.', {
      advice: 'Start it, or unset the variable.',
    });
  }
  const refuse = async (): Promise<never> => {
    throw new HoldfastError('HF_SERVER_MISSING', 'The server of HOLDFAST_TEST_REDIS_URL is not ours to stop.', {
      advice: 'Use startRedis for a private one.',
    });
  };
  return { url, port, stop: refuse, kill: refuse, start: refuse, dispose: async () => {} };
}

/** Anything but silence to PING counts, "NOAUTH" included: the url carries the password, this look does not. */
function answers(port: number, host = '127.0.0.1'): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host, timeout: 1000 });
    const say = (answer: boolean): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.once('connect', () => socket.write('PING\r\n'));
    socket.once('data', (data) => say(/^(\+PONG|-NOAUTH)/.test(data.toString())));
    socket.once('error', () => say(false));
    socket.once('timeout', () => say(false));
    socket.once('close', () => say(false));
  });
}
