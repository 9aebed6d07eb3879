/**
 * The options of a consumer after they were checked: defaults filled in, durations in milliseconds, handlers by topic.
 */
import { assertEncrypts } from '../message/clear-senders.ts';
import type { PayloadCodec } from '../message/codec.ts';
import type { Database } from '../postgres/database.ts';
import { systemClock, type Clock } from '../runtime/clock.ts';
import { parseDuration, type Duration } from '../runtime/duration.ts';
import type { Logger } from '../runtime/log.ts';
import type { Metrics } from '../runtime/metrics.ts';
import { safeLogger, safeMetrics } from '../runtime/observers.ts';
import { badOption } from '../runtime/options.ts';
import { withoutErrorTexts } from '../runtime/quiet-log.ts';
import { resolveRetry, type RetryPolicy } from '../runtime/retry.ts';
import { assertAble } from '../transport/abilities.ts';
import type { Transport } from '../transport/port.ts';
import {
  checkIgnored,
  checkKinds,
  resolveBatch,
  resolveConcurrency,
  type CommonConsumerOptions,
} from './consumer-options.ts';
import type { BatchSettings } from './delivery/batch-choice.ts';
import { DEFAULT_RETENTION } from './delivery/retention.ts';
import { DEFAULT_PARKED_RETRY, DEFAULT_RETRY } from './handlers/decide.ts';
import { resolveSignatures, type Signatures } from './delivery/signatures.ts';
import type { OutboxPort } from './handlers/handler-run.ts';
import { resolveHandlers, type Handler, type ResolvedHandler } from './handlers/handler.ts';
import type { DedupWindow } from './window/window.ts';

export interface ConsumerSettings<Tx> {
  readonly name: string;
  readonly transport: Transport;
  readonly destination: string;
  readonly formerDestinations: readonly string[];
  readonly concurrency: number;
  readonly ordered: boolean;
  readonly batch: BatchSettings | null;
  readonly handlers: ReadonlyMap<string, ResolvedHandler<Tx>>;
  readonly ignores: (topic: string) => boolean;
  readonly handlerWaitMs: number;
  readonly parkedRetry: RetryPolicy;
  readonly defaultRetry: RetryPolicy;
  readonly predecessorWaitMs: number;
  readonly longestTimeoutMs: number;
  readonly retentionMs: number;
  /** null: to be asked of the subscriptions in the same database. */
  readonly redeliveryHorizonMs: number | null;
  readonly idempotencyRetentionMs: number;
  readonly parkedPollMs: number;
  readonly pruneIntervalMs: number;
  readonly window: DedupWindow | null;
  readonly outbox: OutboxPort | null;
  readonly signatures: Signatures | null;
  readonly codec: PayloadCodec | null;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Logger;
  /** Whether a logger was given; without one nobody reads the log. */
  readonly logged: boolean;
  readonly metrics: Metrics;
}

/** How a consumer is called in the errors about its options. */
export function whereOf(name: string): string {
  return `consumer('${name}')`;
}

type DurationOption =
  | 'timeout'
  | 'retention'
  | 'idempotencyRetention'
  | 'predecessorWait'
  | 'handlerWait'
  | 'parkedPoll'
  | 'pruneInterval';

/**
 * @param database whose pool bounds the concurrency; null for a consumer with a runner
 * @throws HoldfastError HF_CONFIG, HF_DURATION, HF_OPTION_UNKNOWN
 */
export function resolveConsumer<Tx>(
  name: string,
  options: CommonConsumerOptions,
  list: readonly Handler<Tx>[],
  database: Database | null,
): ConsumerSettings<Tx> {
  const where = whereOf(name);
  const duration = (option: DurationOption, preset: Duration): number =>
    parseDuration(options[option] ?? preset, `${where}.${option}`);
  const { transport, redeliveryHorizon, ordered = false, clock = systemClock, random = Math.random } = options;
  const codec = options.codec ?? null;
  assertEncrypts(options.outbox, options.codec, where);
  const log = withoutErrorTexts(safeLogger(options.log), codec !== null).child({ consumer: name });
  const handlers = resolveHandlers(list, { retry: options.retry, timeout: options.timeout ?? '30s', where, codec });
  const concurrency = resolveConcurrency(where, options.concurrency, database, log);
  checkKinds(where, [...handlers.values()], ordered, options.window);
  if (typeof transport?.receiver !== 'function')
    throw badOption(where, 'has no transport', 'Give transport: createBullmqTransport({ … }), or another one.');
  assertAble(transport, { receive: true, order: ordered }, where);
  const destination = options.destination ?? name;
  const retentionMs = duration('retention', DEFAULT_RETENTION);
  return {
    name,
    transport,
    destination,
    formerDestinations: options.formerDestinations ?? [],
    concurrency,
    ordered,
    batch: resolveBatch(where, options.batch, [...handlers.values()]),
    handlers,
    ignores: checkIgnored(where, options.ignore),
    handlerWaitMs: duration('handlerWait', '1m'),
    parkedRetry: resolveRetry(options.parkedRetry, DEFAULT_PARKED_RETRY, `${where}.parkedRetry`),
    defaultRetry: resolveRetry(options.retry, DEFAULT_RETRY, `${where}.retry`),
    predecessorWaitMs: duration('predecessorWait', '1m'),
    longestTimeoutMs: Math.max(duration('timeout', '30s'), ...[...handlers.values()].map((each) => each.timeoutMs)),
    retentionMs,
    redeliveryHorizonMs:
      redeliveryHorizon === undefined ? null : parseDuration(redeliveryHorizon, `${where}.redeliveryHorizon`),
    idempotencyRetentionMs: duration('idempotencyRetention', '24h'),
    parkedPollMs: duration('parkedPoll', '1s'),
    pruneIntervalMs: duration('pruneInterval', '10m'),
    window: options.window ?? null,
    outbox: options.outbox ?? null,
    signatures: resolveSignatures(options.signatures, { destination, retentionMs }, where),
    codec,
    clock,
    random,
    log,
    logged: options.log !== undefined,
    metrics: safeMetrics(options.metrics, log),
  };
}
