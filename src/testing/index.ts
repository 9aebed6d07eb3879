/** `holdfast/testing`: for the tests of services that use Holdfast. Named exports only. */
export type { MemoryTx } from './saga/memory-transactions.ts';
export type { TestStore } from './saga/memory-saga-store.ts';
export { createManualClock, type ManualClock } from './manual-clock.ts';
export { withSeams, type Seams } from './seams.ts';
export type { Clock } from '../runtime/clock.ts';
export type { CrashPoint } from '../runtime/crash-point.ts';
export { BATCH_CRASH_POINTS } from '../inbox/handlers/batch-work.ts';
export { INBOX_CRASH_POINTS } from '../inbox/handlers/unit-of-work.ts';
export { REPLY_CRASH_POINTS } from '../saga/protocol/reply-route.ts';
export { SAGA_CRASH_POINTS } from '../saga/worker/worker.ts';
export {
  startPostgres,
  type PostgresOptions,
  type PostgresServer,
  type PostgresStopMode,
} from '../servers/postgres.ts';
export {
  createTestDatabase,
  shareTestServer,
  type TestDatabase,
  type TestDatabaseOptions,
} from './database/test-database.ts';
export { startRedis, type RedisOptions, type RedisServer } from '../servers/redis.ts';
export {
  createMemoryBroker,
  createMemoryTransport,
  type MemoryBroker,
  type MemoryFaults,
  type MemoryTransportOptions,
} from '../transport/memory.ts';

export { testSagas, type SagaTest, type TestMessage, type TestRun } from './saga/saga-test.ts';
export type { SagaTestOptions } from './saga/saga-test-options.ts';
export type { ScriptContext, StepScript, CompensationScript } from './saga/step-scripts.ts';
export type { TestCall, TestEffect } from './saga/effects-log.ts';
export type { FailOptions, Failure } from './saga/fail-plan.ts';
export type { PassedPoint } from './saga/crash-plan.ts';
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

export { testMessages, type MemoryMessageTest } from './messages/memory-test.ts';
export { testMessagesOn, type DatabaseMessageTest } from './messages/database-test.ts';
export type {
  AnsweredCommand,
  AskOptions,
  CompensateOptions,
  DeliveredMessage,
  DeliverOptions,
  MessageTest,
} from './messages/message-test.ts';
export type {
  CommonMessageTestOptions,
  MessageTestOptions,
  TestConsumerOptions,
  TestParticipantOptions,
} from './messages/message-test-options.ts';
export type { FailedMessage, ParkedMessage, ReceivedMessage, SettledDelivery } from './messages/deliveries-log.ts';
export type { SentTestMessage } from './messages/sent-log.ts';
export type { MessageOutcome } from '../inbox/delivery/consumer-metrics.ts';
export type { ReplyError, SagaReply } from '../saga/protocol/wire.ts';

export { holdfastMatchers, type HoldfastMatchers, type PartOf } from './matchers/matchers.ts';
export {
  assertCompensated,
  assertCompleted,
  assertHandled,
  assertSent,
  assertSentTimes,
  assertStuck,
  type AskableRun,
} from './matchers/asserts.ts';
export type { MatcherVerdict } from './matchers/verdict.ts';
