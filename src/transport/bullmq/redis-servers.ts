/**
 * The servers of a place and a client for each: one, or the masters of a cluster. For those who publish to many queues or look at them:
 * commands are neither queued nor sent again, and a connection that breaks fails what waits on it.
 */
import { createRedisBackend, type IQueueBackend } from 'bullmq';
import type { Redis } from 'ioredis';
import { slotOf } from './cluster-slots.ts';
import { ClusterTopology, nodeOptions } from './cluster-topology.ts';
import { untilRedisReady } from '../redis/redis-client.ts';
import { end } from '../redis/redis-end.ts';
import { DIRECT_COMMANDS, openClient } from '../redis/redis-open.ts';
import type { ClusterPlace, RedisPlace, SinglePlace } from '../redis/redis-place.ts';
import { silenceGuard } from './redis-silence.ts';
import { type HostAndPort, writeHost } from '../redis/redis-url.ts';

export interface RedisServersOptions {
  readonly place: RedisPlace;
  readonly prefix: string;
  /** For a connection, in milliseconds. */
  readonly timeoutMs: number;
  readonly onError: (error: Error) => void;
  /** Awaited before a server is used for the first time. What it rejects with is told to whoever wants to use it. */
  readonly onServer?: (client: Redis) => Promise<void>;
}

/** One server and where it is known to be. */
interface Server {
  readonly name: string;
  open(): Redis;
}

/** Which server has what. */
interface Directory {
  serverOf(queue: string): Promise<Server>;
  /** All that have queues. */
  servers(): Promise<readonly Server[]>;
  suspect(): void;
  learn(error: Error): boolean;
}

interface Connection {
  readonly client: Redis;
  readonly cutSilent: () => void;
  backend: Promise<IQueueBackend> | undefined;
}

export class RedisServers {
  readonly #options: RedisServersOptions;
  readonly #directory: Directory;
  readonly #connections = new Map<string, Connection>();
  readonly #clients = new WeakMap<IQueueBackend, Redis>();
  #breaks = 0;

  constructor(options: RedisServersOptions) {
    this.#options = options;
    const { place, prefix, timeoutMs } = options;
    this.#directory = place.kind === 'single' ? oneServer(place, timeoutMs) : clusterServers(place, prefix, timeoutMs);
  }

  /** How many connections have broken so far. */
  get breaks(): number {
    return this.#breaks;
  }

  /** A backend of BullMQ on the server that has the queue. Rejects while there is none. */
  async backend(queue: string, signal: AbortSignal): Promise<IQueueBackend> {
    const server = await this.#directory.serverOf(queue);
    return this.#backendOn(server, signal);
  }

  /** The client that a backend was made on, by `backend`. */
  clientOf(backend: IQueueBackend): Redis | undefined {
    return this.#clients.get(backend);
  }

  /** Clients of all servers that have queues. Rejects when one of them cannot be reached. */
  async all(signal: AbortSignal): Promise<readonly Redis[]> {
    const servers = await this.#directory.servers();
    await Promise.all(servers.map((server) => this.#backendOn(server, signal)));
    return servers.map((server) => this.#connection(server).client);
  }

  /** Something failed: a queue may be elsewhere by now. */
  suspect(): void {
    this.#directory.suspect();
  }

  /** Whether a server has said that a queue is elsewhere, and where. */
  learn(error: Error): boolean {
    return this.#directory.learn(error);
  }

  /** Asks all servers there are connections to for a sign of life. Rejects when one of them gives none. */
  async ping(): Promise<void> {
    await Promise.all([...this.#connections.values()].map(({ client }) => client.ping()));
  }

  /** To be called now and then: gives up connections that do not answer. */
  cutSilent(): void {
    for (const { cutSilent } of this.#connections.values()) cutSilent();
  }

  /** Gives up all connections, so that what waits for an answer on one fails. */
  drop(): void {
    for (const { client } of this.#connections.values()) client.disconnect(true);
  }

  close(): void {
    this.#letGo(new Set());
  }

  async #backendOn(server: Server, signal: AbortSignal): Promise<IQueueBackend> {
    const { timeoutMs } = this.#options;
    const connection = this.#connection(server);
    const { client } = connection;
    if (client.status !== 'ready') await untilRedisReady(client, signal, timeoutMs);
    if (connection.backend === undefined) {
      const attempt = this.#makeBackend(client);
      connection.backend = attempt;
      attempt.catch(() => void (connection.backend = undefined));
    }
    return connection.backend;
  }

  /** On a ready client: BullMQ remembers the first failure of a connection for ever. */
  async #makeBackend(client: Redis): Promise<IQueueBackend> {
    const { prefix, timeoutMs, onError, onServer } = this.#options;
    if (onServer !== undefined) {
      // For a server that has taken the connection and says nothing.
      const silence = setTimeout(() => client.disconnect(true), timeoutMs);
      await onServer(client).finally(() => clearTimeout(silence));
    }
    const backend = createRedisBackend('holdfast', { connection: client, prefix, skipVersionCheck: true } as never);
    backend.on('error', onError);
    await backend.waitUntilReady();
    this.#clients.set(backend, client);
    return backend;
  }

  #connection(server: Server): Connection {
    const known = this.#connections.get(server.name);
    if (known !== undefined && known.client.status !== 'end') return known;
    const client = server.open();
    let wasReady = false;
    client.on('ready', () => void (wasReady = true));
    client.on('close', () => {
      if (wasReady) this.#breaks += 1;
      wasReady = false;
    });
    const connection: Connection = { client, cutSilent: silenceGuard(client), backend: undefined };
    this.#connections.set(server.name, connection);
    // A further one shows that the cluster has changed: those that have no queues any more are let go.
    if (this.#connections.size > 1)
      this.#directory.servers().then(
        (servers) => this.#letGo(new Set(servers.map(({ name }) => name))),
        () => {},
      );
    return connection;
  }

  /** Ends the connections to all servers but these. */
  #letGo(but: ReadonlySet<string>): void {
    for (const [name, { client }] of this.#connections) {
      if (but.has(name)) continue;
      this.#connections.delete(name);
      end(client);
    }
  }
}

function oneServer(place: SinglePlace, timeoutMs: number): Directory {
  const server: Server = { name: 'one', open: () => openClient(place, timeoutMs, DIRECT_COMMANDS) };
  return { serverOf: async () => server, servers: async () => [server], suspect: () => {}, learn: () => false };
}

function clusterServers(place: ClusterPlace, prefix: string, timeoutMs: number): Directory {
  const topology = new ClusterTopology(place, timeoutMs);
  const serverAt = (node: HostAndPort): Server => ({
    name: writeHost(node),
    open: () => openClient({ url: undefined, options: nodeOptions(place, node) }, timeoutMs, DIRECT_COMMANDS),
  });
  return {
    serverOf: async (queue) => serverAt(await topology.masterOf(slotOf(`${prefix}:${queue}:`))),
    servers: async () => (await topology.masters()).map(serverAt),
    suspect: () => topology.suspect(),
    learn: (error) => topology.learn(error),
  };
}

/** Each server that has queues: what it is called in what people read, and how it is connected to. Rejects when none can be asked. */
export async function serversOf(
  place: RedisPlace,
  timeoutMs: number,
): Promise<readonly { readonly name: string | undefined; readonly place: Pick<SinglePlace, 'url' | 'options'> }[]> {
  if (place.kind === 'single') return [{ name: undefined, place }];
  const nodes = await new ClusterTopology(place, timeoutMs).masters();
  return nodes.map((node) => ({
    name: writeHost(node),
    place: { url: undefined, options: nodeOptions(place, node) },
  }));
}

/** What servers say of their clients. Null where they may not be asked. */
export async function clientListsOf(clients: readonly Redis[]): Promise<readonly string[] | null> {
  try {
    return await Promise.all(clients.map(async (client) => String(await client.client('LIST'))));
  } catch {
    // Some services and roles forbid it.
    return null;
  }
}
