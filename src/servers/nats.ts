/**
 * Starts private NATS servers with JetStream for tests, the demo and the bench: one, or a cluster of them; own ports, 127.0.0.1 only, gone at
 * exit. What they hold is in temporary folders: a server that was stopped or killed has it again when it is started.
 *
 * Where the binary comes from, in this order: nats-server 2.10 or later on the machine; apt, as root on Debian, from Debian 13 where the
 * machine's is older; nats-server 2.9 on the machine.
 */
import { once } from 'node:events';
import { mkdirSync, rmSync, writeFileSync, chownSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { HoldfastError } from '../errors.ts';
import { timeLimit } from '../runtime/time-limit.ts';
import { aptIsOurs, isDebianBefore, systemBinary, unpackByApt } from './debian-packages.ts';
import { freePort, temporaryFolder, unprivilegedUser, untilReady } from './machine.ts';
import { launch, tailOf, type ServerProcess } from './server-process.ts';

/** Options of {@link startNats} and {@link startNatsCluster}. */
export interface NatsServerOptions {
  /** More lines for the configuration of each server, such as `max_payload: 65536`. */
  readonly config?: string | undefined;
  /** More lines for its block `jetstream`, such as `max_file_store: 1000000`. */
  readonly jetstream?: string | undefined;
}

/** A private NATS server. Made by {@link startNats}. */
export interface NatsServer {
  /** Without user and password. */
  readonly url: string;
  readonly port: number;
  /** As it is called in its cluster. */
  readonly name: string;
  /** The folder of its streams and consumers: for who puts back what was there before, while it is stopped. */
  readonly store: string;
  /** Ends it in order (SIGTERM). */
  stop(): Promise<void>;
  /** Ends it at once (SIGKILL). */
  kill(): Promise<void>;
  /** Holds it where it is (SIGSTOP), or lets it go on (SIGCONT). */
  signal(signal: 'SIGSTOP' | 'SIGCONT'): void;
  /** Starts it again on the same port, with what it holds. */
  start(): Promise<void>;
  /** Takes away what it holds, while it is stopped. */
  empty(): void;
  dispose(): Promise<void>;
}

const INSTALL =
  'Install nats-server 2.10 or later (Debian: apt-get install nats-server, macOS: brew install nats-server).';
const NAMES = ['nats-server'];
const HEALTHY_WITHIN_MS = 60_000;

/**
 * A private server. HF_SERVER_MISSING when none can be found or started.
 *
 * @example
 * const server = await startNats();
 * const transport = createNatsTransport({ connection: server.url });
 * await transport.close();
 * await server.dispose();
 */
export async function startNats(options: NatsServerOptions = {}): Promise<NatsServer> {
  const binary = findBinary();
  return startNode({ binary, name: 'nats', options, ports: await twoPorts(), cluster: '' });
}

/** Servers that keep the messages of streams with replicas between them. All of them are ready. */
export async function startNatsCluster(size: number, options: NatsServerOptions = {}): Promise<readonly NatsServer[]> {
  const binary = findBinary();
  const members = await Promise.all(
    Array.from({ length: size }, async (_, index) => ({
      name: `nats-${index + 1}`,
      ports: await twoPorts(),
      route: await freePort(),
    })),
  );
  const routes = members.map(({ route }) => `nats-route://127.0.0.1:${route}`).join(', ');
  return Promise.all(
    members.map(({ name, ports, route }) =>
      startNode({
        binary,
        name,
        options,
        ports,
        cluster: `cluster { name: holdfast, listen: "127.0.0.1:${route}", routes: [${routes}] }`,
      }),
    ),
  );
}

function findBinary(): string {
  const recent = (): string | undefined => systemBinary(NAMES, ['--version'], isRecent);
  const found = recent();
  if (found !== undefined) return found;
  let cause: unknown;
  if (aptIsOurs()) {
    try {
      unpackByApt(NAMES, isDebianBefore(13) ? 'trixie' : undefined);
    } catch (error) {
      cause = error;
    }
  }
  const binary = recent() ?? systemBinary(NAMES);
  if (binary !== undefined) return binary;
  throw new HoldfastError('HF_SERVER_MISSING', 'NATS is needed and none was found.', { cause, advice: INSTALL });
}

/** Whether a server of that version keeps, as a cluster, what it has acknowledged when servers die: 2.9 does not. */
function isRecent(version: string): boolean {
  const [major = 0, minor = 0] = /v(\d+)\.(\d+)/.exec(version)?.slice(1).map(Number) ?? [];
  return major > 2 || (major === 2 && minor >= 10);
}

interface Ports {
  readonly client: number;
  readonly monitor: number;
}

async function twoPorts(): Promise<Ports> {
  return { client: await freePort(), monitor: await freePort() };
}

interface NodeOptions {
  readonly binary: string;
  readonly name: string;
  readonly options: NatsServerOptions;
  readonly ports: Ports;
  /** The block `cluster` of its configuration, if it has one. */
  readonly cluster: string;
}

async function startNode({ binary, name, options, ports, cluster }: NodeOptions): Promise<NatsServer> {
  const runAs = unprivilegedUser();
  const folder = temporaryFolder('holdfast-nats', runAs);
  const store = join(folder.path, 'store');
  const logFile = join(folder.path, 'log');
  const configFile = join(folder.path, 'nats.conf');
  const makeStore = (): void => {
    mkdirSync(store, { recursive: true });
    if (runAs.uid !== undefined) chownSync(store, runAs.uid, runAs.gid);
  };
  const lines = [
    `listen: "127.0.0.1:${ports.client}"`,
    `http: "127.0.0.1:${ports.monitor}"`,
    `server_name: ${name}`,
    `jetstream { store_dir: "${store}"\n${options.jetstream ?? ''} }`,
    cluster,
    options.config ?? '',
  ];
  writeFileSync(configFile, lines.join('\n'));
  makeStore();
  let server: ServerProcess | undefined;
  const up = async (): Promise<void> => {
    const started = launch({ command: binary, args: ['-c', configFile], runAs, logFile, orphanSignal: 'SIGKILL' });
    server = started;
    const giveUp = (): Error | undefined =>
      started.exit() === undefined ? undefined : new Error(`${started.exit()}\n${tailOf(logFile)}`);
    let fault: string | undefined;
    const ready = async (): Promise<boolean> =>
      (fault = cluster === '' ? await faultOfOne(ports) : await saidBy(ports.monitor)) === undefined;
    await untilReady(ready, { timeoutMs: HEALTHY_WITHIN_MS, giveUp, what: 'NATS' }).catch((error: unknown) => {
      throw new Error(`${(error as Error).message} ${fault ?? ''}`.trim(), { cause: error });
    });
  };
  const down = async (signal: 'SIGTERM' | 'SIGKILL'): Promise<void> => {
    await server?.end(signal);
    server = undefined;
  };
  try {
    await up();
  } catch (error) {
    await down('SIGKILL');
    folder.remove();
    throw new HoldfastError('HF_SERVER_MISSING', `NATS did not start: ${(error as Error).message}`, {
      cause: error,
      advice: INSTALL,
    });
  }
  return {
    url: `nats://127.0.0.1:${ports.client}`,
    port: ports.client,
    name,
    store,
    stop: () => down('SIGTERM'),
    kill: () => down('SIGKILL'),
    signal: (signal) => void (server !== undefined && process.kill(server.pid, signal)),
    async start() {
      if (server === undefined) await up();
    },
    empty() {
      rmSync(store, { recursive: true, force: true });
      makeStore();
    },
    async dispose() {
      await down('SIGKILL');
      folder.remove();
    },
  };
}

/**
 * Undefined when it takes connections and JetStream is up, which then has all streams that it can have. Whether it has all for which there is a
 * folder is not asked: one that was killed while it made or removed a stream leaves half a folder, and says that it is unhealthy, though nothing
 * was in that stream, until somebody makes it anew. In a cluster the others know what became of it.
 */
async function faultOfOne(ports: Ports): Promise<string | undefined> {
  return (await saidBy(ports.monitor, '?js-enabled-only=true')) ?? (await refusalOf(ports.client));
}

/** Undefined when it is well: all of what is asked is there, and in a cluster it is not behind. Else what it says. */
async function saidBy(monitor: number, asked = ''): Promise<string | undefined> {
  try {
    const answer = await fetch(`http://127.0.0.1:${monitor}/healthz${asked}`, { signal: timeLimit(2_000) });
    const said = await answer.text();
    return answer.ok ? undefined : said;
  } catch (error) {
    return String(error);
  }
}

async function refusalOf(port: number): Promise<string | undefined> {
  const socket = connect({ port, host: '127.0.0.1' });
  try {
    await once(socket, 'connect', { signal: timeLimit(2_000) });
    return undefined;
  } catch (error) {
    return String(error);
  } finally {
    socket.destroy();
  }
}
