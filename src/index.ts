/** The public API of Holdfast: named exports only. */
export { ERROR_CODES, HoldfastError, isHoldfastError, PermanentError, Rejection, type ErrorCode } from './errors.ts';

export { message, type MessageType, type PayloadInput, type PayloadOf } from './message/message-type.ts';
export { decodeEnvelope, type Envelope } from './message/envelope.ts';
export { decodePayload } from './message/decode.ts';

export { openDatabase, type Database, type DatabaseOptions } from './postgres/database.ts';
export { type SqlExecutor, type TransactionHandle } from './postgres/executor.ts';
export { migrate, migrationStatus, type Migration, type MigrationStatus } from './postgres/migrator.ts';
export type { Repair } from './postgres/mend-schema.ts';

export { createOutbox, item, type Outbox, type OutboxOptions } from './outbox/outbox.ts';
export { createAtMostOnceSender, type AtMostOnceOptions, type AtMostOnceSender } from './outbox/at-most-once.ts';
export { type SendOptions } from './outbox/send-options.ts';

export { createRelay, type Relay, type RelayOptions } from './relay/relay.ts';
export { type SubscriptionOptions } from './relay/subscription/options.ts';
export { type Route } from './relay/subscription/routes.ts';

export { bullmqTransport, type BullmqTransportOptions } from './transport/bullmq/redis-transport.ts';
export {
  bullmqPostgresTransport,
  migrateBullmqPostgres,
  type BullmqPostgresTransportOptions,
} from './transport/bullmq/postgres-transport.ts';
export { memoryTransport } from './transport/memory.ts';
export {
  type Delivery,
  type OutboundMessage,
  type Publisher,
  type PublishOutcome,
  type QueueRemark,
  type QueueState,
  type Receiver,
  type ReceiveOptions,
  type Transport,
  type Verdict,
} from './transport/port.ts';

export type { BrokerHealth } from './inbox/delivery/broker-monitor.ts';
export { consumer, type Consumer } from './inbox/consumer.ts';
export { type DatabaseConsumerOptions, type Handlers, type RunnerConsumerOptions } from './inbox/consumer-options.ts';
export {
  handlersFor,
  on,
  type Handler,
  type HandlerContext,
  type HandlerKind,
  type HandlerOptions,
} from './inbox/handlers/handler.ts';
export { fingerprintOf } from './inbox/idempotency/fingerprint.ts';
export { idempotent, pruneIdempotencyKeys } from './inbox/idempotency/idempotency.ts';
export { type Runner } from './inbox/handlers/runner-unit-of-work.ts';
export { createMemoryWindow, type DedupWindow } from './inbox/window/window.ts';
export { createRedisWindow } from './inbox/window/window-redis.ts';

export {
  saga,
  type AnySaga,
  type RunContext,
  type Saga,
  type SagaInput,
  type SagaOptions,
  type SagaResult,
} from './saga/definition/definition.ts';
export {
  child,
  command,
  emit,
  step,
  transaction,
  type Step,
  type StepContext,
  type TransactionContext,
  type Undo,
  type Verified,
} from './saga/definition/steps.ts';

export { type ErrorClass, type ErrorLists } from './saga/definition/bugs.ts';
export { createSagas, type HandleOf, type Sagas, type SagasOptions, type SagaSignals } from './saga/client/client.ts';
export { type CancelAnswer, type RunHandle } from './saga/client/run-handle.ts';
export { type StartOptions } from './saga/client/start-request.ts';
export { createWorker, SAGA_CRASH_POINTS, type Worker, type WorkerOptions } from './saga/worker/worker.ts';
export { checkReplay, type CheckReplayOptions, type ReplayVerdict } from './saga/replay/check-replay.ts';
export { parseHistory, readHistories, type History, type ReadHistoriesOptions } from './saga/journal/histories.ts';
export {
  participant,
  type DatabaseParticipantOptions,
  type Participant,
  type RunnerParticipantOptions,
} from './saga/participant/participant.ts';
export {
  handle,
  type CommandContext,
  type CompensationContext,
  type ParticipantHandler,
} from './saga/participant/handle.ts';
export { sagaReplies, type SagaRepliesOptions } from './saga/protocol/replies.ts';
export {
  type CallAnew,
  type JournalEvent,
  type JournalRow,
  type RecordedError,
  type RunStatus,
} from './saga/journal/events.ts';
export { type RefusedAct } from './saga/journal/refused.ts';
export { type RunView } from './saga/store/store.ts';

export { defineConfig, type HoldfastConfig, type SubscriptionConfig } from './operations/config.ts';
export {
  actOnRuns,
  cancelRun,
  discardParked,
  dropSubscription,
  findRunId,
  listRuns,
  planBulk,
  relayStatus,
  requestReplay,
  resolveCall,
  retryParked,
  retryRun,
  showRun,
  signalRun,
  skipCall,
} from './operations/on-demand.ts';
export type { BulkAct, BulkOptions, BulkPlan, BulkResult, RunSelection } from './operations/sagas/saga-bulk.ts';

export { type Duration } from './runtime/duration.ts';
export { type Clock } from './runtime/clock.ts';
export { type Logger } from './runtime/log.ts';
export { type Metrics } from './runtime/metrics.ts';
export { type RetryOptions } from './runtime/retry.ts';
export { type Service, type StopOptions } from './runtime/service.ts';
