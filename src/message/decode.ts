/**
 * From a received envelope to the payload a handler gets: older versions raised one by one, then validated by the schema.
 * Used by consumers.
 */
import { HoldfastError } from '../errors.ts';
import type { Envelope } from './envelope.ts';
import type { MessageType } from './message-type.ts';
import { validate } from './validate.ts';

/**
 * @throws HoldfastError HF_MESSAGE_VERSION when the version is newer than the type's, or older than its upcasts reach;
 * HF_PAYLOAD_INVALID when an upcast fails or the schema refuses
 */
export async function decodePayload<Output>(
  type: MessageType<string, unknown, Output>,
  envelope: Pick<Envelope, 'id' | 'version' | 'data'>,
): Promise<Output> {
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
  let payload = envelope.data;
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
  const validated = validate(type.schema, payload, `${type.topic} ${id}`);
  return validated instanceof Promise ? validated : validated.value;
}
