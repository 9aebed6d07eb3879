/**
 * The relay as a part of a daemon.
 */
import { createRelay } from '../../relay/relay.ts';
import type { SubscriptionOptions } from '../../relay/subscription/options.ts';
import { systemClock } from '../../runtime/clock.ts';
import type { DaemonKit, DaemonPart } from './daemon.ts';
import { createGauges } from './gauges.ts';
import { judgeLiveness, relayReadiness } from '../../operations/health/judgements.ts';

export function relayPart(subscriptions: readonly SubscriptionOptions[]): (kit: DaemonKit) => DaemonPart {
  return ({ database, registry, metrics, log }) => {
    const relay = createRelay({ database, subscriptions, log, metrics });
    return {
      service: relay,
      live: (nowMs) => judgeLiveness(relay.states, nowMs),
      ready: () => relayReadiness(relay.states),
      gauges: createGauges({ registry, database, states: () => relay.states, clock: systemClock, log }),
      name: 'relay',
      whenForced: 'what was in flight will be published again',
    };
  };
}
