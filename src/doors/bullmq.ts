/** `holdfast/bullmq`: messages over BullMQ. Apart from `holdfast`, because its declarations need those of bullmq and ioredis. Named exports only. */
export type { BullmqOptions, QueueLayout } from '../transport/bullmq/options.ts';
export { createBullmqTransport, type BullmqTransportOptions } from '../transport/bullmq/redis-transport.ts';
export type { RedisClusterConnection, RedisConnection } from '../transport/redis/redis-place.ts';
export {
  createBullmqPostgresTransport,
  migrateBullmqPostgres,
  type BullmqPostgresTransportOptions,
} from '../transport/bullmq/postgres-transport.ts';
