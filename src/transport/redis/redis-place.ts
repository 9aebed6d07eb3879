/**
 * Where Redis is: what `connection` may be, read into one form. A client that is given is taken as a description of its server: its own
 * connection serves others, and waits and retries as they need it. Pure, and loads no client.
 */
import type { Cluster, NatMap, Redis, RedisOptions } from 'ioredis';
import { HoldfastError } from '../../errors.ts';
import { refuseUnknownOptions } from '../../runtime/options.ts';
import { type HostAndPort, readHost, readRedisUrl } from './redis-url.ts';

/** A Redis Cluster. The nodes that are not named are asked of those that are. */
export interface RedisClusterConnection {
  /** Some of its nodes, as `host:port` or as host and port; two or three, so that one of them may be away. */
  readonly cluster: readonly (string | { readonly host: string; readonly port?: number | undefined })[];
  /** Options of ioredis for the connections to all nodes, such as `username`, `password`, `tls`. */
  readonly options?: RedisOptions | undefined;
  /** Where nodes are reached that tell addresses of a network of their own, by `host:port` as they tell it. */
  readonly natMap?: NatMap | undefined;
}

/**
 * Where Redis is:
 * - a URL. One server: `redis://user:password@host:6379/0`; a cluster: `redis+cluster://user:password@host:7000,host:7001`; a primary
 *   that Sentinel watches: `redis+sentinel://user:password@host:26379,host:26379/NAME/0` (`?sentinelUsername=…&sentinelPassword=…` where
 *   the sentinels ask for one). With TLS they begin with `rediss`;
 * - options of ioredis: of one server, or with `sentinels` and `name`;
 * - a description of a cluster;
 * - a Redis or a Cluster of ioredis, whose addresses and options are taken. It is not used itself, and never closed.
 */
export type RedisConnection = string | RedisOptions | RedisClusterConnection | Redis | Cluster;

interface CommonPlace {
  readonly tls: boolean;
  /** As it was given, without secrets: names of hosts are not looked up. Undefined where nothing tells it. */
  readonly address: string | undefined;
}

/** One server, or the primary that Sentinel tells. */
export interface SinglePlace extends CommonPlace {
  readonly kind: 'single';
  /** Goes before the options; they have what it does not say. */
  readonly url: string | undefined;
  readonly options: RedisOptions;
  readonly sentinel: boolean;
}

export interface ClusterPlace extends CommonPlace {
  readonly kind: 'cluster';
  readonly nodes: readonly HostAndPort[];
  /** Of the connection to each node. */
  readonly options: RedisOptions;
  readonly natMap: NatMap | undefined;
}

export type RedisPlace = SinglePlace | ClusterPlace;

/** @throws HoldfastError HF_CONFIG, HF_OPTION_UNKNOWN */
export function resolveRedisPlace(connection: RedisConnection, where: string): RedisPlace {
  if (typeof connection === 'string') return placeOfUrl(connection, where);
  if (isCluster(connection)) {
    const { redisOptions, natMap, useSRVRecords, keyPrefix } = connection.options;
    if (useSRVRecords === true)
      throw new HoldfastError('HF_CONFIG', `${where}: a Cluster with useSRVRecords cannot be taken over.`, {
        advice: 'Give host and port of some nodes: { cluster: [...] }.',
      });
    refuseKeyPrefix({ keyPrefix }, where);
    return clusterPlace({ cluster: startupNodes(connection), options: redisOptions, natMap }, where);
  }
  if (isClient(connection)) return singlePlace(connection.options, where);
  if ('cluster' in connection) {
    refuseUnknownOptions(connection, ['cluster', 'options', 'natMap'], `${where}: connection`);
    return clusterPlace(connection, where);
  }
  return singlePlace(connection, where);
}

function placeOfUrl(url: string, where: string): RedisPlace {
  const read = readRedisUrl(url);
  // As before: ioredis takes paths and names without a scheme as well.
  if (read === null) return { kind: 'single', url, options: {}, sentinel: false, tls: false, address: undefined };
  if (read.kind === 'wrong') throw new HoldfastError('HF_CONFIG', `${where}: ${read.what}`, { advice: read.advice });
  const { tls, username, password } = read;
  const options: RedisOptions = {
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    ...(tls ? { tls: {} } : {}),
  };
  if (read.kind === 'cluster') return clusterPlace({ cluster: read.hosts, options }, where);
  if (read.kind === 'single') {
    const [{ host, port } = { host: 'localhost', port: 6379 }] = read.hosts;
    return { kind: 'single', url, options: {}, sentinel: false, tls, address: `${host}:${port}/${read.db}` };
  }
  return singlePlace(
    {
      ...options,
      sentinels: read.hosts.map(({ host, port }) => ({ host, port })),
      name: read.name,
      db: read.db,
      ...(read.sentinelUsername === undefined ? {} : { sentinelUsername: read.sentinelUsername }),
      ...(read.sentinelPassword === undefined ? {} : { sentinelPassword: read.sentinelPassword }),
      ...(tls ? { enableTLSForSentinelMode: true, sentinelTLS: {} } : {}),
    },
    where,
  );
}

function singlePlace(options: RedisOptions, where: string): SinglePlace {
  refuseKeyPrefix(options, where);
  const { host = 'localhost', port = 6379, db = 0, path, name, tls } = options;
  const sentinel = (options.sentinels ?? undefined) !== undefined;
  return {
    kind: 'single',
    url: undefined,
    options,
    sentinel,
    tls: (tls ?? undefined) !== undefined,
    // Behind Sentinel it is known by its name.
    address: path ?? (sentinel ? `sentinel ${name ?? '?'}` : `${host}:${port}/${Number.isInteger(db) ? db : 0}`),
  };
}

function clusterPlace({ cluster, options = {}, natMap }: RedisClusterConnection, where: string): ClusterPlace {
  const given: unknown = cluster;
  if (!Array.isArray(given) || given.length === 0)
    throw new HoldfastError('HF_CONFIG', `${where}: connection.cluster names no node.`, {
      advice: "Give some nodes of the cluster: { cluster: ['10.0.0.1:6379', '10.0.0.2:6379'] }.",
    });
  const nodes = cluster.map((node): HostAndPort => {
    const read = typeof node === 'string' ? readHost(node, 6379) : { host: node.host, port: node.port ?? 6379 };
    if (read !== null && typeof read.host === 'string' && read.host !== '' && isPort(read.port)) return read;
    throw new HoldfastError('HF_CONFIG', `${where}: connection.cluster has a node that cannot be read.`, {
      advice: "Write 'host:port', or { host, port }. What all nodes have alike goes into options.",
    });
  });
  refuseKeyPrefix(options, where);
  if ((options.db ?? 0) !== 0 || (options.sentinels ?? undefined) !== undefined || (options.path ?? '') !== '')
    throw new HoldfastError('HF_CONFIG', `${where}: a cluster has neither db nor sentinels nor path.`, {
      advice: 'Leave them out: a Redis Cluster has the database 0 alone.',
    });
  // Two processes may name different nodes of one cluster.
  return {
    kind: 'cluster',
    nodes,
    options,
    natMap,
    tls: (options.tls ?? undefined) !== undefined,
    address: 'cluster',
  };
}

function refuseKeyPrefix({ keyPrefix }: Pick<RedisOptions, 'keyPrefix'>, where: string): void {
  if ((keyPrefix ?? '') === '') return;
  throw new HoldfastError(
    'HF_CONFIG',
    `${where}: connection.keyPrefix does not work: the keys of a queue would be taken apart.`,
    {
      advice: 'Use the option prefix.',
    },
  );
}

function isPort(port: number): boolean {
  return Number.isInteger(port) && port > 0 && port < 65_536;
}

function isClient(connection: object): connection is Redis | Cluster {
  return 'duplicate' in connection && typeof connection.duplicate === 'function';
}

function isCluster(connection: object): connection is Cluster {
  return isClient(connection) && connection.isCluster;
}

/** What a Cluster was made from; ioredis does not show it in its types. */
function startupNodes(cluster: Cluster): readonly (string | HostAndPort)[] {
  const given = Reflect.get(cluster, 'startupNodes') as readonly (string | number | Partial<HostAndPort>)[];
  return given.map((node) => {
    if (typeof node === 'number') return { host: '127.0.0.1', port: node };
    if (typeof node !== 'string') return { host: node.host ?? '127.0.0.1', port: node.port ?? 6379 };
    const read = readRedisUrl(node);
    return read !== null && read.kind === 'single' ? (read.hosts[0] ?? node) : node;
  });
}
