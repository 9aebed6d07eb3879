/**
 * Starts a private RabbitMQ for tests and the demo, as one node or as a cluster: own ports, own epmd, 127.0.0.1 only, in a temporary folder,
 * gone at exit. Found on the machine; else, as root on Debian and its kin, installed by apt.
 */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { randomBytes } from 'node:crypto';
import { HoldfastError } from '../errors.ts';
import { freePort, output, runCommand, type RunAs, temporaryFolder, unprivilegedUser, untilReady } from './machine.ts';
import { rabbitmqPrograms, type RabbitmqPrograms } from './rabbitmq-programs.ts';
import { launch, tailOf, type ServerProcess } from './server-process.ts';

/** Options of {@link startRabbitmq}. */
export interface RabbitmqOptions {
  /** Default 1. */
  readonly nodes?: number | undefined;
  /** More lines of rabbitmq.conf, for every node. */
  readonly config?: readonly string[] | undefined;
  /** What the first start imports: users, virtual hosts, permissions, policies, as in RabbitMQ's definitions files. */
  readonly definitions?: object | undefined;
}

/** One node. Made by {@link startRabbitmq}. */
export interface RabbitmqNode {
  /** As user guest, who may do everything. */
  readonly url: string;
  readonly port: number;
  /** Ends it in order (SIGTERM). */
  stop(): Promise<void>;
  /** Ends it at once (SIGKILL). */
  kill(): Promise<void>;
  /** Holds it up (SIGSTOP), or lets it go on: it is there, and says nothing. */
  hold(how: 'SIGSTOP' | 'SIGCONT'): void;
  /** Starts it again on the same port, with what it had on disk, or without. */
  start(how?: { readonly empty: boolean }): Promise<void>;
}

/** A private RabbitMQ. Made by {@link startRabbitmq}. */
export interface RabbitmqServer {
  /** Of the first node. */
  readonly url: string;
  readonly nodes: readonly RabbitmqNode[];
  /** Runs rabbitmqctl on a node, the first by default, and gives what it says. Takes about a second. */
  ctl(args: readonly string[], node?: number): string;
  dispose(): Promise<void>;
}

interface Cluster {
  readonly programs: RabbitmqPrograms;
  readonly runAs: RunAs;
  /** Home of all nodes: they share its cookie. */
  readonly home: string;
  readonly epmdPort: number;
  readonly options: RabbitmqOptions;
  readonly names: readonly string[];
}

const START_MS = 120_000;

/**
 * A private server. HF_SERVER_MISSING when none can be found or started.
 *
 * @example
 * const server = await startRabbitmq();
 * const transport = createRabbitmqTransport({ connection: server.url });
 * await transport.close();
 * await server.dispose();
 */
export async function startRabbitmq(options: RabbitmqOptions = {}): Promise<RabbitmqServer> {
  const programs = rabbitmqPrograms();
  const runAs = unprivilegedUser();
  const folder = temporaryFolder('holdfast-rabbitmq', runAs);
  const epmdPort = await freePort();
  const names = Array.from({ length: options.nodes ?? 1 }, (_, index) => `node${index + 1}@localhost`);
  const cluster: Cluster = { programs, runAs, home: folder.path, epmdPort, options, names };
  writeShared(cluster);
  const epmd = launch({
    command: programs.epmd,
    args: ['-port', String(epmdPort), '-address', '127.0.0.1'],
    runAs,
    logFile: join(folder.path, 'epmd.log'),
    orphanSignal: 'SIGKILL',
  });
  const nodes: NodeProcess[] = [];
  const end = async (): Promise<void> => {
    await Promise.all(nodes.map((node) => node.kill()));
    await epmd.end('SIGKILL');
    folder.remove();
  };
  try {
    await untilReady(() => answers(epmdPort, ''), { timeoutMs: START_MS, what: 'epmd' });
    for (const name of names) nodes.push(new NodeProcess(cluster, name, await freePort(), await freePort()));
    await Promise.all(nodes.map((node) => node.start({ empty: true })));
    await untilReady(() => nodes.length === 1 || isWhole(cluster), { timeoutMs: START_MS, what: 'the cluster' });
  } catch (error) {
    await end();
    throw new HoldfastError('HF_SERVER_MISSING', `RabbitMQ did not start: ${(error as Error).message}`, {
      cause: error,
      advice: 'Install RabbitMQ and Erlang (Debian: apt-get install rabbitmq-server).',
    });
  }
  let disposed: Promise<void> | undefined;
  return {
    url: nodes[0]?.url ?? '',
    nodes,
    ctl: (args, node = 0) => control(cluster, names[node] ?? '', args),
    dispose: () => (disposed ??= end()),
  };
}

class NodeProcess implements RabbitmqNode {
  readonly #cluster: Cluster;
  readonly #name: string;
  readonly #distPort: number;
  readonly port: number;
  #server: ServerProcess | undefined;

  constructor(cluster: Cluster, name: string, port: number, distPort: number) {
    this.#cluster = cluster;
    this.#name = name;
    this.port = port;
    this.#distPort = distPort;
  }

  get url(): string {
    return `amqp://guest:guest@127.0.0.1:${this.port}`;
  }

  stop(): Promise<void> {
    return this.#end('SIGTERM');
  }

  kill(): Promise<void> {
    return this.#end('SIGKILL');
  }

  hold(how: 'SIGSTOP' | 'SIGCONT'): void {
    if (this.#server !== undefined) process.kill(this.#server.pid, how);
  }

  async start({ empty }: { readonly empty: boolean } = { empty: false }): Promise<void> {
    if (this.#server !== undefined) return;
    const { home, programs, runAs } = this.#cluster;
    const base = this.#base;
    if (empty) rmSync(join(home, base), { recursive: true, force: true });
    const logFile = join(home, `${base}.log`);
    const server = launch({
      command: '/usr/bin/env',
      args: [...this.#environment(), programs.server],
      runAs,
      logFile,
      orphanSignal: 'SIGKILL',
    });
    this.#server = server;
    const giveUp = (): Error | undefined =>
      server.exit() === undefined ? undefined : new Error(`${server.exit()}\n${tailOf(logFile, 20)}`);
    await untilReady(() => answers(this.port, 'AMQP\0\0\u0009\u0001'), {
      timeoutMs: START_MS,
      giveUp,
      what: this.#name,
    });
  }

  get #base(): string {
    return this.#name.split('@')[0] ?? this.#name;
  }

  #environment(): readonly string[] {
    const { home, epmdPort } = this.#cluster;
    const base = this.#base;
    return [
      ...baseEnvironment(home, epmdPort),
      `RABBITMQ_NODENAME=${this.#name}`,
      'RABBITMQ_NODE_IP_ADDRESS=127.0.0.1',
      `RABBITMQ_NODE_PORT=${this.port}`,
      `RABBITMQ_DIST_PORT=${this.#distPort}`,
      `RABBITMQ_MNESIA_BASE=${join(home, base)}`,
      `RABBITMQ_LOG_BASE=${home}`,
      'RABBITMQ_LOGS=-',
      `RABBITMQ_PID_FILE=${join(home, `${base}.pid`)}`,
      `RABBITMQ_ENABLED_PLUGINS_FILE=${join(home, 'plugins')}`,
      `RABBITMQ_CONFIG_FILE=${join(home, 'rabbitmq.conf')}`,
      `RABBITMQ_ADVANCED_CONFIG_FILE=${join(home, 'none.config')}`,
      `RABBITMQ_GENERATED_CONFIG_DIR=${join(home, `${base}-config`)}`,
      // Its schedulers would otherwise wait busily for work.
      'RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=+S 1:1 +SDcpu 1:1 +sbwt none +sbwtdcpu none +sbwtdio none -kernel inet_dist_use_interface {127,0,0,1}',
      // The script then becomes the server, instead of a shell that waits for it.
      'NOTIFY_SOCKET=/dev/null',
    ];
  }

  async #end(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    if (server === undefined) return;
    // What is held up hears no SIGTERM.
    if (server.exit() === undefined) process.kill(server.pid, 'SIGCONT');
    await server.end(signal);
  }
}

function baseEnvironment(home: string, epmdPort: number): readonly string[] {
  return [
    `HOME=${home}`,
    `ERL_EPMD_PORT=${epmdPort}`,
    'ERL_EPMD_ADDRESS=127.0.0.1',
    'RABBITMQ_CONF_ENV_FILE=/dev/null',
    'LC_ALL=C.UTF-8',
  ];
}

/** What all nodes read. */
function writeShared({ home, runAs, options, names }: Cluster): void {
  const own = (name: string, text: string, mode = 0o644): void => {
    writeFileSync(join(home, name), text, { mode });
    if (runAs.uid !== undefined) output('chown', [`${runAs.uid}:${runAs.gid}`, join(home, name)]);
  };
  own('.erlang.cookie', randomBytes(16).toString('hex'), 0o400);
  own('plugins', '[].\n');
  const config = [
    'loopback_users = none',
    'log.console = true',
    'log.console.level = warning',
    // A member that comes back is soon taken for one.
    'net_ticktime = 5',
    ...(options.config ?? []),
  ];
  if (names.length > 1)
    config.push(
      'cluster_formation.peer_discovery_backend = classic_config',
      ...names.map((name, index) => `cluster_formation.classic_config.nodes.${index + 1} = ${name}`),
      'cluster_partition_handling = pause_minority',
    );
  if (options.definitions !== undefined) {
    own('definitions.json', JSON.stringify(options.definitions));
    config.push(`load_definitions = ${join(home, 'definitions.json')}`);
  }
  own('rabbitmq.conf', `${config.join('\n')}\n`);
  mkdirSync(join(home, 'log'), { recursive: true });
}

function control({ programs, runAs, home, epmdPort }: Cluster, node: string, args: readonly string[]): string {
  const environment = baseEnvironment(home, epmdPort);
  return runCommand('/usr/bin/env', [...environment, programs.ctl, '-q', '-n', node, ...args], { runAs });
}

function isWhole(cluster: Cluster): boolean {
  const said = control(cluster, cluster.names[0] ?? '', ['cluster_status', '--formatter', 'json']);
  const { running_nodes: running } = JSON.parse(said) as { readonly running_nodes: readonly string[] };
  return running.length === cluster.names.length;
}

/** Whether somebody listens on the port, and, where a greeting is given, says something to it. */
function answers(port: number, greeting: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1', timeout: 1000 });
    const say = (answer: boolean): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.once('connect', () => (greeting === '' ? say(true) : socket.write(greeting, 'latin1')));
    socket.once('data', () => say(true));
    socket.once('error', () => say(false));
    socket.once('timeout', () => say(false));
    socket.once('close', () => say(false));
  });
}
