/** `holdfast/testing`: for the tests of services that use Holdfast. Named exports only. */
export { createManualClock, type ManualClock } from './manual-clock.ts';
export { startPostgres, type PostgresServer } from './servers/postgres.ts';
export { startRedis, type RedisServer } from './servers/redis.ts';
export { memoryBroker, memoryTransport, type MemoryFaults, type MemoryTransportOptions } from '../transport/memory.ts';
