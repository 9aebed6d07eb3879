/**
 * The options of a consumer and their checks.
 */
import type { PoolClient } from 'pg';
import type { PayloadCodec } from '../message/codec.ts';
import type { SignaturesOptions } from '../message/signing.ts';
import { assertTopicPattern, topicMatches } from '../message/topic-pattern.ts';
import type { Database } from '../postgres/database.ts';
import type { Runner } from '../postgres/runner.ts';
import type { Clock } from '../runtime/clock.ts';
import type { CrashPoint } from '../runtime/crash-point.ts';
import { parseDuration, type Duration } from '../runtime/duration.ts';
import type { Logger } from '../runtime/log.ts';
import type { Metrics } from '../runtime/metrics.ts';
import { badOption, refuseUnknownOptions } from '../runtime/options.ts';
import type { RetryOptions } from '../runtime/retry.ts';
import type { Transport } from '../transport/port.ts';
import type { BatchSettings } from './delivery/batch-choice.ts';
import type { OutboxPort } from './handlers/handler-run.ts';
import { handlersFor, type Handler, type On } from './handlers/handler.ts';
import type { DedupWindow } from './window/window.ts';

/** Handlers as a list, or as a function that is given `on` for the transactions of this consumer. */
export type Handlers<Tx> = readonly Handler<Tx>[] | ((on: On<Tx>) => readonly Handler<Tx>[]);

export function handlerList<Tx>(handlers: Handlers<Tx>): readonly Handler<Tx>[] {
  return typeof handlers === 'function' ? handlers(handlersFor<Tx>()) : handlers;
}

/** How messages share transactions. See `batch` of {@link CommonConsumerOptions}. */
export interface BatchOptions {
  /**
   * The most messages in one transaction, from 2 to 50. As few as have come are taken: nothing waits for more.
   *
   * @defaultValue 20
   */
  readonly size?: number | undefined;
  /**
   * After this long a transaction begins no more handlers, but commits; the messages whose turn did not come have the next one.
   *
   * @defaultValue '1s'
   */
  readonly within?: Duration | undefined;
}

/** Options that every `createConsumer` takes. */
export interface CommonConsumerOptions {
  readonly transport: Transport;
  /**
   * Queue to receive from.
   *
   * @defaultValue the consumer's name
   */
  readonly destination?: string | undefined;
  /**
   * Queues that this consumer has received from before. The queues of a name are stored; with another one, `start` rejects with
   * HF_CONSUMER_NAME, unless one of those named here is among the stored ones. Needed for one deployment, and harmless after it.
   */
  readonly formerDestinations?: readonly string[] | undefined;
  /**
   * Messages handled at once.
   *
   * @defaultValue 16, but no more than leaves two connections of the pool free
   */
  readonly concurrency?: number | undefined;
  /**
   * Keep the order per key, end to end: a message that gives up parks the later ones of its key behind it.
   *
   * @defaultValue false
   */
  readonly ordered?: boolean | undefined;
  /**
   * Several messages in one transaction, with a savepoint each: under load far more of them are handled, and handlers may run again,
   * because one transaction that fails is repeated message by message. Needs `database` and handlers of kind 'exactly-once'; messages
   * for other handlers, those that have failed, and one that comes by itself have a transaction of their own. `concurrency` then counts
   * transactions, and up to `size` times as many messages are in hand.
   *
   * @defaultValue false; true stands for the defaults of {@link BatchOptions}
   * @example
   * createConsumer('shipping', { database, transport, handlers, batch: { size: 50, within: '500ms' } });
   */
  readonly batch?: boolean | BatchOptions | undefined;
  /**
   * In place, before a message is parked.
   *
   * @defaultValue 5 attempts, base 100 ms, cap 5 s, within 30 s
   */
  readonly retry?: RetryOptions | undefined;
  /**
   * Of parked messages; when it ends, they wait for a person.
   *
   * @defaultValue 8 attempts, base 1 m, cap 1 h
   */
  readonly parkedRetry?: RetryOptions | undefined;
  /**
   * Longest run of a handler.
   *
   * @defaultValue '30s'
   */
  readonly timeout?: Duration | undefined;
  /**
   * Patterns of topics whose messages are acknowledged unread when there is no handler for them. Everything else that
   * comes without a handler goes back to the queue for processes that have one, and is parked when nobody takes it in
   * time.
   *
   * @defaultValue none
   */
  readonly ignore?: readonly string[] | undefined;
  /**
   * How long after it was sent a message still goes back for a process that has a handler for it; then it is parked,
   * and taken up by such a process as soon as there is one. 0 parks at once.
   *
   * @defaultValue '1m'
   */
  readonly handlerWait?: Duration | undefined;
  /**
   * How long marks are kept; must exceed the time within which a message can come again.
   *
   * @defaultValue '14d'
   */
  readonly retention?: Duration | undefined;
  /**
   * That time.
   *
   * @defaultValue the longest retention of the subscriptions in this database, or 7 days if there are none
   */
  readonly redeliveryHorizon?: Duration | undefined;
  /**
   * How long idempotency keys are kept.
   *
   * @defaultValue '24h'
   */
  readonly idempotencyRetention?: Duration | undefined;
  /**
   * Ordered consumers: how long after it was sent a message still waits for its predecessor; then it is parked.
   *
   * @defaultValue '1m'
   */
  readonly predecessorWait?: Duration | undefined;
  /**
   * How often to look for parked messages that are due.
   *
   * @defaultValue '1s'
   */
  readonly parkedPoll?: Duration | undefined;
  /**
   * How often to prune at least; a round that finds much is followed by the next one sooner.
   *
   * @defaultValue '10m'
   */
  readonly pruneInterval?: Duration | undefined;
  /** For handlers of kind 'window'. */
  readonly window?: DedupWindow | undefined;
  /**
   * Messages have to be signed for this destination, with one of these keys (`signing` of the subscription that sends them). Others are
   * parked, and no handler sees them: so whoever can write to the broker cannot write in the name of a service. A signature is refused
   * when it is nearly as old as `retention`, after which a message that somebody has kept would not be recognised.
   *
   * @defaultValue messages are taken as they come
   * @example
   * createConsumer('shipping', { database, transport, handlers, signatures: { keys: { '2026-01': process.env.ORDERS_KEY ?? '' } } });
   */
  readonly signatures?: SignaturesOptions | undefined;
  /**
   * Opens payloads that were encrypted by whoever sent them. With it, neither log nor parked messages have the texts of errors: parked ones
   * have them encrypted.
   *
   * @defaultValue payloads are read as they are
   */
  readonly codec?: PayloadCodec | undefined;
  /** For `send` in handlers. */
  readonly outbox?: OutboxPort | undefined;
  readonly log?: Logger | undefined;
  readonly metrics?: Metrics | undefined;
  /** @internal A seam of tests. */
  readonly clock?: Clock | undefined;
  /** @internal A seam of tests. */
  readonly random?: (() => number) | undefined;
  /** @internal A seam of tests. */
  readonly crashPoint?: CrashPoint | undefined;
}

/** Options of a `createConsumer` whose handlers get a client of node-postgres. */
export interface DatabaseConsumerOptions extends CommonConsumerOptions {
  /** Where inbox and effects are. Handlers get a PoolClient. */
  readonly database: Database;
  readonly handlers: Handlers<PoolClient>;
}

/** Options of a `createConsumer` whose handlers get a transaction of your own client or ORM. */
export interface RunnerConsumerOptions<Tx> extends CommonConsumerOptions {
  /** How to open a transaction with your own client or ORM. Handlers get what it opens. */
  readonly runner: Runner<Tx>;
  /**
   * Schema of the Holdfast tables.
   *
   * @defaultValue 'holdfast'
   */
  readonly schema?: string | undefined;
  readonly handlers: Handlers<Tx>;
}

export const KNOWN_OPTIONS = [
  'transport',
  'destination',
  'formerDestinations',
  'concurrency',
  'ordered',
  'batch',
  'retry',
  'parkedRetry',
  'timeout',
  'ignore',
  'handlerWait',
  'retention',
  'redeliveryHorizon',
  'idempotencyRetention',
  'predecessorWait',
  'parkedPoll',
  'pruneInterval',
  'window',
  'signatures',
  'codec',
  'outbox',
  'log',
  'metrics',
  'clock',
  'random',
  'crashPoint',
  'database',
  'runner',
  'schema',
  'handlers',
];
const DEFAULT_CONCURRENCY = 16;
const DEFAULT_BATCH_SIZE = 20;
/**
 * Each savepoint that writes is a subtransaction. PostgreSQL keeps 64 of a transaction in memory; with more, every other session has to look
 * them up on disk.
 */
const MAX_BATCH_SIZE = 50;

/** The number given, or what the pool has connections for. */
export function resolveConcurrency(
  where: string,
  given: number | undefined,
  database: Database | null,
  log: Logger,
): number {
  const connections = database?.pool.options.max ?? Infinity;
  const concurrency = given ?? Math.min(DEFAULT_CONCURRENCY, Math.max(1, connections - 2));
  if (!Number.isInteger(concurrency) || concurrency < 1)
    throw badOption(where, `has concurrency ${concurrency}`, 'Give a whole number from 1 on.');
  if (concurrency > connections)
    log.warn(
      { concurrency, connections },
      'the pool has fewer connections than messages are handled at once: some will wait',
    );
  return concurrency;
}

/**
 * null: each message has a transaction of its own.
 * @throws HoldfastError HF_CONFIG, HF_DURATION, HF_OPTION_UNKNOWN
 */
export function resolveBatch<Tx>(
  where: string,
  given: boolean | BatchOptions | undefined,
  handlers: readonly Handler<Tx>[],
): BatchSettings | null {
  if (given === undefined || given === false) return null;
  if (given !== true && (typeof given !== 'object' || given === null))
    throw badOption(
      where,
      'has a batch that is neither true nor options',
      'Write batch: true, or batch: { size: 50 }.',
    );
  const options = given === true ? {} : given;
  refuseUnknownOptions(options, ['size', 'within'], `${where}.batch`);
  const { size = DEFAULT_BATCH_SIZE, within = '1s' } = options;
  if (!Number.isInteger(size) || size < 2 || size > MAX_BATCH_SIZE)
    throw badOption(`${where}.batch`, `has size ${size}`, `Give a whole number from 2 to ${MAX_BATCH_SIZE}.`);
  if (!handlers.some(({ kind }) => kind === 'exactly-once'))
    throw badOption(
      where,
      "has batch, but no handler of kind 'exactly-once'",
      'Leave batch away: messages of other kinds have a transaction of their own.',
    );
  return { size, withinMs: parseDuration(within, `${where}.batch.within`) };
}

/** Checks that the consumer has what the kinds of its handlers need. */
export function checkKinds<Tx>(
  where: string,
  handlers: readonly Handler<Tx>[],
  ordered: boolean,
  window: DedupWindow | undefined,
): void {
  for (const { topic, kind } of handlers) {
    if (kind === 'window' && window === undefined) {
      throw badOption(
        where,
        `handles ${topic} with kind 'window', but has no window`,
        'Give window: createRedisWindow({ … }) or createMemoryWindow().',
      );
    }
    if (ordered && (kind === 'window' || kind === 'idempotent')) {
      throw badOption(
        where,
        `is ordered, but handles ${topic} with kind '${kind}', which leaves no mark for the next of its key to see`,
        'Leave kind away, or use a consumer of its own that is not ordered.',
      );
    }
  }
}

/**
 * Which topics need not be read.
 * @throws HoldfastError HF_CONFIG
 */
export function checkIgnored(where: string, patterns: readonly string[] | undefined): (topic: string) => boolean {
  if (patterns === undefined) return () => false;
  if (!Array.isArray(patterns))
    throw badOption(where, 'has an ignore that is no list', "Write ignore: ['order.audit.*'].");
  const list = patterns as readonly string[];
  for (const pattern of list) assertTopicPattern(pattern, `${where}.ignore`);
  return (topic) => list.some((pattern) => topicMatches(pattern, topic));
}
