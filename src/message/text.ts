/**
 * Texts that PostgreSQL can store: no NUL, no lone surrogate. For everything that is not a payload, such as keys and headers.
 */
import { HoldfastError } from '../errors.ts';

/** Keys are index columns: PostgreSQL refuses index rows above about 2,700 bytes. */
export const MAX_KEY_BYTES = 1024;

/** With the flag u, pairs are one character, so this finds lone surrogates only. */
const LONE_SURROGATE = /\p{Surrogate}/u;

export function isStorableText(text: string): boolean {
  return !text.includes('\0') && !LONE_SURROGATE.test(text);
}

/** @throws HoldfastError HF_PAYLOAD_TEXT; `what` names the text, such as `the key`. */
export function assertStorableText(text: string, what: string): void {
  if (isStorableText(text)) return;
  throw new HoldfastError(
    'HF_PAYLOAD_TEXT',
    `${what} holds ${text.includes('\0') ? 'NUL (U+0000)' : 'a lone surrogate'}, which PostgreSQL cannot store.`,
    {
      advice: 'Remove it, or encode binary data as base64.',
    },
  );
}

/**
 * Checks a message key; null means "no order wanted" and is fine.
 * @throws HoldfastError HF_KEY_EMPTY, HF_PAYLOAD_TEXT, HF_PAYLOAD_TOO_LARGE (over 1024 bytes), HF_MESSAGE_TYPE (no text)
 */
export function assertKey(key: string | null, where: string): void {
  if (key === null) return;
  if (typeof key !== 'string') {
    throw new HoldfastError('HF_MESSAGE_TYPE', `${where}: the key is of type ${typeof key}.`, {
      advice: 'A key is a text, or null for a message without order.',
    });
  }
  if (key === '') {
    throw new HoldfastError('HF_KEY_EMPTY', `${where}: the key is empty.`, {
      advice: 'Give null for a message without order; an empty text would put all of them in one line.',
    });
  }
  assertStorableText(key, `${where}: the key`);
  if (Buffer.byteLength(key) > MAX_KEY_BYTES) {
    throw new HoldfastError(
      'HF_PAYLOAD_TOO_LARGE',
      `${where}: the key has ${Buffer.byteLength(key)} bytes; the limit is ${MAX_KEY_BYTES}.`,
      {
        advice: 'Use an id or a hash as the key.',
        details: { limit: MAX_KEY_BYTES },
      },
    );
  }
}
