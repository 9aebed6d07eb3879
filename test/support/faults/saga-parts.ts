/**
 * Settings of workers and relays as the fault-injection tests of sagas use them: short leases and polls, so that a takeover takes a moment.
 */
import type { SubscriptionOptions } from '../../../src/relay/subscription/options.ts';

/** A second is the shortest lease that there is. */
export const FAULTS_WORKER = { lease: 1_000, idlePoll: 50 } as const;

export const SAGA_SUBSCRIPTION = {
  name: 'sagas',
  routes: [
    { topics: 'faults.reserve', to: 'stock' },
    { topics: 'faults.release', to: 'stock' },
    { topics: 'saga.reply', to: 'saga-replies' },
  ],
  lease: 500,
  idlePoll: 50,
  retry: { attempts: 2, base: 1, cap: 1 },
  parkedRetry: { attempts: 100, base: 1, cap: 20 },
  breaker: { consecutiveFailures: 3, halfOpenAfter: 50 },
} satisfies Omit<SubscriptionOptions, 'transport'>;
