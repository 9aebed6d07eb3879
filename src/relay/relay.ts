/**
 * The relay: publishes every committed message of the outbox, for any number of subscriptions.
 */
import { hostname } from 'node:os';
import { randomUUID } from 'node:crypto';
import type { Database } from '../postgres/database.ts';
import { systemClock, type Clock } from '../runtime/clock.ts';
import { noCrash, type CrashPoint } from '../runtime/crash-point.ts';
import { createLifecycle } from '../runtime/lifecycle.ts';
import type { Logger } from '../runtime/log.ts';
import type { Metrics } from '../runtime/metrics.ts';
import { safeLogger, safeMetrics } from '../runtime/observers.ts';
import { badOption, refuseUnknownOptions } from '../runtime/options.ts';
import type { Service } from '../runtime/service.ts';
import { createRelayMetrics } from './delivery/metrics.ts';
import { Upkeep } from './maintenance/upkeep.ts';
import { prepareRelay } from './prepare.ts';
import { makeRelayRun, type RelayRun, type RelayRunOptions } from './relay-run.ts';
import { resolveSubscription, type ResolvedSubscription, type SubscriptionOptions } from './subscription/options.ts';
import type { RunnerState } from './subscription/runner-state.ts';
import { createSubscriptionStore } from './subscription/subscription-store.ts';

/** Options of {@link createRelay}. */
export interface RelayOptions {
  readonly database: Database;
  readonly subscriptions: readonly SubscriptionOptions[];
  /**
   * Names this process in leases. Two relays must never share it.
   *
   * @defaultValue host name, process id and a random part
   */
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

/** Publishes the messages of the outbox. Made by {@link createRelay}. */
export interface Relay extends Service {
  /** Checks the schema and creates the subscriptions that do not exist; `start` does so by itself. */
  prepare(): Promise<void>;
  /** One page of every shard of every subscription, and what is scheduled and due: for tests, after `prepare`, instead of `start`. */
  tick(): Promise<void>;
  /** One round of retention: deletes what is old enough. Resolves with how many messages went. */
  prune(): Promise<number>;
  readonly states: readonly RunnerState[];
}

/**
 * Makes a relay; it opens nothing before `start`.
 *
 * @throws HoldfastError HF_CONFIG, HF_OPTION_UNKNOWN, HF_DURATION; `start` rejects with HF_SCHEMA_MISSING or HF_SHARDS_MISMATCH
 * @example
 * const relay = createRelay({
 *   database,
 *   subscriptions: [{ name: 'main', transport, routes: [{ topics: 'order.*', to: 'billing' }] }],
 * });
 * await relay.start();
 * process.once('SIGTERM', () => void relay.stop());
 */
export function createRelay(options: RelayOptions): Relay {
  const settings = settle(options);
  const { log, owner, subscriptions } = settings;
  const upkeep = new Upkeep(settings);

  const lifecycle = createLifecycle<RelayRun>({
    make: () => makeRelayRun(settings),
    async start({ waker, runners, hearHints }) {
      await prepareRelay(settings);
      await waker.start();
      hearHints();
      for (const service of [...runners, upkeep]) await service.start();
      log.info({ owner, subscriptions: subscriptions.map(({ name }) => name) }, 'relay started');
    },
    async stop({ publishers, waker, runners, stayAwake, ignoreHints }, stop) {
      ignoreHints();
      await Promise.all([...runners, upkeep].map((service) => service.stop(stop)));
      // So that writers do not notify nobody. Others that sleep say so again at their next idle poll.
      await stayAwake();
      await waker.stop(stop);
      await Promise.all(publishers.map((publisher) => publisher.close()));
    },
  });

  return {
    prepare: () => prepareRelay(settings),
    start: lifecycle.start,
    stop: lifecycle.stop,
    async tick() {
      const { runners } = lifecycle.use();
      await upkeep.moveDue();
      for (const runner of runners) await runner.tick();
    },
    prune: () => upkeep.pruneAll(),
    get states() {
      return lifecycle.run.runners.map((runner) => runner.state);
    },
  };
}

/** Options checked, and completed by their defaults. */
function settle(options: RelayOptions): RelayRunOptions {
  refuseUnknownOptions(
    options,
    ['database', 'subscriptions', 'owner', 'log', 'metrics', 'clock', 'random', 'crashPoint'],
    'createRelay',
  );
  const { database, clock = systemClock, random = Math.random, crashPoint = noCrash } = options;
  const log = safeLogger(options.log);
  return {
    database,
    store: createSubscriptionStore(database),
    subscriptions: resolveSubscriptions(options.subscriptions),
    owner: options.owner ?? `${hostname()}:${process.pid}:${randomUUID().slice(0, 8)}`,
    clock,
    random,
    log,
    metrics: createRelayMetrics(safeMetrics(options.metrics, log)),
    crashPoint,
  };
}

function resolveSubscriptions(given: readonly SubscriptionOptions[]): readonly ResolvedSubscription[] {
  const subscriptions = given.map(resolveSubscription);
  const names = subscriptions.map(({ name }) => name);
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) throw badOption(`Subscription '${twice}'`, 'is declared twice', 'Give each its own name.');
  return subscriptions;
}
