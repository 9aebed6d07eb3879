/**
 * The wire: a CloudEvents 1.0 event in JSON, flat, described in docs/wire-format.md.
 * The writer stores the variable attributes (encodeAttributes), the relay joins texts into the wire (encodeWire) without
 * parsing a payload, consumers read it (decodeEnvelope).
 */
import { HoldfastError } from '../errors.ts';
import { isUuid } from './id.ts';
import { isTooDeep, MAX_JSON_DEPTH } from './json-limits.ts';
import { assertStorableText } from './text.ts';
import { cleanTraceContext } from './trace-context.ts';

/** The version of the wire itself, the attribute `holdfast`. */
export const WIRE_VERSION = 1;
/** `source` when neither the sender nor the relay names one. */
export const DEFAULT_SOURCE = 'holdfast';
/** Most UTF-8 bytes of the attributes beside the payload, user headers included. */
export const MAX_ATTRIBUTES_BYTES = 16_384;

/** A received message. */
export interface Envelope {
  /** UUID, lower case. Equal for every delivery of the message, replays included. */
  readonly id: string;
  readonly topic: string;
  /** Messages of one key keep their order; null: no order. */
  readonly key: string | null;
  /** Who sent it; a URI reference, by convention the service's name. */
  readonly source: string;
  /** When it was written to the outbox. */
  readonly time: Date;
  /** Version of the payload's shape. */
  readonly version: number;
  readonly correlationId: string | null;
  readonly causationId: string | null;
  readonly traceparent: string | null;
  readonly tracestate: string | null;
  readonly headers: Readonly<Record<string, string>>;
  /** Set when it was published again on request: the id of the replay. */
  readonly replayId: string | null;
  /** The message of the same key before this one, on ordered destinations. */
  readonly predecessor: Predecessor | null;
  /** The payload, not yet validated. */
  readonly data: unknown;
}

/** The message of the same key before another, on an ordered destination. */
export interface Predecessor {
  readonly id: string;
  /** When it was written. */
  readonly at: Date;
  /** When the relay sent it to the broker, and when the message that names it; null when the relay did not say. By the relay's database. */
  readonly sentAt: Date | null;
  readonly followedAt: Date | null;
}

/** What the column `headers` of the outbox holds. Absent attributes are left out. */
export interface WireAttributes {
  readonly schemaversion: number;
  readonly source?: string;
  readonly correlationid?: string;
  readonly causationid?: string;
  readonly traceparent?: string;
  readonly tracestate?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface AttributesInput {
  readonly version: number;
  readonly source?: string | null | undefined;
  readonly correlationId?: string | null | undefined;
  readonly causationId?: string | null | undefined;
  /** Dropped when malformed, as W3C asks. */
  readonly traceparent?: string | null | undefined;
  readonly tracestate?: string | null | undefined;
  readonly headers?: Readonly<Record<string, string>> | null | undefined;
}

/**
 * The attributes of a message as the outbox stores them.
 * @throws HoldfastError HF_CONFIG (not a text, empty), HF_PAYLOAD_TEXT, HF_PAYLOAD_TOO_LARGE (over 16 KiB together)
 */
export function encodeAttributes(input: AttributesInput): WireAttributes {
  const trace = cleanTraceContext(input.traceparent, input.tracestate);
  const headers = input.headers ?? {};
  return {
    schemaversion: input.version,
    ...attribute('source', input.source),
    ...attribute('correlationid', input.correlationId),
    ...attribute('causationid', input.causationId),
    ...(trace.traceparent === null ? {} : { traceparent: trace.traceparent }),
    ...(trace.tracestate === null ? {} : { tracestate: trace.tracestate }),
    ...(Object.keys(headers).length === 0 ? {} : { headers: checkHeaders(headers) }),
  };
}

function attribute<Name extends string>(
  name: Name,
  value: string | null | undefined,
): { readonly [key in Name]?: string } {
  if (value === null || value === undefined) return {};
  if (typeof value !== 'string' || value === '') {
    throw new HoldfastError(
      'HF_CONFIG',
      `The attribute ${name} is ${value === '' ? 'empty' : `of type ${typeof value}`}.`,
      { advice: 'Give a text, or leave it out.' },
    );
  }
  checkAttributeText(value, `The attribute ${name}`);
  return { [name]: value } as { readonly [key in Name]?: string };
}

function checkHeaders(headers: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  let length = 0;
  for (const [name, value] of Object.entries(headers)) {
    if (name === '' || typeof value !== 'string') {
      throw new HoldfastError(
        'HF_CONFIG',
        name === '' ? 'A header has an empty name.' : `The header ${JSON.stringify(name)} is of type ${typeof value}.`,
        {
          advice: 'Headers are texts by name; data belongs in the payload.',
        },
      );
    }
    assertStorableText(name, 'The name of a header');
    assertStorableText(value, `The header ${JSON.stringify(name)}`);
    length += name.length + value.length;
    if (length > MAX_ATTRIBUTES_BYTES / 3) refuseLong(Buffer.byteLength(JSON.stringify(headers)), 'The headers have');
  }
  return headers;
}

function checkAttributeText(value: string, what: string): void {
  assertStorableText(value, what);
  if (value.length > 1024)
    refuseLong(value.length > MAX_ATTRIBUTES_BYTES ? value.length : Buffer.byteLength(value), `${what} has`);
}

function refuseLong(bytes: number, what: string): void {
  if (bytes <= MAX_ATTRIBUTES_BYTES) return;
  throw new HoldfastError('HF_PAYLOAD_TOO_LARGE', `${what} ${bytes} bytes; the limit is ${MAX_ATTRIBUTES_BYTES}.`, {
    advice: 'Put data into the payload.',
  });
}

/** A row of the outbox as the relay reads it. */
export interface LogRow {
  readonly id: string;
  readonly topic: string;
  readonly key: string | null;
  /** RFC 3339, such as `2026-01-31T12:00:00.123456Z`. */
  readonly time: string;
  /** JSON text. */
  readonly payload: string;
  /** JSON text of an object: WireAttributes. */
  readonly headers: string;
}

export interface WireExtra {
  readonly replayId?: string | undefined;
  readonly predecessor?:
    | {
        readonly id: string;
        /** RFC 3339, as the times below */ readonly at: string;
        readonly sentAt?: string | null | undefined;
      }
    | undefined;
  /** When it is sent; told beside a predecessor. */
  readonly sentAt?: string | null | undefined;
  /** Used when the row names none. Default `holdfast`. */
  readonly source?: string | undefined;
}

/** The wire of a row, made by joining texts. The row is taken as it is; only consumers judge it. */
export function encodeWire(row: LogRow, extra: WireExtra = {}): string {
  // What is no object becomes an attribute that readers refuse: the wire itself stays JSON, or no broker could hand it out.
  const attributes = row.headers.trimStart().startsWith('{')
    ? row.headers.slice(row.headers.indexOf('{') + 1, row.headers.lastIndexOf('}')).trim()
    : `"headers":${row.headers}`;
  // The attributes stand early, so that one of them that clashes with a name below loses when the text is parsed.
  let wire = `{"specversion":"1.0","holdfast":${WIRE_VERSION}`;
  if (attributes !== '') wire += `,${attributes}`;
  if (!namesSource(row.headers)) wire += `,"source":${JSON.stringify(extra.source ?? DEFAULT_SOURCE)}`;
  wire += `,"id":"${row.id}","type":${JSON.stringify(row.topic)}`;
  if (row.key !== null) wire += `,"subject":${JSON.stringify(row.key)}`;
  wire += `,"time":"${row.time}","datacontenttype":"application/json"`;
  if (extra.replayId !== undefined) wire += `,"replayid":${JSON.stringify(extra.replayId)}`;
  if (extra.predecessor !== undefined) {
    const { id, at, sentAt } = extra.predecessor;
    wire += `,"predecessorid":${JSON.stringify(id)},"predecessorat":${JSON.stringify(at)}`;
    if (typeof sentAt === 'string') wire += `,"predecessorsentat":"${sentAt}"`;
    if (typeof extra.sentAt === 'string') wire += `,"sentat":"${extra.sentAt}"`;
  }
  // Joined into one flat text: a text that is a tree of its parts, as `+` makes it, costs the garbage collector a third of a drain.
  return [wire, ',"data":', row.payload, '}'].join('');
}

function namesSource(headers: string): boolean {
  // A value that reads so would have its quotes escaped. Parsed only when it may also be a user's header of that name.
  if (!/"source"\s*:/.test(headers)) return false;
  return !headers.includes('"headers"') || Object.hasOwn(JSON.parse(headers) as object, 'source');
}

/**
 * Reads the wire: JSON text, or the value parsed from it. Unknown attributes are ignored, so that later versions can add some.
 *
 * @throws HoldfastError HF_ENVELOPE_VERSION for a later version of the wire, HF_ENVELOPE_INVALID for everything else
 * @example
 * const { id, topic, key } = decodeEnvelope('{"specversion":"1.0"}');
 */
export function decodeEnvelope(wire: unknown): Envelope {
  const event = parse(wire);
  if (event['specversion'] !== '1.0') throw invalid('specversion', 'is not "1.0"');
  const wireVersion = event['holdfast'];
  if (!isVersion(wireVersion)) throw invalid('holdfast', 'is not a wire version');
  if (wireVersion > WIRE_VERSION) {
    throw new HoldfastError(
      'HF_ENVELOPE_VERSION',
      `The envelope has wire version ${wireVersion}; this process knows version ${WIRE_VERSION}.`,
      {
        advice: 'Upgrade Holdfast in the consumers first, then in the relay.',
        details: { version: wireVersion },
      },
    );
  }
  const { id, schemaversion = 1, datacontenttype = 'application/json' } = event;
  if (!isUuid(id)) throw invalid('id', 'is not a UUID');
  if (!isVersion(schemaversion)) throw invalid('schemaversion', 'is not a whole number from 1 on');
  if (typeof datacontenttype !== 'string' || !/^application\/json\s*(;|$)/i.test(datacontenttype))
    throw invalid('datacontenttype', 'is not application/json');
  if (!Object.hasOwn(event, 'data')) throw invalid('data', 'is missing');
  if (isTooDeep(event['data'], typeof wire === 'string' ? wire : undefined))
    throw invalid('data', `is nested more than ${MAX_JSON_DEPTH} deep`);
  return {
    id: id.toLowerCase(),
    topic: required(event, 'type'),
    key: optional(event, 'subject'),
    source: required(event, 'source'),
    time: timeOf(event['time'], 'time'),
    version: schemaversion,
    correlationId: optional(event, 'correlationid'),
    causationId: optional(event, 'causationid'),
    ...cleanTraceContext(optional(event, 'traceparent'), optional(event, 'tracestate')),
    headers: headersOf(event['headers']),
    replayId: optional(event, 'replayid'),
    predecessor: predecessorOf(event),
    data: event['data'],
  };
}

type Attributes = Readonly<Record<string, unknown>>;

function parse(wire: unknown): Attributes {
  let value = wire;
  if (typeof wire === 'string') {
    try {
      value = JSON.parse(wire);
    } catch (cause) {
      throw new HoldfastError('HF_ENVELOPE_INVALID', 'The envelope is not JSON.', { cause, advice: ADVICE });
    }
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new HoldfastError('HF_ENVELOPE_INVALID', 'The envelope is not a JSON object.', { advice: ADVICE });
  }
  return value as Attributes;
}

const ADVICE = 'Only messages of Holdfast (docs/wire-format.md) belong in this queue.';

function invalid(attributeName: string, what: string): HoldfastError {
  return new HoldfastError('HF_ENVELOPE_INVALID', `The attribute ${attributeName} of the envelope ${what}.`, {
    advice: ADVICE,
    details: { attribute: attributeName },
  });
}

function isVersion(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 1;
}

function required(event: Attributes, name: string): string {
  const value = optional(event, name);
  if (value === null) throw invalid(name, 'is missing');
  return value;
}

/** CloudEvents takes null for absent, and has no empty texts. */
function optional(event: Attributes, name: string): string | null {
  const value = event[name] ?? null;
  if (value === null || (typeof value === 'string' && value !== '')) return value;
  throw invalid(name, value === '' ? 'is empty' : 'is not a text');
}

const RFC_3339 = /^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[+-]\d\d:\d\d)$/;

function timeOf(value: unknown, name: string): Date {
  const time = typeof value === 'string' && RFC_3339.test(value) ? new Date(value.toUpperCase()) : null;
  if (time === null || Number.isNaN(time.getTime())) throw invalid(name, 'is not a time (RFC 3339)');
  return time;
}

function headersOf(value: unknown): Readonly<Record<string, string>> {
  if (value === undefined || value === null) return {};
  if (
    typeof value !== 'object' ||
    Array.isArray(value) ||
    !Object.values(value).every((entry) => typeof entry === 'string')
  ) {
    throw invalid('headers', 'is not an object of texts');
  }
  return value as Readonly<Record<string, string>>;
}

function predecessorOf(event: Attributes): Predecessor | null {
  const { predecessorid: id } = event;
  if (id === undefined || id === null) return null;
  if (!isUuid(id)) throw invalid('predecessorid', 'is not a UUID');
  const known = (name: string): Date | null => (event[name] === undefined ? null : timeOf(event[name], name));
  return {
    id: id.toLowerCase(),
    at: timeOf(event['predecessorat'], 'predecessorat'),
    sentAt: known('predecessorsentat'),
    followedAt: known('sentat'),
  };
}
