/**
 * The connections of a receiver to a Redis Cluster. Each queue has one of its own, which goes where the queue goes.
 */
import type { Redis } from 'ioredis';
import { slotConnector } from './cluster-connector.ts';
import { slotOf } from './cluster-slots.ts';
import { ClusterTopology } from './cluster-topology.ts';
import type { QueueAccess } from './queue-access.ts';
import { isFromReplica, openClient } from '../redis/redis-open.ts';
import type { ClusterPlace } from '../redis/redis-place.ts';
import type { ConnectionsToServers, ReceivingSetup } from './redis-receiving-setup.ts';
import { clientListsOf, RedisServers } from './redis-servers.ts';
import { mendActive, serverTimeMs } from './redis-upkeep.ts';

/** For what ends by itself. */
const FOREVER = new AbortController().signal;

export function toCluster(
  place: ClusterPlace,
  { prefix, settings, clients, inspect }: ReceivingSetup,
): ConnectionsToServers {
  const { publishTimeoutMs: timeoutMs, naming, onError } = settings;
  const topology = new ClusterTopology(place, timeoutMs);
  const servers = new RedisServers({ place, prefix, timeoutMs, onError });
  const byQueue = new Map<string, Redis>();
  const clientOf = (queue: string): Redis => {
    const known = byQueue.get(queue);
    if (known !== undefined) return known;
    const own = {
      maxRetriesPerRequest: null,
      Connector: slotConnector(topology, slotOf(`${prefix}:${queue}:`)),
      reconnectOnError: (error: Error) => whereQueuesMove(error, topology),
    };
    const client = clients.keep(openClient({ url: undefined, options: place.options }, timeoutMs, own));
    client.once('ready', () => inspect(client));
    byQueue.set(queue, client);
    return client;
  };
  const access: QueueAccess = {
    async partition(destination, index) {
      const name = naming.queueName(destination, index);
      return (await servers.backend(name, FOREVER)).forQueue(name);
    },
    clientLists: async () => clientListsOf(await servers.all(FOREVER)),
  };
  return {
    async reach(queue) {
      try {
        await servers.backend(queue, FOREVER);
      } catch (error) {
        servers.suspect();
        throw error;
      }
    },
    workerConnection: clientOf,
    brokerTimeMs: (queue) => serverTimeMs(clientOf(queue)),
    access: () => access,
    cutSilent() {
      clients.cutSilent();
      servers.cutSilent();
    },
    repairTakenJobs: (queue) => mendActive(clientOf(queue), `${prefix}:${queue}`),
    async close() {
      clients.end();
      servers.close();
    },
  };
}

/** 2: connect again, and send again what was refused. 1: connect again. */
export function whereQueuesMove(error: Error, topology: Pick<ClusterTopology, 'learn'>): 1 | 2 | false {
  if (topology.learn(error)) return 2;
  // A master that is cut off from the others says so for as long as it is, while a replica has long taken its place.
  return isFromReplica(error) || /\b(CLUSTERDOWN|MASTERDOWN)\b/.test(error.message) ? 1 : false;
}
