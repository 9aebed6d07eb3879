/** The messages of a run, made ready for the outbox; and the outcomes of its calls as JSON. */
import type { PayloadCodec } from '../../message/codec.ts';
import { encodePayload } from '../../message/payload.ts';
import type { MessageType } from '../../message/message-type.ts';
import { laneOf } from '../../outbox/lane.ts';
import { messageText, prepareMessage } from '../../outbox/prepare.ts';
import type { TracedSpan } from '../../runtime/telemetry.ts';

/** What is needed to know of the run. */
export interface Sender {
  readonly id: string;
  readonly settings: {
    /** Most UTF-8 bytes of one value as JSON. */
    readonly maxBytes: number;
    readonly codec?: PayloadCodec | null | undefined;
  };
  /** What its messages are sent by; null: nobody traces. */
  readonly span?: TracedSpan | null;
}

export interface SagaMessage {
  readonly type: MessageType;
  readonly payload: unknown;
  /** By which participants answer; absent: nobody does. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** JSON text for write_outbox. Rejects with what is wrong with the payload. */
export async function prepareSagaMessage(sender: Sender, { type, payload, headers }: SagaMessage): Promise<string> {
  const options = { correlationId: sender.id, ...(headers === undefined ? {} : { headers }) };
  const prepared = await prepareMessage(
    { type, payload, options },
    {
      source: undefined,
      maxBytes: sender.settings.maxBytes,
      where: type.topic,
      codec: sender.settings.codec,
      within: sender.span,
    },
  );
  // In order by run, where the type says nothing else: a compensation then follows its command.
  return messageText(prepared.key === null ? { ...prepared, key: sender.id, lane: laneOf(sender.id) } : prepared);
}

/** JSON of a value that a step or a reply gave; undefined when it gave none. Throws HF_PAYLOAD_NOT_JSON and the like. */
export function encodeOutput(value: unknown, maxBytes: number, where: string): string | undefined {
  return value === undefined ? undefined : encodePayload(value, { maxBytes, where });
}
