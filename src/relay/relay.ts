/**
 * The relay: publishes every committed message of the outbox, for any number of subscriptions. Used by the daemon and embedded.
 */
import { hostname } from 'node:os';
import { randomUUID } from 'node:crypto';
import { HoldfastError } from '../errors.ts';
import type { Database } from '../postgres/database.ts';
import { refuseTransactionPooler } from '../postgres/pooler.ts';
import { createWaker, type Waker } from '../postgres/wake-up.ts';
import { checkStart } from '../postgres/start-checks.ts';
import { systemClock, type Clock } from '../runtime/clock.ts';
import { noCrash, type CrashPoint } from '../runtime/crash-point.ts';
import type { Logger } from '../runtime/log.ts';
import { createLifecycle } from '../runtime/lifecycle.ts';
import { createLoop, type Loop } from '../runtime/loop.ts';
import type { Metrics } from '../runtime/metrics.ts';
import { safeLogger, safeMetrics } from '../runtime/observers.ts';
import { refuseUnknownOptions } from '../runtime/options.ts';
import type { Service } from '../runtime/service.ts';
import type { Publisher, Transport } from '../transport/port.ts';
import { createRelayMetrics } from './delivery/metrics.ts';
import { resolveSubscription, type SubscriptionOptions } from './subscription/options.ts';
import { pruneChunk, pruneRecords } from './maintenance/pruner.ts';
import { differences } from './subscription/shared-settings.ts';
import { createSubscriptionRunner, type SubscriptionRunner } from './delivery/runner.ts';
import type { RunnerState } from './subscription/runner-state.ts';
import { createScheduler, schedulerWaitMs, type SchedulerStep } from './maintenance/scheduler.ts';
import { createSubscriptionStore } from './subscription/subscription-store.ts';

export interface RelayOptions {
  readonly database: Database;
  readonly subscriptions: readonly SubscriptionOptions[];
  /** Names this process in leases; default host name, process id and a random part. Two relays must never share it. */
  readonly owner?: string | undefined;
  /** @defaultValue silent */
  readonly log?: Logger | undefined;
  readonly metrics?: Metrics | undefined;
  /** @internal A seam of tests. */
  readonly clock?: Clock | undefined;
  /** @internal A seam of tests. */
  readonly random?: (() => number) | undefined;
  /** @internal A seam of tests. */
  readonly crashPoint?: CrashPoint | undefined;
}

export interface Relay extends Service {
  /** Checks the schema and creates the subscriptions that do not exist; `start` does so by itself. */
  prepare(): Promise<void>;
  /** One page of every shard of every subscription, and what is scheduled and due: for tests, after `prepare`, instead of `start`. */
  tick(): Promise<void>;
  /** One round of retention: deletes what is old enough. Resolves with how many messages went. */
  prune(): Promise<number>;
  readonly states: readonly RunnerState[];
}

/** From a start to its stop. */
interface Run {
  readonly publishers: ReadonlyMap<Transport, Publisher>;
  readonly waker: Waker;
  readonly runners: readonly SubscriptionRunner[];
}

const PRUNE_EVERY_MS = 60_000;
/** Records beside the log are few and stay for days. */
const PRUNE_RECORDS_EVERY_MS = 3_600_000;

/** Throws HF_CONFIG or HF_OPTION_UNKNOWN for what is not usable; `start` rejects with HF_SCHEMA_MISSING or HF_SHARDS_MISMATCH. */
export function createRelay(options: RelayOptions): Relay {
  refuseUnknownOptions(
    options,
    ['database', 'subscriptions', 'owner', 'log', 'metrics', 'clock', 'random', 'crashPoint'],
    'createRelay',
  );
  const { database, clock = systemClock, random = Math.random, crashPoint = noCrash } = options;
  const log = safeLogger(options.log);
  const owner = options.owner ?? `${hostname()}:${process.pid}:${randomUUID().slice(0, 8)}`;
  const subscriptions = options.subscriptions.map(resolveSubscription);
  const names = subscriptions.map((subscription) => subscription.name);
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined)
    throw new HoldfastError('HF_CONFIG', `Subscription '${twice}' is declared twice.`, {
      advice: 'Give each its own name.',
    });

  const store = createSubscriptionStore(database);
  const scheduler = createScheduler(database, clock);
  const metrics = createRelayMetrics(safeMetrics(options.metrics, log));
  const loop = (name: string, tick: () => Promise<number>): Loop =>
    createLoop({ name, clock, log, tick, onError: () => 5_000 });
  const scheduling = loop('relay scheduler', async () => schedulerWaitMs(await moveDue()));
  const pruning = loop('relay pruner', async () => {
    const nowMs = clock.monotonic();
    const records = nowMs >= recordsDueAtMs;
    await prune({ ended: () => stopping, records });
    if (records) recordsDueAtMs = nowMs + PRUNE_RECORDS_EVERY_MS;
    return PRUNE_EVERY_MS * (0.5 + random());
  });

  /** A stop ends a round of retention after the chunk that is under way; the next round goes on there. */
  let stopping = false;
  let recordsDueAtMs = -Infinity;

  async function moveDue(): Promise<SchedulerStep> {
    const step = await scheduler.moveDue();
    for (const id of step.duplicates) {
      log.warn({ messageId: id }, 'scheduled message left out: a message with its id is in the log already');
    }
    if (step.refused !== null) {
      const { id, error } = step.refused;
      log.error(
        { messageId: id, err: error },
        'scheduled message refused by the log: it stays scheduled, others go on',
      );
    }
    return step;
  }

  async function prune({ ended, records }: { ended: () => boolean; records: boolean }): Promise<number> {
    let deleted = 0;
    for (let after: number | null = 0; after !== null && !ended();) {
      const step = await pruneChunk(database, after);
      deleted += step.deleted;
      after = step.after;
    }
    if (records) await pruneRecords(database);
    if (deleted > 0) log.info({ deleted }, 'log pruned');
    return deleted;
  }

  async function prepare(): Promise<void> {
    await checkStart(database, log);
    await refuseTransactionPooler(database, 'The relay');
    for (const { name, ...subscription } of subscriptions) {
      const address = subscription.transport.address;
      const superseded = await store.ensure(name, { ...subscription, broker: address });
      if (superseded === null) continue;
      const { before, broker, held } = superseded;
      if (broker !== null)
        log.warn(
          { subscription: name, broker: address, before: broker },
          'the last relay of this subscription was told another broker: what it published there is received there only',
        );
      if (before === null) continue;
      log.warn(
        { subscription: name, changed: differences(before, subscription.shared) },
        held
          ? 'another relay ran this subscription with other settings: it is taken over with these'
          : 'the settings of this subscription have changed: relays with those of before do not take it any more',
      );
    }
  }

  /** What a stop uses up, or ought not to outlive it: publishers, breakers, what each runner remembers of its place. */
  function makeRun(): Run {
    const publishers = new Map<Transport, Publisher>();
    const waker = createWaker({
      database,
      log,
      onWake() {
        for (const runner of runners) runner.wake();
        void stayAwake(waker);
      },
    });
    const sleeper = {
      get canSleep() {
        return waker.listening;
      },
      declareSleep: () => waker.setAsleep(true),
    };
    const runners = subscriptions.flatMap((subscription) => {
      let publisher = publishers.get(subscription.transport);
      if (publisher === undefined)
        publishers.set(subscription.transport, (publisher = subscription.transport.publisher()));
      const shared = {
        database,
        store,
        subscription,
        publisher,
        owner,
        sleeper,
        clock,
        random,
        log,
        metrics,
        crashPoint,
      };
      return Array.from({ length: subscription.shards }, (_, shard) => createSubscriptionRunner({ ...shared, shard }));
    });
    return { publishers, waker, runners };
  }

  async function stayAwake(waker: Waker): Promise<void> {
    await waker.setAsleep(false).catch((error: unknown) => log.debug({ err: error }, 'could not unset the sleep flag'));
  }

  const lifecycle = createLifecycle<Run>({
    make: makeRun,
    async start({ waker, runners }) {
      stopping = false;
      await prepare();
      await waker.start();
      for (const service of [...runners, scheduling, pruning]) await service.start();
      log.info({ owner, subscriptions: names }, 'relay started');
    },
    async stop({ publishers, waker, runners }, stop) {
      stopping = true;
      await Promise.all([...runners, scheduling, pruning].map((service) => service.stop(stop)));
      // So that writers do not notify nobody. Others that sleep say so again at their next idle poll.
      await stayAwake(waker);
      await waker.stop(stop);
      await Promise.all([...publishers.values()].map((publisher) => publisher.close()));
    },
  });

  return {
    prepare,
    start: lifecycle.start,
    stop: lifecycle.stop,
    async tick() {
      const { runners } = lifecycle.use();
      await moveDue();
      for (const runner of runners) await runner.tick();
    },
    prune: () => prune({ ended: () => false, records: true }),
    get states() {
      return lifecycle.run.runners.map((runner) => runner.state);
    },
  };
}
