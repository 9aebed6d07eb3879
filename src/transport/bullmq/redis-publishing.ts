/**
 * The connections of a publisher to Redis: one to each server that has queues.
 */
import { HoldfastError } from '../../errors.ts';
import type { PublisherConnection } from './broker.ts';
import type { BullmqSettings } from './options.ts';
import { RedisServers } from './redis-servers.ts';
import type { RedisSetup } from './redis-setup.ts';
import { inspectServer } from './redis-upkeep.ts';

export function publisherConnection(setup: RedisSetup, settings: BullmqSettings): PublisherConnection {
  const { place, prefix, replicas } = setup;
  const { onError, publishTimeoutMs } = settings;
  const servers = new RedisServers({
    place,
    prefix,
    timeoutMs: publishTimeoutMs,
    onError,
    onServer: (client) => inspectServer(client, { place, prefix, onError }),
  });
  return {
    ready: (queue, signal) => servers.backend(queue, signal),
    reach: async (signal) => void (await servers.all(signal)),
    ping: () => servers.ping(),
    failed: () => servers.suspect(),
    hasMoved: (error) => servers.learn(error),
    ...(replicas === 0 ? {} : { watch: () => watchReplicas(servers, replicas, publishTimeoutMs) }),
    drop: () => servers.drop(),
    close: async () => servers.close(),
  };
}

/**
 * WAIT tells of what its own connection has written. So it says nothing when that has broken meanwhile. A message that is published again
 * writes too, if only a counter, so that WAIT also speaks for what was written before.
 */
function watchReplicas(
  servers: RedisServers,
  replicas: number,
  timeoutMs: number,
): ReturnType<NonNullable<PublisherConnection['watch']>> {
  const { breaks } = servers;
  return async (used) => {
    const clients = [...used].map((backend) => servers.clientOf(backend));
    // Before the publisher loses patience with the connection.
    const counts = await Promise.all(
      clients.map(async (client) => (await client?.wait(replicas, Math.ceil(timeoutMs / 2))) ?? 0),
    );
    if (servers.breaks !== breaks)
      throw new Error('a connection broke before the replicas of its server could be asked');
    const fewest = Math.min(...counts);
    if (fewest >= replicas) return;
    throw new HoldfastError(
      'HF_TRANSPORT_UNAVAILABLE',
      `Only ${fewest} of the ${replicas} replicas that must have a message have answered.`,
      {
        advice: 'It is published again until they do. See that the replicas run, or lower the option replicas.',
        details: { replicas, answered: fewest },
      },
    );
  };
}
