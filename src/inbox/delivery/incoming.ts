/**
 * A delivery as the consumer sees it: decoded, or with the reason why it cannot be decoded and enough to park it.
 */
import { createHash } from 'node:crypto';
import { inspect } from 'node:util';
import { decodeEnvelope, type Envelope } from '../../message/envelope.ts';
import { isUuid } from '../../message/id.ts';
import type { TracedSpan } from '../../runtime/telemetry.ts';
import { assertKey, assertStorableText, isStorableText, MAX_KEY_BYTES } from '../../message/text.ts';

export interface Incoming {
  readonly id: string;
  readonly topic: string;
  readonly key: string | null;
  /** null when `error` tells why. */
  readonly envelope: Envelope | null;
  readonly error: Error | null;
  readonly wire: unknown;
  /** Of this delivery. Absent: nobody traces. */
  readonly span?: TracedSpan;
}

/** A delivery that could be decoded. */
export type ReadableIncoming = Incoming & { readonly envelope: Envelope };

export function isReadable(incoming: Incoming): incoming is ReadableIncoming {
  return incoming.envelope !== null;
}

export function readIncoming(wire: unknown): Incoming {
  try {
    const envelope = decodeEnvelope(wire);
    assertStorableText(envelope.topic, 'The topic of the envelope');
    assertKey(envelope.key, 'the envelope');
    return { id: envelope.id, topic: envelope.topic, key: envelope.key, envelope, error: null, wire };
  } catch (error) {
    return { ...salvage(wire), envelope: null, error: error instanceof Error ? error : new Error(String(error)), wire };
  }
}

/**
 * A message whose signature is not accepted. Nothing that it says of itself counts: under the id that it claims it would be taken for the
 * message that really has that id, which would then be dropped as a duplicate, and under its key it would hold that up.
 */
export function refuseIncoming(wire: unknown, error: Error): Incoming {
  return { id: uuidOf(wireText(wire)), topic: salvage(wire).topic, key: null, envelope: null, error, wire };
}

/** What can be told about a message that cannot be read. Without an id of its own it gets one from its bytes, so that copies meet. */
function salvage(wire: unknown): { readonly id: string; readonly topic: string; readonly key: string | null } {
  const event = asObject(wire);
  const { id, type, subject } = event as { readonly id?: unknown; readonly type?: unknown; readonly subject?: unknown };
  const topic =
    typeof type === 'string' && type !== '' && type.length <= 255 && isStorableText(type) ? type : 'unreadable';
  const key =
    typeof subject === 'string' &&
    subject !== '' &&
    Buffer.byteLength(subject) <= MAX_KEY_BYTES &&
    isStorableText(subject)
      ? subject
      : null;
  return { id: isUuid(id) ? id.toLowerCase() : uuidOf(wireText(wire)), topic, key };
}

function asObject(wire: unknown): object {
  let value = wire;
  if (typeof wire === 'string') {
    try {
      value = JSON.parse(wire);
    } catch {
      return {};
    }
  }
  return typeof value === 'object' && value !== null ? value : {};
}

/**
 * The time of a wire as a text that sorts as time does: relays write UTC, to the microsecond, without trailing zeros. An Envelope has
 * milliseconds only. null for a time written in another way.
 */
export function sentAt(wire: unknown): string | null {
  const { time } = asObject(wire) as { readonly time?: unknown };
  return typeof time === 'string' && /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/.test(time) ? time.slice(0, -1) : null;
}

/** The wire as it came. When the adapter has parsed it, it is turned into text again. */
export function wireText(wire: unknown): string {
  if (typeof wire === 'string') return wire;
  try {
    return JSON.stringify(wire) ?? 'null';
  } catch {
    // Too deep for the stack, or not from JSON at all: it cannot be read again, but it can be looked at.
    return inspect(wire, { depth: 10, maxArrayLength: 1_000, maxStringLength: 100_000 });
  }
}

/** UUID version 8 (RFC 9562: custom) of a text. */
function uuidOf(text: string): string {
  const hex = createHash('sha256').update(text).digest('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}

/** A wire that the type jsonb cannot hold (not JSON at all, NUL, numbers that are too large) is stored as an object of this one property. */
const PACKED = 'holdfastbase64';

export function packWire(wire: unknown): string {
  return JSON.stringify({ [PACKED]: Buffer.from(wireText(wire)).toString('base64') });
}

/** How large a packed wire is as jsonb, at most: compressed it may be less. */
export function packedBytes(wire: unknown): number {
  return PACKED_AROUND + Math.ceil(Buffer.byteLength(wireText(wire)) / 3) * 4;
}

/** The name of the property, and what jsonb notes about it. */
const PACKED_AROUND = 48;

const PACKED_WIRE = new RegExp(`^\\{\\s*"${PACKED}"\\s*:\\s*"([A-Za-z0-9+/=]*)"\\s*\\}$`);

/** The wire from a stored envelope, which was read as text: parsed, it would have lost what JavaScript's numbers cannot hold. */
export function unpackWire(stored: string): string {
  const packed = PACKED_WIRE.exec(stored)?.[1];
  return packed === undefined ? stored : Buffer.from(packed, 'base64').toString();
}
