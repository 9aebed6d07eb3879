/**
 * What a message in RabbitMQ carries beside its envelope, written and read. Whoever may write to a queue may have written anything. Pure.
 */

/** How often it was handed out without a verdict before it was last put back. RabbitMQ counts anew for what is published anew. */
const REDELIVERIES = 'holdfast-redeliveries';
/** Milliseconds that it is to be held back for after this. */
const REST = 'holdfast-rest';
/** Marks what is no message: where one layout of partitions ends. See order-layout.ts. */
const FENCE = 'holdfast-fence';
/** RabbitMQ's own count of how often it came back to the queue. */
const RETURNS = 'x-delivery-count';

/** What is above is no count. */
const MOST = 1_000_000_000;

export type AmqpHeaders = Readonly<Record<string, unknown>>;

export interface AmqpFacts {
  /** As the port means it. */
  readonly redeliveries: number;
  /** How long it still has to wait before it may be handed out, in milliseconds. */
  readonly restMs: number;
  readonly fence: boolean;
}

/** @param redelivered the flag of the delivery, for a queue that does not count */
export function amqpFactsOf(headers: AmqpHeaders | undefined, redelivered: boolean): AmqpFacts {
  const returns = count(headers?.[RETURNS]) ?? (redelivered ? 1 : 0);
  return {
    redeliveries: (count(headers?.[REDELIVERIES]) ?? 0) + returns,
    restMs: count(headers?.[REST]) ?? 0,
    fence: headers?.[FENCE] === true,
  };
}

/** Of a message that is put back by being published anew. */
export function headersForLater({ redeliveries, restMs }: Pick<AmqpFacts, 'redeliveries' | 'restMs'>): AmqpHeaders {
  return {
    ...(redeliveries > 0 ? { [REDELIVERIES]: redeliveries } : {}),
    ...(restMs > 0 ? { [REST]: restMs } : {}),
  };
}

export const FENCE_HEADERS: AmqpHeaders = { [FENCE]: true };

function count(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= MOST ? value : undefined;
}
