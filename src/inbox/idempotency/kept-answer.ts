/**
 * What is kept of a request and its answer under an idempotency key. With a codec neither can be read, and each is bound to its key: one that
 * was moved under another does not open. The fingerprint as well, since a hash tells who guesses a short request that he was right. Pure.
 */
import { openText, type PayloadCodec } from '../../message/codec.ts';
import { isEncrypted } from '../../message/encrypted-value.ts';

/** By what something is kept, and under which key. */
export interface Keeping {
  readonly codec: PayloadCodec | null;
  readonly key: string;
}

/** @param answer JSON text */
export function keptAnswer({ codec, key }: Keeping, answer: string): string {
  return codec === null ? answer : codec.encode(answer, placeOf(key, 'answer'));
}

export function keptFingerprint({ codec, key }: Keeping, fingerprint: string): string {
  return codec === null ? fingerprint : codec.encode(JSON.stringify(fingerprint), placeOf(key, 'request'));
}

/**
 * The answer that was given.
 *
 * @param kept JSON text
 * @throws HoldfastError HF_PAYLOAD_ENCRYPTED
 */
export function openAnswer({ codec, key }: Keeping, kept: string): unknown {
  const value: unknown = JSON.parse(kept);
  const text = openText(value, codec, placeOf(key, 'answer'));
  return text === null ? value : (JSON.parse(text) as unknown);
}

/**
 * Whether a key stands for the request of this fingerprint.
 *
 * @throws HoldfastError HF_PAYLOAD_ENCRYPTED
 */
export function isSameRequest({ codec, key }: Keeping, kept: string, fingerprint: string): boolean {
  if (kept === fingerprint) return true;
  const text = openText(encryptedIn(kept), codec, placeOf(key, 'request'));
  return text !== null && JSON.parse(text) === fingerprint;
}

/** Null for the fingerprint of somebody, whatever it looks like. */
function encryptedIn(kept: string): unknown {
  if (!kept.startsWith('{"$enc":')) return null;
  try {
    const value: unknown = JSON.parse(kept);
    return isEncrypted(value) ? value : null;
  } catch {
    return null;
  }
}

function placeOf(key: string, what: 'answer' | 'request'): string {
  return `idempotency:${key}:${what}`;
}
