/**
 * The duties of a transport, on Redis Streams.
 */
import { Redis } from 'ioredis';
import { createRedisStreamsTransport } from '../../../src/transport/redis-streams/redis-streams-transport.ts';
import { describeTransport } from '../../../src/testing/transport/describe-transport.ts';
import { silentServer } from '../../../src/testing/transport/kit.ts';
import { sharedRedisUrl, uniquePrefix } from '../../support/servers.ts';

/** Claims that run out soon, so that a test need not wait long for what a dead consumer held. Patient with a slow broker. */
const SHORT = { lockDuration: 400, stalledInterval: 150, publishTimeout: 60_000 };

describeTransport('redis-streams', async () => {
  const url = sharedRedisUrl();
  const prefix = uniquePrefix();
  const silent = await silentServer();
  return {
    make: (options = {}) => createRedisStreamsTransport({ connection: url, prefix, ...SHORT, ...options }),
    unreachable: () => createRedisStreamsTransport({ connection: { host: '127.0.0.1', port: 1 } }),
    hanging: () => createRedisStreamsTransport({ connection: { host: '127.0.0.1', port: silent.port } }),
    refusing: () => ({
      transport: createRedisStreamsTransport({ connection: url, prefix, ...SHORT, maxMessageBytes: 2000 }),
      spoil: (message) => ({ ...message, wire: JSON.stringify({ filler: 'x'.repeat(2000) }) }),
    }),
    async plant(destination, text) {
      const redis = new Redis(url);
      await redis.xadd(`${prefix}:{${destination}#0}`, '*', 'envelope', text);
      redis.disconnect();
    },
    dispose: () => silent.close(),
  };
});
