/**
 * The consumer: receives messages from a transport and has each one's effect happen once. Puts the parts together: options, stores,
 * the receiver, the redrive loop and the pruning loop. The public door for services.
 */
import { isStorableText } from '../message/text.ts';
import type { Database } from '../postgres/database.ts';
import { translateSqlError } from '../postgres/sql-state.ts';
import { assertSchemaName, DEFAULT_SCHEMA } from '../postgres/quoting.ts';
import { checkStart } from '../postgres/start-checks.ts';
import { systemClock } from '../runtime/clock.ts';
import { noCrash, type CrashPoint } from '../runtime/crash-point.ts';
import { parseDuration, type Duration } from '../runtime/duration.ts';
import { createLifecycle } from '../runtime/lifecycle.ts';
import { createLoop } from '../runtime/loop.ts';
import type { Metrics } from '../runtime/metrics.ts';
import { safeLogger, safeMetrics } from '../runtime/observers.ts';
import { inNoContext } from '../runtime/scope.ts';
import { badOption, refuseUnknownOptions } from '../runtime/options.ts';
import { backoffMs, resolveRetry } from '../runtime/retry.ts';
import type { Service } from '../runtime/service.ts';
import type { Delivery, Receiver, Verdict } from '../transport/port.ts';
import { createBrokerMonitor, type BrokerHealth } from './delivery/broker-monitor.ts';
import {
  resolveConcurrency,
  checkIgnored,
  checkKinds,
  KNOWN_OPTIONS,
  type CommonConsumerOptions,
  type DatabaseConsumerOptions,
  type Handlers,
  type RunnerConsumerOptions,
} from './consumer-options.ts';
import { createDeadlines, type Deadlines } from '../runtime/deadlines.ts';
import { DEFAULT_PARKED_RETRY, DEFAULT_RETRY, HOLD, longestRetryMs } from './handlers/decide.ts';
import { createDeliverer } from './delivery/deliver.ts';
import { handlersFor, resolveHandlers, type Handler } from './handlers/handler.ts';
import { abandonAtHardStop } from './handlers/hard-stop.ts';
import { assertIdentity } from './stores/consumer-identity.ts';
import { createInboxStore } from './stores/inbox-store.ts';
import { createParkedDeliveryStore } from './stores/parked-delivery-store.ts';
import { createPostgresUnitOfWork } from './handlers/postgres-unit-of-work.ts';
import { createRedriver } from './delivery/redrive.ts';
import {
  ASSUMED_HORIZON_MS,
  DEFAULT_RETENTION,
  checkInboxRetention,
  pruneInbox,
  readRedeliveryHorizon,
} from './delivery/retention.ts';
import type { ConsumerMetrics, ConsumerContext } from './delivery/consumer-context.ts';
import { createRunnerUnitOfWork } from './handlers/runner-unit-of-work.ts';
import { createSuspectStore } from './stores/suspect-store.ts';
import { guardCrashPoint, type UnitOfWork } from './handlers/unit-of-work.ts';

export interface Consumer extends Service {
  readonly name: string;
  /** One delivery, as the receiver hands it over; for tests and for transports of your own. */
  handle(delivery: Delivery): Promise<Verdict>;
  /** Runs the parked messages that are due, now. */
  tickParked(): Promise<void>;
  /** Prunes, now. */
  tickPrune(): Promise<void>;
  /** Whether the broker hands out, and what lies in the queue, as of the last look, some seconds ago at most. */
  brokerHealth(): BrokerHealth;
}

/**
 * A consumer with a name of its own: its marks, parked messages and retries are kept under it, so never rename one lightly.
 * Opens nothing before `start`.
 * @throws HoldfastError HF_CONFIG, HF_OPTION_UNKNOWN, HF_DURATION; `start` rejects with HF_INBOX_RETENTION, HF_CONSUMER_NAME,
 * HF_SCHEMA_MISSING and HF_DATABASE_READ_ONLY
 */
export function consumer(name: string, options: DatabaseConsumerOptions): Consumer;
/** With a runner, write what it opens, `consumer<Transaction<DB>>(…)`: a runner that is written in place does not tell it. */
export function consumer<Tx>(name: string, options: RunnerConsumerOptions<Tx>): Consumer;
export function consumer<Tx>(name: string, options: DatabaseConsumerOptions | RunnerConsumerOptions<Tx>): Consumer {
  if (typeof name !== 'string' || name === '' || name.length > 200 || !isStorableText(name)) {
    throw badOption('consumer', 'needs a name of 1 to 200 characters', "Write consumer('shipping', { … }).");
  }
  const where = `consumer('${name}')`;
  refuseUnknownOptions(options, KNOWN_OPTIONS, where);
  if ('database' in options && 'runner' in options)
    throw badOption(where, 'has both database and runner', 'Give the one that handlers are to write through.');
  const crash = guardCrashPoint(options.crashPoint ?? noCrash);
  const deadlines = createDeadlines(options.clock ?? systemClock);
  if ('runner' in options) {
    if (typeof options.runner?.transaction !== 'function')
      throw badOption(
        where,
        'has a runner without transaction',
        'Give { transaction: (fn) => db.transaction().execute(fn) }.',
      );
    const work = createRunnerUnitOfWork({
      runner: options.runner,
      schema: assertSchemaName(options.schema ?? DEFAULT_SCHEMA),
      crash,
    });
    return assemble(name, where, options, handlerList(options.handlers), work, { crash, deadlines, database: null });
  }
  if (typeof options.database?.transaction !== 'function')
    throw badOption(where, 'has no database', 'Give database: openDatabase({ url }), or a runner.');
  const work = createPostgresUnitOfWork({ database: options.database, deadlines, crash });
  return assemble(name, where, options, handlerList(options.handlers), work, {
    crash,
    deadlines,
    database: options.database,
  });
}

function handlerList<Tx>(handlers: Handlers<Tx>): readonly Handler<Tx>[] {
  return typeof handlers === 'function' ? handlers(handlersFor<Tx>()) : handlers;
}

interface Tools {
  readonly crash: CrashPoint;
  readonly deadlines: Deadlines;
  readonly database: Database | null;
}

function assemble<Tx>(
  name: string,
  where: string,
  options: CommonConsumerOptions,
  handlers: readonly Handler<Tx>[],
  work: UnitOfWork<Tx>,
  tools: Tools,
): Consumer {
  const {
    transport,
    destination = name,
    formerDestinations: former = [],
    clock = systemClock,
    random = Math.random,
  } = options;
  const duration = (
    option:
      | 'timeout'
      | 'retention'
      | 'idempotencyRetention'
      | 'predecessorWait'
      | 'handlerWait'
      | 'parkedPoll'
      | 'pruneInterval',
    preset: Duration,
  ): number => parseDuration(options[option] ?? preset, `${where}.${option}`);
  const log = safeLogger(options.log).child({ consumer: name });
  const metrics = safeMetrics(options.metrics, log);
  const ordered = options.ordered ?? false;
  const resolved = resolveHandlers(handlers, { retry: options.retry, timeout: options.timeout ?? '30s', where });
  const horizonMs =
    options.redeliveryHorizon === undefined
      ? null
      : parseDuration(options.redeliveryHorizon, `${where}.redeliveryHorizon`);
  const idempotencyRetentionMs = duration('idempotencyRetention', '24h');
  const parkedPollMs = duration('parkedPoll', '1s');
  const pruneIntervalMs = duration('pruneInterval', '10m');
  const concurrency = resolveConcurrency(where, options.concurrency, tools.database, log);
  checkKinds(where, [...resolved.values()], ordered, options.window);
  if (typeof transport?.receiver !== 'function')
    throw badOption(where, 'has no transport', 'Give transport: bullmqTransport({ … }), or another one.');

  const context: ConsumerContext<Tx> = {
    name,
    ordered,
    ignores: checkIgnored(where, options.ignore),
    handlerWaitMs: duration('handlerWait', '1m'),
    handlers: resolved,
    parkedRetry: resolveRetry(options.parkedRetry, DEFAULT_PARKED_RETRY, `${where}.parkedRetry`),
    defaultRetry: resolveRetry(options.retry, DEFAULT_RETRY, `${where}.retry`),
    predecessorWaitMs: duration('predecessorWait', '1m'),
    retentionMs: duration('retention', DEFAULT_RETENTION),
    longestTimeoutMs: Math.max(
      duration('timeout', '30s'),
      ...[...resolved.values()].map((handler) => handler.timeoutMs),
    ),
    work,
    inbox: createInboxStore(work.schema, name),
    parked: createParkedDeliveryStore(work.schema, name),
    suspects: createSuspectStore(work.schema, name),
    window: options.window ?? null,
    outbox: options.outbox ?? null,
    deadlines: tools.deadlines,
    clock,
    random,
    log,
    counts: consumerMetrics(metrics),
    crash: tools.crash,
    stopping: () => lifecycle.run.stopping.signal,
  };

  let firstRun: Promise<number> | null = null;
  /** Asked once; a failure is not remembered. */
  const since = (): Promise<number> => {
    firstRun ??= work
      .transaction((execute) => context.suspects.firstRunAt(execute))
      .then((at) => at.getTime())
      .catch((error: unknown) => {
        firstRun = null;
        throw error;
      });
    return firstRun;
  };
  const deliverer = createDeliverer(context, since);
  // Not in the context of the broker's client, or of who sends in the same process.
  const handle = (delivery: Delivery): Promise<Verdict> => inNoContext(() => deliverer.handle(delivery));
  const redriver = createRedriver(context, since);
  const onError = (_error: unknown, failures: number): number => backoffMs(HOLD, failures, random);
  const parkedLoop = createLoop({
    name: `${name}.parked`,
    clock,
    log,
    tick: async (signal) => {
      await abandonAtHardStop(redriver.redriveDue(signal), signal, clock);
      return parkedPollMs;
    },
    onError,
  });
  const pruneLoop = createLoop({
    name: `${name}.prune`,
    clock,
    log,
    tick: async (signal) => {
      const pruned = await abandonAtHardStop(pruneInbox(context, idempotencyRetentionMs, signal), signal, clock);
      if (pruned > 0) log.info({ pruned }, 'inbox pruned');
      return pruneIntervalMs;
    },
    onError,
  });

  async function checkRetention(): Promise<void> {
    const known = horizonMs ?? (await work.transaction((execute) => readRedeliveryHorizon(execute, work.schema)));
    if (known === null)
      log.info(
        { assumedMs: ASSUMED_HORIZON_MS },
        'redelivery horizon not known: set redeliveryHorizon to the retention of the outbox',
      );
    const retriesMs = Math.max(
      0,
      ...[...resolved.values()].map(
        (handler) =>
          longestRetryMs(handler.retry) +
          (Number.isFinite(handler.retry.attempts) ? handler.retry.attempts * handler.timeoutMs : 0),
      ),
    );
    const refusal = checkInboxRetention({
      consumer: name,
      retentionMs: context.retentionMs,
      horizonMs: known ?? ASSUMED_HORIZON_MS,
      retriesMs,
    });
    if (refusal !== null) throw refusal;
  }

  const watch = createBrokerMonitor({
    name,
    destination,
    clock,
    log,
    unheard: options.log === undefined,
    metrics,
  });
  const lifecycle = createLifecycle({
    make: () => ({ stopping: new AbortController(), receiver: null as Receiver | null }),
    async start(run) {
      await checkBeginning().catch((error: unknown) => {
        throw translateSqlError(error);
      });
      run.receiver = transport.receiver(destination, handle, { concurrency, ordered });
      await run.receiver.start();
      await Promise.all([parkedLoop.start(), pruneLoop.start(), watch.start(run.receiver)]);
      const { reachable } = watch.health();
      log.info({ destination, ordered, concurrency, reachable, topics: [...resolved.keys()] }, 'consumer started');
    },
    async stop({ stopping, receiver }, stopOptions) {
      stopping.abort();
      const parts = [receiver, parkedLoop, pruneLoop, watch];
      await Promise.all(parts.map(async (part) => part?.stop(stopOptions)));
      tools.deadlines.close();
      log.info({}, 'consumer stopped');
    },
  });

  async function checkBeginning(): Promise<void> {
    if (tools.database !== null) await checkStart(tools.database, log);
    await checkRetention();
    const told = { retentionMs: context.retentionMs, broker: transport.address ?? null };
    const identity = { consumer: name, destination, former, ...told };
    const differs = await assertIdentity((fn) => work.transaction(fn), context.suspects, identity);
    if (differs.length > 0)
      log.warn(
        { differs },
        'the process of this consumer that was started last was told otherwise: give all of them the same',
      );
    if (ordered) await since();
  }

  return {
    name,
    handle,
    tickParked: () => parkedLoop.tick(),
    tickPrune: () => pruneLoop.tick(),
    brokerHealth: () => watch.health(),
    start: lifecycle.start,
    stop: lifecycle.stop,
  };
}

function consumerMetrics(metrics: Metrics): ConsumerMetrics {
  const buckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];
  return {
    messages: metrics.counter('holdfast_consumer_messages_total', 'Deliveries by outcome.', [
      'consumer',
      'topic',
      'outcome',
    ]),
    retries: metrics.counter('holdfast_consumer_retries_total', 'Attempts beyond the first.', ['consumer', 'topic']),
    redrives: metrics.counter('holdfast_consumer_redrives_total', 'Attempts of parked messages by outcome.', [
      'consumer',
      'topic',
      'outcome',
    ]),
    seconds: metrics.histogram(
      'holdfast_consumer_handler_seconds',
      'Time in handlers.',
      ['consumer', 'topic'],
      buckets,
    ),
    parked: metrics.gauge('holdfast_consumer_parked', 'Messages parked.', ['consumer']),
  };
}
