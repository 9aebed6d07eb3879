/**
 * The servers of the broker: private to this run, in temporary folders, gone at its end.
 */
import { startNats, startNatsCluster } from '../src/servers/nats.ts';
import { startRabbitmq } from '../src/servers/rabbitmq.ts';
import { startRedisCluster } from '../src/servers/redis-cluster.ts';
import { startRedis } from '../src/servers/redis.ts';
import type { Broker, BrokerKind } from './broker.ts';

export interface BrokerServers {
  readonly broker: Broker;
  dispose(): Promise<void>;
}

/** Rejects with HF_SERVER_MISSING and what to install. */
export async function startBroker(kind: Exclude<BrokerKind, 'postgres'>): Promise<BrokerServers> {
  switch (kind) {
    case 'redis':
    case 'redis-streams':
      return only(kind, await startRedis());
    case 'redis-cluster':
      return only(kind, await startRedisCluster());
    case 'nats':
      return only(kind, await startNats());
    case 'nats-cluster': {
      const nodes = await startNatsCluster(3);
      return {
        broker: { kind, url: nodes.map(({ url }) => url).join(' ') },
        dispose: async () => void (await Promise.all(nodes.map((node) => node.dispose()))),
      };
    }
    case 'rabbitmq':
      return only(kind, await startRabbitmq());
    case 'rabbitmq-cluster': {
      const server = await startRabbitmq({ nodes: 3 });
      return {
        broker: { kind, url: server.nodes.map(({ url }) => url).join(' ') },
        dispose: () => server.dispose(),
      };
    }
  }
}

function only(kind: BrokerKind, server: { readonly url: string; dispose(): Promise<void> }): BrokerServers {
  return { broker: { kind, url: server.url }, dispose: () => server.dispose() };
}
