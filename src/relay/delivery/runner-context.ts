/**
 * What a runner works with, as long as it lives, whether it holds the lease of its shard or not.
 */
import type { Database } from '../../postgres/database.ts';
import type { Publisher } from '../../transport/port.ts';
import type { SubscriptionKey } from '../subscription/fence.ts';
import type { SubscriptionStore } from '../subscription/subscription-store.ts';
import type { DeliveryContext } from './delivery.ts';
import { createDispatcher } from './dispatcher.ts';
import type { RelayMetrics } from './metrics.ts';
import { createParkingStore } from './parking-store.ts';

export interface RunnerOptions extends Omit<DeliveryContext, 'dispatcher' | 'parking'> {
  readonly database: Database;
  readonly store: SubscriptionStore;
  readonly shard: number;
  readonly publisher: Publisher;
  /** Names this process in the lease. */
  readonly owner: string;
  readonly sleepFlag: SleepFlag;
  readonly metrics: RelayMetrics;
}

/** Where a runner says that it goes to sleep; the relay shares one among its runners. */
export interface SleepFlag {
  readonly canSleep: boolean;
  declareSleep(): Promise<void>;
}

export interface RunnerContext extends RunnerOptions, DeliveryContext {
  readonly key: SubscriptionKey;
  /** Aborted by a soft stop. */
  readonly stopping: () => AbortSignal;
}

export function createRunnerContext(
  options: RunnerOptions,
  { stopping, onAttempt }: { readonly stopping: () => AbortSignal; readonly onAttempt: () => void },
): RunnerContext {
  const { database, subscription, shard } = options;
  const key = { name: subscription.name, shard };
  const log = options.log.child({ subscription: subscription.name, shard });
  return {
    ...options,
    key,
    log,
    stopping,
    dispatcher: createDispatcher({ ...options, log, stopping, onAttempt }),
    parking: createParkingStore({
      ...key,
      schema: database.schema,
      shards: subscription.shards,
      keepsOrder: subscription.keepsOrder,
    }),
  };
}
