/**
 * Everything that can be checked and encoded about a message before it is handed to a database or a broker.
 */
import { HoldfastError } from '../errors.ts';
import type { PayloadCodec } from '../message/codec.ts';
import { messageId } from '../message/id.ts';
import { placeOfPayload } from '../message/open-envelope.ts';
import { assertBytes, type EncodeOptions } from '../message/payload.ts';
import { encodeForSend, type MessageType, type PayloadInput } from '../message/message-type.ts';
import { isTracing, type TracedSpan } from '../runtime/telemetry.ts';
import { laneOf } from './lane.ts';
import { checkSendOptions, type Due, type SendOptions } from './send-options.ts';
import { startSend, tracedOptions } from './send-span.ts';

/** The size limit of a payload unless another is configured, in bytes. */
export const DEFAULT_MAX_BYTES = 1_048_576;

/** Checked and encoded; nothing about it can fail any more but the statement. */
export interface PreparedMessage {
  readonly id: string;
  readonly topic: string;
  readonly key: string | null;
  readonly lane: number;
  /** JSON text. */
  readonly payload: string;
  /** JSON text. */
  readonly attributes: string;
  readonly due: Due | undefined;
}

interface GivenMessage<Type extends MessageType> {
  readonly type: Type;
  readonly payload: PayloadInput<Type>;
  readonly options?: SendOptions | undefined;
}

interface Preparation {
  readonly source: string | undefined;
  readonly maxBytes: number;
  /** Names the call in errors. */
  readonly where: string;
  /** Makes the payload unreadable where it is kept; null: it is not. */
  readonly codec?: PayloadCodec | null | undefined;
  /** What the message is sent by, when that is not what runs just now: the span of a run. */
  readonly within?: TracedSpan | null | undefined;
}

/**
 * Rejects with the error of whatever is wrong with it. When somebody traces, the message gets a span of its own, whose context it carries.
 */
export async function prepareMessage<Type extends MessageType>(
  message: GivenMessage<Type>,
  { source, maxBytes, where, codec = null, within = null }: Preparation,
): Promise<PreparedMessage> {
  const { type, payload, options = {} } = message;
  if (typeof type?.keyOf !== 'function') {
    throw new HoldfastError('HF_MESSAGE_TYPE', `${where}: the message type is missing.`, {
      advice: "Declare it with message('topic', { schema }).",
    });
  }
  const span = isTracing() ? startSend(type.topic, options, within) : null;
  try {
    const checked = checkSendOptions(
      span === null ? options : tracedOptions(options, span),
      type.version,
      source,
      where,
    );
    const encoded = encodeForSend(type, payload, { maxBytes, key: checked.key });
    const { text, key } = encoded instanceof Promise ? await encoded : encoded;
    const id = checked.id ?? messageId();
    span?.set({ 'messaging.message.id': id });
    return {
      id,
      topic: type.topic,
      key,
      lane: laneOf(key ?? id),
      payload: codec === null ? text : encrypted(text, { id, topic: type.topic }, codec, { maxBytes, where }),
      attributes: checked.attributes,
      due: checked.due,
    };
  } catch (error) {
    span?.fail(error);
    throw error;
  } finally {
    span?.end();
  }
}

/** The message as write_outbox and schedule_messages take it. Joined, not serialised again: payload and attributes are JSON texts already. */
export function messageText({ id, topic, key, lane, payload, attributes, due }: PreparedMessage): string {
  const fields = JSON.stringify({ id, topic, key, lane, ...due });
  return `${fields.slice(0, -1)},"payload":${payload},"headers":${attributes}}`;
}

/** What is stored and sent counts. */
function encrypted(
  text: string,
  message: { readonly id: string; readonly topic: string },
  codec: PayloadCodec,
  limits: EncodeOptions,
): string {
  const value = codec.encode(text, placeOfPayload(message));
  assertBytes(value, limits);
  return value;
}
