/**
 * The port by which values are made unreadable where they are kept: payloads, inputs and results, texts of errors. What is kept stays JSON: in
 * the place of a value stands an object that says by which key it can be opened. Each is bound to its place, so that one that was moved to
 * another does not open. createAesGcmCodec is the codec that comes with Holdfast.
 */
import { HoldfastError } from '../errors.ts';
import { isEncrypted, type EncryptedValue } from './encrypted-value.ts';

/** Makes JSON texts unreadable, and readable again. Synchronous: it is called where commits are put together. */
export interface PayloadCodec {
  /** Whether a message whose payload is not encrypted is refused where it is read. */
  readonly required: boolean;
  /**
   * JSON text of an EncryptedValue. `place` is what it is bound to: an opaque text, which `decode` is given as well. `repeatable`: the same text
   * at the same place has to become the same, since the database compares what runs of one key were started with.
   */
  encode(text: string, place: string, repeatable?: boolean): string;
  /** The text that was encoded. Throws HF_PAYLOAD_ENCRYPTED when the key is not known, or value or place are others. */
  decode(value: EncryptedValue, place: string): string;
}

/**
 * The JSON text that stands for a value as it was kept; null when it is not encrypted.
 * @param codec null: nothing can be opened here
 * @throws HoldfastError HF_PAYLOAD_ENCRYPTED
 */
export function openText(value: unknown, codec: PayloadCodec | null, place: string): string | null {
  if (!isEncrypted(value)) return null;
  if (codec === null) throw cannotOpen('no codec', value.$enc);
  return codec.decode(value, place);
}

/** Why a value cannot be opened. `plain`: it is not encrypted, and has to be. */
export type WhyClosed = 'no codec' | 'key' | 'altered' | 'plain';

const WHAT: Readonly<Record<WhyClosed, (key: string) => string>> = {
  'no codec': (key) => `A value is encrypted (key ${key}), and nothing was given here to open it.`,
  key: (key) => `A value is encrypted with the key ${key}, which is not known here.`,
  altered: (key) =>
    `A value that is encrypted with the key ${key} does not open: it was altered, or moved from another place.`,
  plain: () => 'A value is not encrypted, and is taken here only if it is.',
};

const ADVICE: Readonly<Record<WhyClosed, string>> = {
  'no codec': 'Give codec: createAesGcmCodec({ keys }) with that key.',
  key: 'Give that key to all who read before anybody writes with it, and keep it until nothing is left of what was written with it.',
  altered: 'Find out who writes to the database or the broker. After an edit by hand, write the whole value.',
  plain: 'Give whoever writes it the codec, or take `required` away until all do.',
};

export function cannotOpen(why: WhyClosed, key: string, cause?: unknown): HoldfastError {
  return new HoldfastError('HF_PAYLOAD_ENCRYPTED', WHAT[why](key.slice(0, 100)), {
    advice: ADVICE[why],
    details: { why, ...(key === '' ? {} : { key: key.slice(0, 100) }) },
    ...(cause === undefined ? {} : { cause }),
  });
}
