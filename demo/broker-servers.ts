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
  /** Those of a cluster that can be killed, and started again with what they had. */
  readonly nodes: readonly BrokerNode[];
  dispose(): Promise<void>;
}

/** One server of a cluster. */
export interface BrokerNode {
  readonly name: string;
  /** SIGKILL. */
  kill(): Promise<void>;
  /** Resolves when it is part of the cluster again. */
  start(): Promise<void>;
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
        nodes,
        dispose: async () => void (await Promise.all(nodes.map((node) => node.dispose()))),
      };
    }
    case 'rabbitmq':
      return only(kind, await startRabbitmq());
    case 'rabbitmq-cluster': {
      const server = await startRabbitmq({ nodes: 3 });
      return {
        broker: { kind, url: server.nodes.map(({ url }) => url).join(' ') },
        nodes: server.nodes.map((node, index) => ({
          name: `rabbitmq-${index + 1}`,
          kill: () => node.kill(),
          start: () => node.start(),
        })),
        dispose: () => server.dispose(),
      };
    }
  }
}

function only(kind: BrokerKind, server: { readonly url: string; dispose(): Promise<void> }): BrokerServers {
  return { broker: { kind, url: server.url }, nodes: [], dispose: () => server.dispose() };
}
