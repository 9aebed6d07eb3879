/**
 * What a relay counts.
 */
import type { Metrics } from '../../runtime/metrics.ts';
import type { DeliveryCounts } from './delivery.ts';
import type { SubscriptionKey } from '../subscription/fence.ts';

export interface RelayMetrics {
  delivered(key: SubscriptionKey, counts: DeliveryCounts): void;
}

export function createRelayMetrics(metrics: Metrics): RelayMetrics {
  const labels = ['subscription', 'shard'] as const;
  const published = metrics.counter('holdfast_relay_published_total', 'Messages the broker has acknowledged.', labels);
  const parked = metrics.counter('holdfast_relay_parked_total', 'Messages taken out of the flow.', labels);
  const unrouted = metrics.counter(
    'holdfast_relay_unrouted_total',
    'Messages passed over because no route has their topic.',
    labels,
  );
  const batches = metrics.histogram(
    'holdfast_relay_batch_messages',
    'Messages per batch.',
    labels,
    [1, 10, 100, 500, 1000, 5000],
  );
  return {
    delivered({ name, shard }, counts) {
      const values = { subscription: name, shard: String(shard) };
      if (counts.published > 0) {
        published.inc(values, counts.published);
        batches.observe(values, counts.published);
      }
      if (counts.parked > 0) parked.inc(values, counts.parked);
      if (counts.unrouted > 0) unrouted.inc(values, counts.unrouted);
    },
  };
}
