/**
 * The metrics of a consumer.
 */
import { DELAY_SECONDS, type Counter, type Gauge, type Histogram, type Metrics } from '../../runtime/metrics.ts';

/**
 * What came of a delivery. `parked` stands also for waiting behind a parked one; `lost` for an at-most-once handler that failed; `dropped` for
 * one whose signature is not accepted, where `whenFull` says so.
 */
export type MessageOutcome = 'handled' | 'duplicate' | 'parked' | 'ignored' | 'later' | 'lost' | 'dropped';

export interface ConsumerMetrics {
  readonly messages: Counter<'consumer' | 'topic' | 'outcome'>;
  readonly retries: Counter<'consumer' | 'topic'>;
  readonly redrives: Counter<'consumer' | 'topic' | 'outcome'>;
  readonly seconds: Histogram<'consumer' | 'topic'>;
  readonly delays: Histogram<'consumer'>;
  readonly parked: Gauge<'consumer'>;
  readonly signatures: Counter<'consumer' | 'result'>;
}

const HANDLER_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

export function consumerMetrics(metrics: Metrics): ConsumerMetrics {
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
      HANDLER_SECONDS,
    ),
    delays: metrics.histogram(
      'holdfast_consumer_delay_seconds',
      'From the writing of a message until it was handled, of at most one message a millisecond.',
      ['consumer'],
      DELAY_SECONDS,
    ),
    parked: metrics.gauge('holdfast_consumer_parked', 'Messages parked.', ['consumer']),
    signatures: metrics.counter(
      'holdfast_consumer_signatures_total',
      'Deliveries to a consumer that checks signatures: right, or what was wrong (unsigned, key, destination, signature, age); or unasked: signed, to one that does not.',
      ['consumer', 'result'],
    ),
  };
}
