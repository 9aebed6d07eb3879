/**
 * Turns a received envelope into the payload that a handler gets. Payloads of older versions are raised version by version (upcast);
 * then the schema validates the result.
 */
import { HoldfastError } from '../errors.ts';
import { cannotOpen } from './codec.ts';
import { isEncrypted } from './encrypted-value.ts';
import type { Envelope } from './envelope.ts';
import { altersNumbers, memberText, parseExact } from './exact-json.ts';
import { holdsInfinity } from './json-limits.ts';
import type { MessageType } from './message-type.ts';
import { validate } from './validate.ts';

/**
 * @param wire the envelope as it came, for types that ask for exact numbers: `data` has lost them
 * @throws HoldfastError HF_MESSAGE_VERSION when the version is newer than the type's, or older than its upcasts reach;
 * HF_PAYLOAD_INVALID when an upcast fails, the schema refuses, or a number is infinite to JavaScript
 * @example
 * const envelope = decodeEnvelope('{"specversion":"1.0"}');
 * const order = await decodePayload(OrderPlaced, envelope);
 * console.log(order.total);
 */
export async function decodePayload<Output>(
  type: MessageType<string, unknown, Output>,
  envelope: Pick<Envelope, 'id' | 'version' | 'data'>,
  wire?: unknown,
): Promise<Output> {
  const payload = upcastPayload(type, envelope, wire);
  const validated = validate(type.schema, payload, `${type.topic} ${envelope.id}`);
  return validated instanceof Promise ? validated : validated.value;
}

/** The same, of a payload that was kept by itself, as JSON text. */
export async function decodePayloadText<Output>(
  type: MessageType<string, unknown, Output>,
  envelope: Pick<Envelope, 'id' | 'version'>,
  text: string,
): Promise<Output> {
  return decodePayload(type, { ...envelope, data: JSON.parse(text) as unknown }, `{"data":${text}}`);
}

/** The payload as it stands in the envelope, as JSON text, when JSON.parse would alter a number of it; otherwise undefined. */
export function exactText(wire: unknown): string | undefined {
  return typeof wire === 'string' && altersNumbers(wire) ? memberText(wire, 'data') : undefined;
}

/** The payload as JSON text, with the numbers that stand in the envelope; where an adapter has parsed that, with what it left of them. */
export function payloadText({ data }: Pick<Envelope, 'data'>, wire: unknown): string {
  return exactText(wire) ?? JSON.stringify(data) ?? 'null';
}

/**
 * The payload in the type's own version, not validated. `wire` as above.
 * @throws HoldfastError HF_MESSAGE_VERSION, HF_PAYLOAD_INVALID when an upcast fails
 */
export function upcastPayload(
  type: MessageType,
  envelope: Pick<Envelope, 'id' | 'version' | 'data'>,
  wire?: unknown,
): unknown {
  const { version, id } = envelope;
  const details = { topic: type.topic, id, version, known: type.version };
  if (version > type.version) {
    throw new HoldfastError(
      'HF_MESSAGE_VERSION',
      `${type.topic}: message ${id} has version ${version}; this process knows versions up to ${type.version}.`,
      {
        advice: 'Deploy consumers before producers when a version is raised; the message can be retried then.',
        details,
      },
    );
  }
  if (isEncrypted(envelope.data)) throw cannotOpen('no codec', envelope.data.$enc);
  let payload = numbersOf(type, envelope.data, wire, `${type.topic} ${id}`);
  for (let from = version; from < type.version; from += 1) {
    const upcast = type.upcasts.get(from);
    if (upcast === undefined) {
      throw new HoldfastError(
        'HF_MESSAGE_VERSION',
        `${type.topic}: message ${id} has version ${version}, and there is no upcast from version ${from}.`,
        {
          advice: `Declare upcast: { ${from}: (old) => … } in message('${type.topic}').`,
          details,
        },
      );
    }
    try {
      payload = upcast(payload);
    } catch (cause) {
      throw new HoldfastError(
        'HF_PAYLOAD_INVALID',
        `${type.topic}: the upcast from version ${from} failed for message ${id}.`,
        { cause, details },
      );
    }
  }
  return payload;
}

function numbersOf(type: MessageType, data: unknown, wire: unknown, where: string): unknown {
  const text = typeof wire === 'string' ? wire : undefined;
  const exact = type.numbers === null ? undefined : exactText(wire);
  if (type.numbers !== null && exact !== undefined) return parseExact(exact, type.numbers);
  if (!holdsInfinity(data, text)) return data;
  throw new HoldfastError(
    'HF_PAYLOAD_INVALID',
    `${where}: a number in the payload is beyond what JavaScript can hold.`,
    {
      advice: "Declare the message type with numbers: 'text', which gives such numbers as they are written.",
    },
  );
}
