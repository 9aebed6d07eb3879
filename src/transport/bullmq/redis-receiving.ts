/**
 * The connections of a receiver to Redis. Its workers wait for a server that is away, however long that takes. On one server they share a
 * connection for commands; cluster-receiving.ts has those to a cluster. Each worker waits for jobs on a further one.
 */
import { createRedisBackend } from 'bullmq';
import type { ReceiverConnection } from './broker.ts';
import { toCluster } from './cluster-receiving.ts';
import { KeptClients } from './kept-clients.ts';
import { type BullmqSettings, DEFAULT_PREFIX } from './options.ts';
import { accessFrom } from './queue-access.ts';
import { explainCluster, untilRedisReady } from '../redis/redis-client.ts';
import { openClient } from '../redis/redis-open.ts';
import type { SinglePlace } from '../redis/redis-place.ts';
import type { ConnectionsToServers, ReceivingSetup } from './redis-receiving-setup.ts';
import type { RedisSetup } from './redis-setup.ts';
import { inspectServer, mendActive, serverTimeMs, warnOfFormerPrefix } from './redis-upkeep.ts';

/** For what ends by itself. */
const FOREVER = new AbortController().signal;
const TLS_HINT = 'TLS was asked for (rediss://), and a port without it never answers';

export function receiverConnection({ place, prefix }: RedisSetup, settings: BullmqSettings): ReceiverConnection {
  const clients = new KeptClients();
  const { onError } = settings;
  const setup: ReceivingSetup = {
    prefix,
    settings,
    clients,
    inspect: (client) => void inspectServer(client, { place, prefix, onError }).catch(onError),
  };
  return {
    ready: () => Promise.resolve(),
    ...(place.tls ? { hint: TLS_HINT } : {}),
    pipelines: true,
    prefix,
    factory: createRedisBackend,
    disconnect: () => clients.end(),
    ...(place.kind === 'single' ? toOneServer(place, setup) : toCluster(place, setup)),
  };
}

function toOneServer(place: SinglePlace, { prefix, settings, clients, inspect }: ReceivingSetup): ConnectionsToServers {
  const client = clients.keep(openClient(place, settings.publishTimeoutMs, { maxRetriesPerRequest: null }));
  client.once('ready', () => inspect(client));
  return {
    async reach() {
      if (client.status !== 'ready') await untilRedisReady(client, FOREVER, settings.publishTimeoutMs);
    },
    explain: explainCluster,
    workerConnection: () => client,
    brokerTimeMs: () => serverTimeMs(client),
    access: (first) => accessFrom(first, settings.naming, () => first.getClientList()),
    cutSilent: () => clients.cutSilent(),
    repairTakenJobs: (queue) => mendActive(client, `${prefix}:${queue}`),
    async inspectQueue(queue) {
      if (prefix === DEFAULT_PREFIX) await warnOfFormerPrefix(client, queue, settings);
    },
    close: async () => clients.end(),
  };
}
