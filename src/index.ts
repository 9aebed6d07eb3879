/** The public API of Holdfast: named exports only. */
export {
  ERROR_CODES,
  HoldfastError,
  isHoldfastError,
  PermanentError,
  Rejection,
  type ErrorCode,
  type HoldfastErrorOptions,
} from './errors.ts';

export {
  message,
  type MessageOptions,
  type MessageType,
  type PayloadInput,
  type PayloadOf,
  type Upcast,
} from './message/message-type.ts';
export { decodeEnvelope, type Envelope, type Predecessor } from './message/envelope.ts';
export type { ExactNumbers } from './message/exact-json.ts';
export { decodePayload } from './message/decode.ts';
export { createRedactor, type Redactor } from './runtime/redact.ts';

export type { Act } from './postgres/audit.ts';
export { openDatabase, type Database } from './postgres/database.ts';
export type { DatabaseOptions } from './postgres/pool-settings.ts';
export type { DatabaseTransactionOptions } from './postgres/transaction.ts';
export type { DrizzleTransactionHandle } from './postgres/clients/drizzle.ts';
export type { KnexTransactionHandle } from './postgres/clients/knex.ts';
export type { KyselyTransactionHandle } from './postgres/clients/kysely.ts';
export type { MikroOrmTransactionHandle } from './postgres/clients/mikro-orm.ts';
export type { PgClientHandle } from './postgres/clients/pg-client.ts';
export type { PostgresJsTransactionHandle } from './postgres/clients/postgres-js.ts';
export type { PrismaTransactionHandle } from './postgres/clients/prisma.ts';
export type { SequelizeTransactionHandle } from './postgres/clients/sequelize.ts';
export type { TypeormQueryRunnerHandle, TypeormTransactionHandle } from './postgres/clients/typeorm.ts';
export type { Row, SqlExecutor } from './postgres/clients/client.ts';
export type { TransactionHandle } from './postgres/executor.ts';
export type { Runner } from './postgres/runner.ts';
export {
  migrate,
  migrationStatus,
  type Migration,
  type MigrateOptions,
  type MigrationStatus,
} from './postgres/migrator.ts';
export type { Repair } from './postgres/mend-schema.ts';

export {
  createOutbox,
  item,
  type Outbox,
  type OutboxItem,
  type OutboxOptions,
  type SentMessage,
} from './outbox/outbox.ts';
export { createAtMostOnceSender, type AtMostOnceOptions, type AtMostOnceSender } from './outbox/at-most-once.ts';
export type { Cause, SendOptions } from './outbox/send-options.ts';

export { createRelay, type Relay, type RelayOptions } from './relay/relay.ts';
export type { DroppedSubscription } from './relay/maintenance/drop-subscription.ts';
export type { SubscriptionOptions } from './relay/subscription/options.ts';
export type { SignaturesOptions, SigningOptions } from './message/signing.ts';
export { createAesGcmCodec, type AesGcmOptions } from './message/aes-gcm-codec.ts';
export type { PayloadCodec } from './message/codec.ts';
export type { EncryptedValue } from './message/encrypted-value.ts';
export type { RunnerState } from './relay/subscription/runner-state.ts';
export type { Route } from './relay/subscription/routes.ts';

export {
  createMemoryTransport,
  type MemoryFaults,
  type MemoryBroker,
  type MemoryTransportOptions,
} from './transport/memory.ts';
export type {
  Delivery,
  FoundQueue,
  FoundQueues,
  OutboundMessage,
  Publisher,
  Postponement,
  PublishOutcome,
  QueueRemark,
  QueueState,
  Receiver,
  ReceiveOptions,
  Transport,
  Verdict,
} from './transport/port.ts';
export type { TransportAbilities } from './transport/abilities.ts';

export type { BrokerHealth } from './inbox/delivery/broker-monitor.ts';
export { createConsumer, type Consumer } from './inbox/consumer.ts';
export type {
  BatchOptions,
  CommonConsumerOptions,
  DatabaseConsumerOptions,
  Handlers,
  RunnerConsumerOptions,
} from './inbox/consumer-options.ts';
export type { OutboxPort } from './inbox/handlers/handler-run.ts';
export {
  handlersFor,
  on,
  type Handler,
  type HandlerContext,
  type HandlerKind,
  type HandlerOptions,
  type HandlerSendOptions,
  type On,
} from './inbox/handlers/handler.ts';
export { fingerprintOf } from './inbox/idempotency/fingerprint.ts';
export {
  idempotent,
  pruneIdempotencyKeys,
  type IdempotentOptions,
  type PruneKeysOptions,
} from './inbox/idempotency/idempotency.ts';
export { createMemoryWindow, type DedupWindow, type MemoryWindowOptions } from './inbox/window/window.ts';
export { createRedisWindow, type RedisWindowConnection, type RedisWindowOptions } from './inbox/window/window-redis.ts';

export {
  saga,
  type AnySaga,
  type RunContext,
  type Saga,
  type SagaInput,
  type SagaOptions,
  type SagaResult,
  type Signals,
  type CallArguments,
  type CallOptions,
  type StepCalls,
  type StepInput,
  type StepOutput,
  type Steps,
  type WaitFor,
} from './saga/definition/definition.ts';
export { child, type ChildOptions } from './saga/kinds/child.ts';
export { command, type CommandOptions } from './saga/kinds/command.ts';
export { emit, type EmitOptions } from './saga/kinds/emit.ts';
export { step, type StepOptions } from './saga/kinds/step.ts';
export {
  transaction,
  transactionFor,
  type SagaTransactionOptions,
  type TransactionFor,
} from './saga/kinds/transaction.ts';
export type {
  AttemptedStepOptions,
  ChildSaga,
  CommonStepOptions,
  CompensatingMessage,
  CompensationOptions,
  Fallback,
  StartedSaga,
  Step,
  StepContext,
  StepDefinition,
  TransactionContext,
  CompensatedCall,
  Verified,
} from './saga/definition/steps.ts';
export type { JsonOnly, NotJson } from './saga/definition/json-only.ts';
export type { ErrorClass, ErrorLists } from './saga/definition/bugs.ts';
export { createSagas, type HandleOf, type Sagas, type SagasOptions, type SagaSignals } from './saga/client/client.ts';
export type {
  CancelAnswer,
  CancelOptions,
  InTransaction,
  ResultOptions,
  RunHandle,
  SignalArguments,
  SignalOptions,
} from './saga/client/run-handle.ts';
export type { StartOptions } from './saga/client/start-request.ts';
export type { WorkerProgress } from './saga/worker/worker-core.ts';
export { createWorker, type Worker, type WorkerOptions } from './saga/worker/worker.ts';
export type { OpenBreaker } from './saga/engine/admission.ts';
export { checkReplay, type CheckReplayOptions, type ReplayVerdict } from './saga/replay/check-replay.ts';
export { parseHistory, readHistories, type History, type ReadHistoriesOptions } from './saga/journal/histories.ts';
export { createParticipant, type Participant } from './saga/participant/participant.ts';
export type {
  DatabaseParticipantOptions,
  ParticipantHandlers,
  ParticipantOwnOptions,
  RunnerParticipantOptions,
} from './saga/participant/participant-options.ts';
export {
  handle,
  type CommandContext,
  type CommandAnswer,
  type CommonHandlerOptions,
  type CommandHandlerOptions,
  type CompensationContext,
  type CompensationHandlerOptions,
  type Handle,
  type ParticipantHandler,
  type SilentHandlerOptions,
} from './saga/participant/handle.ts';
export type { Trusted } from './saga/participant/on-record.ts';
export type { CallRole, SagaCall } from './saga/protocol/wire.ts';
export { createSagaReplies, type SagaRepliesOptions } from './saga/protocol/replies.ts';
export type { CallKind, StepKind } from './saga/definition/kind-names.ts';
export type {
  CallReissue,
  JournalEvent,
  JournalRow,
  RecordedError,
  RunStatus,
  StuckWhy,
  Uncounted,
  CompensationReason,
} from './saga/journal/events.ts';
export type { RefusedAct } from './saga/journal/refused.ts';
export type { RunTrace } from './saga/journal/run-trace.ts';
export type { RunView, SagaVersion } from './saga/store/store.ts';

export {
  defineConfig,
  type DashboardConfig,
  type HoldfastConfig,
  type SagasConfig,
  type NamedDatabaseConfig,
  type SubscriptionConfig,
  type TransportName,
} from './operations/config.ts';
export type { OidcAuthenticatorOptions } from './operations/oidc-settings.ts';
export {
  adopt,
  discardParked,
  doctor,
  dropSubscription,
  findAnything,
  limitsInForce,
  listAlerts,
  listAudit,
  listDue,
  listMessages,
  listParked,
  messagePath,
  planReplay,
  relayStatus,
  requestReplay,
  retryParked,
  sagaStatus,
  searchMessages,
  showMessage,
  showParked,
} from './operations/on-demand.ts';
export {
  actOnRuns,
  cancelRun,
  findRunId,
  listRuns,
  planBulk,
  resolveCall,
  restartRun,
  retryRun,
  searchRuns,
  showRun,
  signalRun,
  skipCall,
} from './operations/on-demand-runs.ts';
export type { AlertArea, AlertKind, AlertNotice } from './operations/alerts/alert.ts';
export { createAlerts, type Alerts, type AlertTest } from './operations/alerts/alerts.ts';
export type { AlertsNow, AlertSummary } from './operations/alerts/list-alerts.ts';
export type {
  AlertRule,
  AlertSettings,
  AlertsOptions,
  AlertWebhook,
  WatchedWorker,
} from './operations/alerts/options.ts';
export {
  abortJob,
  listJobs,
  parkedGroups,
  planJob,
  previewRevision,
  resumeJob,
  reviseParked,
  runJob,
  searchParked,
  showJob,
  startJob,
} from './operations/on-demand-jobs.ts';
export type { Diagnosis } from './operations/doctor/doctor.ts';
export type { Adopted } from './operations/doctor/environment.ts';
export type { DoctorOptions, Finding } from './operations/doctor/finding.ts';
export type { DiscardSelection, RetriedPlace, RetryAct, RetrySelection } from './operations/parked/interventions.ts';
export type { ParkedGroup, ParkedGroupFilter, ParkedGroups } from './operations/parked/parked-groups.ts';
export type { ParkedCriteria, ParkedKind, ParkedState } from './operations/parked/parked-rows.ts';
export type { ParkedDetails, ParkedFilter, ParkedPlaceInList, ParkedSummary } from './operations/parked/parked.ts';
export type { ParkedPage, ParkedSearch } from './operations/parked/search-parked.ts';
export type { PayloadRevision } from './operations/parked/payload-revision.ts';
export type { RevisedMessage, RevisionPreview } from './operations/parked/revise.ts';
export type { FindOptions, Findings, Found, FoundBy, FoundKind } from './operations/path/find-anything.ts';
export type {
  ConsumerVisit,
  InDatabase,
  LedMessage,
  MessagePath,
  ParkedVisit,
  ParticipantVisit,
  PathAnswer,
  PathCause,
  PathMessage,
  PathOutcome,
  PathRun,
  PathSender,
  PathStep,
  PathStepKind,
  RelayVisit,
  ReplayVisit,
} from './operations/path/path-model.ts';
export type { CallOfRun, MessageRef } from './operations/reads/message-ref.ts';
export type { AuditedAct, AuditFilter } from './operations/reads/audit.ts';
export type {
  ConsumerLimits,
  LimitsInForce,
  SubscriptionLimits,
  WorkerLimits,
} from './operations/reads/limits-in-force.ts';
export type { DueMessage, DueTimer, NextDue, ListDueOptions } from './operations/reads/list-due.ts';
export type {
  ConsumerPassage,
  MessageDetails,
  MessageFilter,
  MessageSummary,
  ScheduledDetails,
  SubscriptionPassage,
} from './operations/reads/messages.ts';
export type { Looked, PageEnds } from './operations/reads/page-walk.ts';
export type { FoundMessage, MessagePage, MessageSearch } from './operations/reads/search-messages.ts';
export type {
  ConsumerParked,
  ParkedCounts,
  RelayStatus,
  ReplayStatus,
  SubscriptionStatus,
} from './operations/relay/relay-status.ts';
export type { ReplayOptions, ReplayPlan, RequestedReplay } from './operations/relay/replays.ts';
export type { JobAct, JobExample, JobState, JobSummary } from './operations/jobs/job.ts';
export type { RunJobOptions } from './operations/jobs/job-runner.ts';
export type { JobFilter } from './operations/jobs/job-store.ts';
export type { JobPlan, JobStart } from './operations/jobs/jobs.ts';
export type { BulkPlan, RunSelection } from './operations/jobs/run-selection.ts';
export type { BulkAct, BulkOptions, BulkResult } from './operations/jobs/saga-bulk.ts';
export type { RestartedRun, RestartOptions } from './operations/sagas/restart-run.ts';
export type { RunRestarts } from './operations/sagas/run-restarts.ts';
export type { GrownRuns, GrowthLimits, JournalFill } from './operations/sagas/saga-growth.ts';
export type {
  Accepted,
  ReasonedAct,
  Resolution,
  Settlement,
  SignalRequest,
} from './operations/sagas/saga-interventions.ts';
export type {
  Childless,
  DueRuns,
  RunCount,
  RunCounts,
  SagaHealth,
  SagaStatus,
  WorkerStatus,
} from './operations/sagas/saga-status.ts';
export type { PendingRunMessage, RunDetails, RunFilter, RunSummary } from './operations/sagas/sagas.ts';
export type { RunPage, RunSearch } from './operations/sagas/search-runs.ts';
export type { SentByRun, SentMessages, SentRole } from './operations/sagas/sent-by-run.ts';

export type { Duration, DurationUnit } from './runtime/duration.ts';
export type { LogLevel } from './runtime/json-logger.ts';
export type { Logger } from './runtime/log.ts';
export type { Counter, Gauge, Histogram, Labels, Metrics } from './runtime/metrics.ts';
export type { RetryOptions, RetryPolicy } from './runtime/retry.ts';
export type { Service, StopOptions } from './runtime/service.ts';
