/**
 * The connections of BullMQ on Redis: they neither queue commands without bound nor crash the process. Loaded with the first publisher or
 * receiver.
 */
import type { BullmqConnections } from './broker.ts';
import { publisherConnection } from './redis-publishing.ts';
import { receiverConnection } from './redis-receiving.ts';
import type { RedisSetup } from './redis-setup.ts';

export function redisConnections(setup: RedisSetup): BullmqConnections {
  return {
    openPublisherConnection: (settings) => publisherConnection(setup, settings),
    openReceiverConnection: (settings) => receiverConnection(setup, settings),
  };
}
