/**
 * What a relay makes anew for each start, because a stop uses it up, or because it ought not to outlive one: publishers, breakers, what
 * each runner remembers of its place.
 */
import { onCommitHint } from '../postgres/commit-hints.ts';
import type { Database } from '../postgres/database.ts';
import { createWaker, type Waker } from '../postgres/wake-up.ts';
import type { Clock } from '../runtime/clock.ts';
import type { CrashPoint } from '../runtime/crash-point.ts';
import type { Logger } from '../runtime/log.ts';
import type { Publisher, Transport } from '../transport/port.ts';
import type { RelayMetrics } from './delivery/metrics.ts';
import { createSubscriptionRunner, type SubscriptionRunner } from './delivery/runner.ts';
import type { ResolvedSubscription } from './subscription/options.ts';
import type { SubscriptionStore } from './subscription/subscription-store.ts';

export interface RelayRunOptions {
  readonly database: Database;
  readonly store: SubscriptionStore;
  readonly subscriptions: readonly ResolvedSubscription[];
  readonly owner: string;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Logger;
  readonly metrics: RelayMetrics;
  readonly crashPoint: CrashPoint;
}

/** From a start to its stop. */
export interface RelayRun {
  readonly publishers: readonly Publisher[];
  readonly waker: Waker;
  readonly runners: readonly SubscriptionRunner[];
  /** Writers do not notify any more, until somebody sleeps again. Never rejects. */
  readonly stayAwake: () => Promise<void>;
  /** From now on the runners look at once when somebody of this process has committed messages, until they are told to ignore it. */
  readonly hearHints: () => void;
  readonly ignoreHints: () => void;
}

export function makeRelayRun({ subscriptions, ...shared }: RelayRunOptions): RelayRun {
  const { database, log } = shared;
  const waker = createWaker({
    database,
    log,
    onWake() {
      for (const runner of runners) runner.wake();
      void stayAwake();
    },
  });
  const stayAwake = async (): Promise<void> => {
    await waker.setAsleep(false).catch((error: unknown) => log.debug({ err: error }, 'could not unset the sleep flag'));
  };
  const sleepFlag = {
    get canSleep() {
      return waker.listening;
    },
    declareSleep: () => waker.setAsleep(true),
  };
  const publishers = publishersOf(subscriptions);
  const runners = subscriptions.flatMap((subscription) => {
    const publisher = publishers.get(subscription.transport) as Publisher;
    const options = { ...shared, subscription, publisher, sleepFlag };
    return Array.from({ length: subscription.shards }, (_, shard) => createSubscriptionRunner({ ...options, shard }));
  });
  let ignoreHints = (): void => {};
  return {
    publishers: [...publishers.values()],
    waker,
    runners,
    stayAwake,
    hearHints() {
      ignoreHints = onCommitHint(database, () => {
        for (const runner of runners) runner.hint();
      });
    },
    ignoreHints: () => ignoreHints(),
  };
}

/** One for each transport, whatever the number of its subscriptions. */
function publishersOf(subscriptions: readonly ResolvedSubscription[]): ReadonlyMap<Transport, Publisher> {
  const publishers = new Map<Transport, Publisher>();
  for (const { transport } of subscriptions)
    if (!publishers.has(transport)) publishers.set(transport, transport.publisher());
  return publishers;
}
