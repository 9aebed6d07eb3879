/**
 * The payload of a message, encrypted for the message it is in: made so by the writer, opened where a handler reads it.
 */
import { cannotOpen, openText, type PayloadCodec } from './codec.ts';
import type { Envelope } from './envelope.ts';

/** What a payload is bound to. */
export function placeOfPayload({ id, topic }: { readonly id: string; readonly topic: string }): string {
  return `message:${id}:${topic}`;
}

export interface OpenedEnvelope {
  readonly envelope: Envelope;
  /** As the envelope came, or what stands for it: JSON text with the payload as `data`. */
  readonly wire: unknown;
}

/**
 * An envelope whose payload can be read.
 * @throws HoldfastError HF_PAYLOAD_ENCRYPTED
 */
export function openEnvelope(codec: PayloadCodec, envelope: Envelope, wire: unknown): OpenedEnvelope {
  const text = openText(envelope.data, codec, placeOfPayload(envelope));
  if (text === null) {
    if (codec.required) throw cannotOpen('plain', '');
    return { envelope, wire };
  }
  return { envelope: { ...envelope, data: JSON.parse(text) as unknown }, wire: `{"data":${text}}` };
}
