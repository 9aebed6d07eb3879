/**
 * The options of outbox.send, checked and turned into what is stored. Pure.
 */

import { HoldfastError } from '../errors.ts';
import { encodeAttributes, type Envelope } from '../message/envelope.ts';
import { isUuid } from '../message/id.ts';
import { parseDuration, type Duration } from '../runtime/duration.ts';
import { refuseUnknownOptions } from '../runtime/options.ts';
import { currentTraceContext } from '../runtime/telemetry.ts';

/** What the message that is being handled passes on to those it causes. An Envelope fits. */
export type Cause = Pick<Envelope, 'id' | 'correlationId' | 'traceparent' | 'tracestate'>;

/** Options of {@link Outbox.send}. */
export interface SendOptions {
  /**
   * Messages of one key keep their order. Null: no order. At most 1024 bytes.
   *
   * @defaultValue the key of the message type
   */
  readonly key?: string | null | undefined;
  /** Own headers, texts by name; names of lower-case letters, digits, '-', '_' and '.', at most 100. Together at most 16 KiB. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /**
   * A UUID. The same id twice is refused, so it can carry your own idempotency.
   *
   * @defaultValue a new UUIDv7
   */
  readonly id?: string | undefined;
  /** The message being handled: sets causationId, correlationId and the trace, unless they are given as well. */
  readonly causedBy?: Cause | undefined;
  readonly correlationId?: string | undefined;
  readonly causationId?: string | undefined;
  /**
   * W3C trace context; dropped when malformed.
   *
   * @defaultValue that of `causedBy`, else of the active OpenTelemetry span, if there is one
   */
  readonly traceparent?: string | undefined;
  readonly tracestate?: string | undefined;
  /** Not before this time, on the database's clock. Not together with `delay`. */
  readonly deliverAt?: Date | undefined;
  /** Not before this much later. Not together with `deliverAt`. */
  readonly delay?: Duration | undefined;
}

const KNOWN = [
  'key',
  'headers',
  'id',
  'causedBy',
  'correlationId',
  'causationId',
  'traceparent',
  'tracestate',
  'deliverAt',
  'delay',
];

const HEADER_NAME = /^[a-z0-9_.-]{1,100}$/;

/** Ten years: farther away is a mistake of units. */
const LONGEST_DELAY_MS = 10 * 366 * 86_400_000;

export interface CheckedOptions {
  readonly id: string | undefined;
  readonly key: string | null | undefined;
  /** JSON text for the column `headers`. */
  readonly attributes: string;
  readonly due: Due | undefined;
}

/** When a delayed message is due: a time in RFC 3339, or milliseconds from the database's now. */
export type Due = { readonly due_at: string } | { readonly delay_ms: number };

/** Throws HF_OPTION_UNKNOWN, HF_CONFIG, HF_DURATION, HF_PAYLOAD_TEXT or HF_PAYLOAD_TOO_LARGE. */
export function checkSendOptions(
  options: SendOptions,
  version: number,
  source: string | undefined,
  where: string,
): CheckedOptions {
  refuseUnknownOptions(options, KNOWN, where);
  const { id, key, headers, causedBy } = options;
  if (id !== undefined && !isUuid(id)) throw bad(where, 'id is not a UUID', 'Leave it out for a new one.');
  if (causedBy !== undefined && !isUuid(causedBy?.id))
    throw bad(where, 'causedBy is not a message', 'Pass the message that your handler got.');
  if (headers !== undefined) checkHeaderNames(headers, where);
  const trace = traceOf(options);
  const attributes = encodeAttributes({
    version,
    source,
    correlationId: options.correlationId ?? causedBy?.correlationId ?? causedBy?.id,
    causationId: options.causationId ?? causedBy?.id,
    traceparent: trace?.traceparent,
    tracestate: trace?.tracestate,
    headers,
  });
  return { id: id?.toLowerCase(), key, attributes: JSON.stringify(attributes), due: checkDue(options, where) };
}

/** A tracestate belongs to its traceparent: they are never mixed from two places. */
function traceOf({
  traceparent,
  tracestate,
  causedBy,
}: SendOptions): Pick<SendOptions, 'traceparent' | 'tracestate'> | null {
  if (traceparent !== undefined) return { traceparent, tracestate };
  const found = causedBy !== undefined && causedBy.traceparent !== null ? causedBy : currentTraceContext();
  if (found === null || found.traceparent === null) return null;
  return { traceparent: found.traceparent, tracestate: tracestate ?? found.tracestate ?? undefined };
}

function checkHeaderNames(headers: unknown, where: string): void {
  if (typeof headers !== 'object' || headers === null || Array.isArray(headers)) {
    throw bad(where, 'headers is no object', "Write headers: { name: 'value' }.");
  }
  for (const name of Object.keys(headers)) {
    if (!HEADER_NAME.test(name)) {
      throw bad(
        where,
        `the header name ${JSON.stringify(name.slice(0, 120))} is not allowed`,
        "Use at most 100 lower-case letters, digits, '-', '_' and '.'.",
      );
    }
  }
}

function checkDue({ deliverAt, delay }: SendOptions, where: string): Due | undefined {
  if (deliverAt !== undefined && delay !== undefined)
    throw bad(where, 'both deliverAt and delay are given', 'Give one of them.');
  if (deliverAt !== undefined) {
    if (!(deliverAt instanceof Date) || Number.isNaN(deliverAt.getTime()))
      throw bad(where, 'deliverAt is no valid Date', 'Pass a Date, or use delay.');
    const year = deliverAt.getUTCFullYear();
    if (year < 1970 || year > 9999)
      throw bad(where, `deliverAt is in the year ${year}`, 'A Date is made of milliseconds since 1970.');
    return { due_at: deliverAt.toISOString() };
  }
  if (delay === undefined) return undefined;
  const delayMs = parseDuration(delay, `${where}: delay`);
  if (delayMs > LONGEST_DELAY_MS) throw bad(where, 'delay is longer than ten years', 'A number counts milliseconds.');
  return { delay_ms: delayMs };
}

function bad(where: string, what: string, advice: string): HoldfastError {
  return new HoldfastError('HF_CONFIG', `${where}: ${what}.`, { advice });
}
