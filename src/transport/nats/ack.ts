/**
 * What NATS says of a message that it hands out, in the subject to answer to, and what can be answered. Pure.
 */

export interface AckPlace {
  readonly consumer: string;
  /** How often it was handed out, this time included, whatever came of it. */
  readonly deliveries: number;
  /** Number of the message in its stream, and when it got there: together the same for no two messages, also when a stream is made anew. */
  readonly sequence: string;
  readonly timestamp: string;
}

/**
 * Null: no message of JetStream.
 *
 * `$JS.ACK.<stream>.<consumer>.<deliveries>.<sequence>.<of consumer>.<time>.<pending>`; newer servers have domain and account before the
 * stream, and may put more behind.
 */
export function ackPlaceOf(reply: string): AckPlace | null {
  const tokens = reply.split('.');
  if (tokens[0] !== '$JS' || tokens[1] !== 'ACK') return null;
  const at = tokens.length === 9 ? 3 : 5;
  const [consumer, deliveries, sequence, , timestamp] = tokens.slice(at);
  if (tokens.length < 9 || tokens.length === 10 || timestamp === undefined) return null;
  const number = Number(deliveries);
  if (consumer === undefined || sequence === undefined || !Number.isInteger(number) || number < 1) return null;
  return { consumer, deliveries: number, sequence, timestamp };
}

export const ACK = '+ACK';
/** The claim begins anew. */
export const IN_PROGRESS = '+WPI';

/** What the server can count, in nanoseconds; later than this nothing is planned. */
const LONGEST_DELAY_MS = 100 * 365 * 86_400_000;

/** Not before `delayMs` have passed. */
export function nakOf(delayMs: number): string {
  const nanos = Math.ceil(Math.min(Math.max(delayMs, 0), LONGEST_DELAY_MS) * 1_000_000);
  return nanos > 0 ? `-NAK {"delay":${nanos}}` : '-NAK';
}

/**
 * How often a message was handed out without a verdict coming back.
 *
 * @param verdicts how often it was put off by one, as far as that is written down
 */
export function redeliveriesOf(deliveries: number, verdicts: number): number {
  return Math.max(0, deliveries - 1 - Math.max(0, verdicts));
}
