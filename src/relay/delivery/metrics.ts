/**
 * What a relay counts.
 */
import { DELAY_SECONDS, type Metrics } from '../../runtime/metrics.ts';
import type { LogEntry } from '../log/log-reader.ts';
import type { DeliveryCounts } from './delivery.ts';
import type { SubscriptionKey } from '../subscription/fence.ts';

export interface RelayMetrics {
  delivered(key: SubscriptionKey, counts: DeliveryCounts): void;
  /** How long the messages of a page were under way. `databaseTime`: now, as the log was told it (RFC 3339). */
  delayed(key: SubscriptionKey, entries: readonly LogEntry[], databaseTime: string): void;
}

/** A page may have thousands of messages, whose delays differ little; a metric costs as much as half a message. */
const DELAYS_OF_A_PAGE = 8;

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
  const delays = metrics.histogram(
    'holdfast_relay_delay_seconds',
    'From the writing of a message until the broker had it, of at most 8 messages of one page in 10 ms.',
    labels,
    DELAY_SECONDS,
  );
  return {
    delayed({ name, shard }, entries, databaseTime) {
      const values = { subscription: name, shard: String(shard) };
      for (const seconds of delaysOf(entries, databaseTime)) delays.observe(values, seconds);
    },
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

/** In seconds, of messages that lie evenly over the page, the first among them. Pure. */
export function delaysOf(entries: readonly Pick<LogEntry, 'time'>[], databaseTime: string): readonly number[] {
  const nowMs = Date.parse(databaseTime);
  const step = Math.max(1, Math.ceil(entries.length / DELAYS_OF_A_PAGE));
  const found: number[] = [];
  for (let index = 0; index < entries.length; index += step)
    found.push(Math.max(0, nowMs - Date.parse(entries[index]?.time ?? databaseTime)) / 1_000);
  return found;
}
