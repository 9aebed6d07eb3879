/**
 * Starts a private Redis Cluster: three masters, each with a replica, on ports of their own, nothing on disk but who belongs to whom. It
 * takes a replica of a master that is gone about two seconds to take its place. Needs a server binary: docker does not do.
 */
import { HoldfastError } from '../errors.ts';
import { untilReady } from './machine.ts';
import { redisCommand } from './redis-command.ts';
import { findRedisBinary, type RedisServer, startRedis } from './redis.ts';

const SLOTS = 16_384;
const MASTERS = 3;
/** Masters that are silent for so long are taken for dead. Longer than a busy machine is away. */
const NODE_TIMEOUT_MS = 2_000;
const READY_WITHIN_MS = 60_000;

/** Options of {@link startRedisCluster}. */
export interface RedisClusterOptions {
  /** Of each master. Default 1. */
  readonly replicas?: number | undefined;
  /** More command line arguments of each node. */
  readonly args?: readonly string[] | undefined;
}

/** A private cluster. Made by {@link startRedisCluster}. */
export interface RedisCluster {
  /** `redis+cluster://…` with all nodes. */
  readonly url: string;
  /** Masters first, as they were at the start. */
  readonly nodes: readonly RedisServer[];
  /** Resolves when every slot has a master, every master that runs its replicas, and all nodes agree. */
  untilWhole(): Promise<void>;
  dispose(): Promise<void>;
}

/** HF_SERVER_MISSING when there is no server to start. */
export async function startRedisCluster(options: RedisClusterOptions = {}): Promise<RedisCluster> {
  const { replicas = 1 } = options;
  if (findRedisBinary() === undefined)
    throw new HoldfastError('HF_SERVER_MISSING', 'A Redis Cluster needs redis-server on this machine.', {
      advice: 'Install Redis or Valkey (Debian: apt-get install redis-server, macOS: brew install redis).',
    });
  const args = ['--cluster-enabled', 'yes', '--cluster-node-timeout', String(NODE_TIMEOUT_MS)];
  // Otherwise a replica waits five seconds for others to be synchronized with it.
  const quick = ['--repl-diskless-sync-delay', '0', ...(options.args ?? [])];
  const nodes: RedisServer[] = [];
  const dispose = async (): Promise<void> => void (await Promise.all(nodes.map((node) => node.dispose())));
  try {
    const starting = Array.from({ length: MASTERS * (1 + replicas) }, () => startRedis({ args: [...args, ...quick] }));
    for (const started of await Promise.allSettled(starting)) {
      if (started.status === 'rejected') throw started.reason;
      nodes.push(started.value);
    }
    await join(nodes.map(({ port }) => port));
  } catch (error) {
    await dispose();
    throw error;
  }
  const ports = nodes.map(({ port }) => port);
  return {
    url: `redis+cluster://${ports.map((port) => `127.0.0.1:${port}`).join(',')}`,
    nodes,
    untilWhole: () => untilWhole(ports, ports.length),
    dispose,
  };
}

async function join(ports: readonly number[]): Promise<void> {
  const masters = ports.slice(0, MASTERS);
  const bounds = Array.from({ length: MASTERS + 1 }, (_, index) => Math.floor((index * SLOTS) / MASTERS));
  await Promise.all(
    masters.map(async (port, index) => {
      const [from = 0, to = SLOTS] = bounds.slice(index);
      const slots = Array.from({ length: to - from }, (_, offset) => String(from + offset));
      // Two nodes with one epoch would have to find out first which of them is right.
      await redisCommand(port, ['CLUSTER', 'SET-CONFIG-EPOCH', String(index + 1)]);
      await redisCommand(port, ['CLUSTER', 'ADDSLOTS', ...slots]);
    }),
  );
  const [first = 0, ...others] = ports;
  for (const port of others) await redisCommand(first, ['CLUSTER', 'MEET', '127.0.0.1', String(port)]);
  await untilReady(async () => (await states(ports)).every(({ known }) => known === ports.length), {
    timeoutMs: READY_WITHIN_MS,
    what: 'The Redis Cluster',
  });
  const ids = await Promise.all(masters.map((port) => redisCommand(port, ['CLUSTER', 'MYID'])));
  for (const [index, port] of ports.slice(MASTERS).entries())
    await redisCommand(port, ['CLUSTER', 'REPLICATE', ids[index % MASTERS] ?? '']);
  await untilWhole(ports, ports.length);
}

async function untilWhole(ports: readonly number[], size: number): Promise<void> {
  const replicas = size / MASTERS - 1;
  await untilReady(
    async () => {
      const all = await states(ports);
      const masters = all.filter(({ role }) => role === 'master');
      return (
        all.every(({ ok, known }) => ok && known === size) &&
        masters.length === MASTERS &&
        masters.every(({ online }) => online === replicas)
      );
    },
    { timeoutMs: READY_WITHIN_MS, what: 'The Redis Cluster' },
  );
}

interface NodeState {
  readonly ok: boolean;
  readonly known: number;
  readonly role: string | undefined;
  /** Replicas that are up to date. */
  readonly online: number;
}

function states(ports: readonly number[]): Promise<readonly NodeState[]> {
  return Promise.all(
    ports.map(async (port) => {
      try {
        const [cluster, replication] = await Promise.all([
          redisCommand(port, ['CLUSTER', 'INFO']),
          redisCommand(port, ['INFO', 'replication']),
        ]);
        return {
          ok: cluster.includes('cluster_state:ok'),
          known: Number(/cluster_known_nodes:(\d+)/.exec(cluster)?.[1]),
          role: /role:(\w+)/.exec(replication)?.[1],
          online: [...replication.matchAll(/state=online/g)].length,
        };
      } catch {
        return { ok: false, known: 0, role: undefined, online: 0 };
      }
    }),
  );
}
