/** `holdfast/redis-streams`: messages over streams of Redis. Apart from `holdfast`, because its declarations need those of ioredis. Named exports only. */
export type { RedisClusterConnection, RedisConnection } from '../transport/redis/redis-place.ts';
export type { RedisStreamsTransportOptions, StreamLayout } from '../transport/redis-streams/options.ts';
export { createRedisStreamsTransport } from '../transport/redis-streams/redis-streams-transport.ts';
