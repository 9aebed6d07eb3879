/** `holdfast/testing`: for the tests of services that use Holdfast. Named exports only. */
export { createManualClock, type ManualClock } from './manual-clock.ts';
export { startPostgres, type PostgresServer } from './servers/postgres.ts';
export { startRedis, type RedisServer } from './servers/redis.ts';
export { memoryBroker, memoryTransport, type MemoryFaults, type MemoryTransportOptions } from '../transport/memory.ts';

export { testSagas, type SagaTest, type SagaTestOptions, type TestMessage, type TestRun } from './saga/saga-test.ts';
export { type ScriptContext, type StepScript, type UndoScript } from './saga/step-scripts.ts';
export { type TestCall, type TestEffect } from './saga/effects-log.ts';
export { type FailOptions, type Failure } from './saga/fail-plan.ts';
export { type PassedPoint } from './saga/test-worker.ts';
export {
  later,
  lost,
  reject,
  respond,
  silence,
  twice,
  type RespondContext,
  type Responder,
  type Script,
} from './saga/respond.ts';
export { everyCrashPoint, type CrashPointOptions, type CrashReport, type CrashTry } from './saga/every-crash-point.ts';
export { createMemorySagaStore, type MemorySagaStore, type MemorySagaStoreOptions } from './saga/memory-saga-store.ts';
