/**
 * Everything that can be checked and encoded about a message before it is handed to a database or a broker.
 */
import { HoldfastError } from '../errors.ts';
import { messageId } from '../message/id.ts';
import { encodeForSend, type MessageType, type PayloadInput } from '../message/message-type.ts';
import { laneOf } from './lane.ts';
import { checkSendOptions, type Due, type SendOptions } from './send-options.ts';

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

/** Rejects with the error of whatever is wrong with it. `where` names the call in errors. */
export async function prepareMessage<Type extends MessageType>(
  message: { readonly type: Type; readonly payload: PayloadInput<Type>; readonly options?: SendOptions | undefined },
  {
    source,
    maxBytes,
    where,
  }: { readonly source: string | undefined; readonly maxBytes: number; readonly where: string },
): Promise<PreparedMessage> {
  const { type, payload, options = {} } = message;
  if (typeof type?.keyOf !== 'function') {
    throw new HoldfastError('HF_MESSAGE_TYPE', `${where}: the message type is missing.`, {
      advice: "Declare it with message('topic', { schema }).",
    });
  }
  const checked = checkSendOptions(options, type.version, source, where);
  const encoded = encodeForSend(type, payload, { maxBytes, key: checked.key });
  const { text, key } = encoded instanceof Promise ? await encoded : encoded;
  const id = checked.id ?? messageId();
  return {
    id,
    topic: type.topic,
    key,
    lane: laneOf(key ?? id),
    payload: text,
    attributes: checked.attributes,
    due: checked.due,
  };
}

/** The message as write_outbox and schedule_messages take it. Joined, not serialised again: payload and attributes are JSON texts already. */
export function messageText({ id, topic, key, lane, payload, attributes, due }: PreparedMessage): string {
  const fields = JSON.stringify({ id, topic, key, lane, ...due });
  return `${fields.slice(0, -1)},"payload":${payload},"headers":${attributes}}`;
}
