/**
 * The public entry point for services: a consumer receives messages from a transport and makes the effect of each happen once. This file
 * puts the parts together: settings, stores, the receiver, the redrive loop and the pruning loop.
 */
import { isStorableText } from '../message/text.ts';
import type { Database } from '../postgres/database.ts';
import { translateSqlError } from '../postgres/sql-state.ts';
import { createLifecycle } from '../runtime/lifecycle.ts';
import { nextRoundMs } from '../runtime/paced.ts';
import { createLoop, type Loop } from '../runtime/loop.ts';
import { badOption, refuseUnknownOptions } from '../runtime/options.ts';
import { backoffMs } from '../runtime/retry.ts';
import { inNoContext } from '../runtime/scope.ts';
import type { Service } from '../runtime/service.ts';
import type { Delivery, Receiver, Verdict } from '../transport/port.ts';
import { databaseAccess, runnerAccess, type ConsumerAccess } from './consumer-access.ts';
import {
  handlerList,
  KNOWN_OPTIONS,
  type DatabaseConsumerOptions,
  type RunnerConsumerOptions,
} from './consumer-options.ts';
import { resolveConsumer, whereOf, type ConsumerSettings } from './consumer-settings.ts';
import { checkConsumerStart } from './consumer-start.ts';
import { createBrokerMonitor, type BrokerHealth } from './delivery/broker-monitor.ts';
import type { ConsumerContext } from './delivery/consumer-context.ts';
import { CutMessages } from './delivery/cut-messages.ts';
import { consumerMetrics } from './delivery/consumer-metrics.ts';
import { createDeliverer } from './delivery/deliver.ts';
import { createRedriver } from './delivery/redrive.ts';
import { INBOX_PRUNE_CHUNK, pruneInbox } from './delivery/retention.ts';
import { HOLD } from './handlers/decide.ts';
import { abandonAtHardStop } from './handlers/hard-stop.ts';
import { TransactionLanes } from './handlers/transaction-lanes.ts';
import { createFirstRun } from './stores/first-run.ts';

/** Receives messages and runs handlers for them. Made by `createConsumer`. */
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
 *
 * @throws HoldfastError HF_CONFIG, HF_OPTION_UNKNOWN, HF_DURATION; `start` rejects with HF_INBOX_RETENTION, HF_CONSUMER_NAME,
 * HF_SCHEMA_MISSING and HF_DATABASE_READ_ONLY
 * @example
 * const billing = createConsumer('billing', {
 *   database,
 *   transport,
 *   handlers: [
 *     on(OrderPlaced, async (order, { tx }) => {
 *       await tx.query('INSERT INTO invoice (order_id, total) VALUES ($1, $2)', [order.orderId, order.total]);
 *     }),
 *   ],
 * });
 * await billing.start();
 */
export function createConsumer(name: string, options: DatabaseConsumerOptions): Consumer;
/** With a runner, write what it opens, `consumer<Transaction<DB>>(…)`: a runner that is written in place does not tell it. */
export function createConsumer<Tx>(name: string, options: RunnerConsumerOptions<Tx>): Consumer;
export function createConsumer<Tx>(
  name: string,
  options: DatabaseConsumerOptions | RunnerConsumerOptions<Tx>,
): Consumer {
  if (typeof name !== 'string' || name === '' || name.length > 200 || !isStorableText(name)) {
    throw badOption('consumer', 'needs a name of 1 to 200 characters', "Write createConsumer('shipping', { … }).");
  }
  const where = whereOf(name);
  refuseUnknownOptions(options, KNOWN_OPTIONS, where);
  if ('database' in options && 'runner' in options)
    throw badOption(where, 'has both database and runner', 'Give the one that handlers are to write through.');
  if ('runner' in options) {
    const access = runnerAccess(name, options);
    const settings = resolveConsumer(name, options, handlerList(options.handlers), null);
    if (settings.batch !== null)
      throw badOption(where, 'has batch and a runner', 'Give database instead, or leave batch away.');
    return assembleConsumer(settings, access);
  }
  const access = databaseAccess(name, options);
  return assembleConsumer(resolveConsumer(name, options, handlerList(options.handlers), access.database), access);
}

/** The parts put together, on whatever keeps inbox and effects. */
export function assembleConsumer<Tx>(settings: ConsumerSettings<Tx>, access: ConsumerAccess<Tx>): Consumer {
  const { name, transport, destination, concurrency, ordered, clock, log } = settings;
  const { work, database, deadlines, stores } = access;
  const lanes = lanesOf(settings, database);
  const context: ConsumerContext<Tx> = {
    ...settings,
    work,
    runBatch: access.runBatch,
    lanes,
    cuts: new CutMessages(),
    ...stores,
    firstRunMs: createFirstRun(work, stores.suspects),
    watch: access.watch,
    deadlines,
    counts: consumerMetrics(settings.metrics),
    crash: access.crash,
    stopping: () => lifecycle.run.stopping.signal,
  };
  const deliverer = createDeliverer(context);
  // Not in the context of the broker's client, or of who sends in the same process.
  const handle = (delivery: Delivery): Promise<Verdict> => inNoContext(() => deliverer.handle(delivery));
  const parkedLoop = redriveLoop(context, settings.parkedPollMs);
  const pruneLoop = pruningLoop(context, settings);
  const monitor = createBrokerMonitor({
    name,
    destination,
    clock,
    log,
    unheard: !settings.logged,
    metrics: settings.metrics,
  });
  const lifecycle = createLifecycle({
    make: () => ({ stopping: new AbortController(), receiver: null as Receiver | null }),
    async start(run) {
      await checkConsumerStart(context, settings, database).catch((error: unknown) => {
        throw translateSqlError(error);
      });
      const inHand = concurrency * (settings.batch?.size ?? 1);
      const ahead = lanes === null ? {} : { ahead: lanes.ahead };
      run.receiver = transport.receiver(destination, handle, { concurrency: inHand, ordered, ...ahead });
      await run.receiver.start();
      await Promise.all([parkedLoop.start(), pruneLoop.start(), monitor.start(run.receiver)]);
      const { reachable } = monitor.health();
      const topics = [...settings.handlers.keys()];
      log.info({ destination, ordered, concurrency, reachable, topics }, 'consumer started');
    },
    async stop({ stopping, receiver }, stopOptions) {
      stopping.abort();
      deliverer.stop();
      const parts = [receiver, parkedLoop, pruneLoop, monitor];
      await Promise.all(parts.map(async (part) => part?.stop(stopOptions)));
      deadlines.close();
      log.info({}, 'consumer stopped');
    },
  });
  return {
    name,
    handle,
    tickParked: () => parkedLoop.tick(),
    tickPrune: () => pruneLoop.tick(),
    brokerHealth: () => monitor.health(),
    start: lifecycle.start,
    stop: lifecycle.stop,
  };
}

/**
 * Not with a single one: whoever asks for that wants one message after the other, and none beside it while it is tried again. Nor with a
 * window, which is marked after the transaction: more of those would be repeated after a death.
 */
function lanesOf<Tx>(
  { batch, concurrency, clock, handlers }: ConsumerSettings<Tx>,
  database: Database | null,
): TransactionLanes | null {
  if (batch !== null || database === null || concurrency === 1) return null;
  return [...handlers.values()].some(({ kind }) => kind === 'window') ? null : new TransactionLanes(concurrency, clock);
}

/** Takes up parked messages that are due. */
function redriveLoop<Tx>(context: ConsumerContext<Tx>, pollMs: number): Loop {
  const { name, clock, log } = context;
  const redriver = createRedriver(context);
  return createLoop({
    name: `${name}.parked`,
    clock,
    log,
    tick: async (signal) => {
      await abandonAtHardStop(redriver.redriveDue(signal), signal, clock);
      return pollMs;
    },
    onError: backOff(context),
  });
}

function pruningLoop<Tx>(context: ConsumerContext<Tx>, settings: ConsumerSettings<Tx>): Loop {
  const { name, clock, log } = context;
  const { idempotencyRetentionMs, pruneIntervalMs } = settings;
  const bounds = { leastMs: Math.min(1_000, pruneIntervalMs), mostMs: pruneIntervalMs, enough: 4 * INBOX_PRUNE_CHUNK };
  let waitMs = pruneIntervalMs;
  return createLoop({
    name: `${name}.prune`,
    clock,
    log,
    tick: async (signal) => {
      const pruned = await abandonAtHardStop(pruneInbox(context, idempotencyRetentionMs, signal), signal, clock);
      if (pruned > 0) log.info({ pruned }, 'inbox pruned');
      waitMs = nextRoundMs(waitMs, pruned, bounds);
      return waitMs;
    },
    onError: backOff(context),
  });
}

function backOff<Tx>({ random }: ConsumerContext<Tx>): (error: unknown, failures: number) => number {
  return (_error, failures) => backoffMs(HOLD, failures, random);
}
