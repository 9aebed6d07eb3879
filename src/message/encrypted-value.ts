/**
 * What stands in the place of a value that is encrypted, and the words by which people are told of it: which key opens it is all that can be
 * said without that key. Pure.
 */

/** What stands in the place of a value. */
export interface EncryptedValue {
  /** The id of its key. */
  readonly $enc: string;
  /** What else it takes to open it, such as a nonce. */
  readonly iv?: unknown;
  readonly data?: unknown;
}

export function isEncrypted(value: unknown): value is EncryptedValue {
  return (
    typeof value === 'object' &&
    value !== null &&
    '$enc' in value &&
    typeof value.$enc === 'string' &&
    Object.keys(value).every((name) => ENCRYPTED_MEMBERS.has(name))
  );
}

/** Of what the codec that comes with Holdfast writes. Another object with a member `$enc` is a payload like any other. */
const ENCRYPTED_MEMBERS: ReadonlySet<string> = new Set(['$enc', 'iv', 'data']);

/** 'encrypted (key 2026-01)'. */
export function encryptedWords({ $enc }: EncryptedValue): string {
  return `encrypted (key ${$enc.slice(0, 100)})`;
}

/** A replacer of JSON.stringify that has words in the place of what is encrypted. */
export function tellEncrypted(_name: string, value: unknown): unknown {
  return isEncrypted(value) ? encryptedWords(value) : value;
}

/** What an error says, as it is recorded: of one that is encrypted, by which key. */
export function messageOfError(error: { readonly message: string }): string {
  const { encrypted } = error as { readonly encrypted?: unknown };
  return isEncrypted(encrypted) ? encryptedWords(encrypted) : error.message;
}

/** The text of an error as parked messages keep it. */
export function parkedErrorText(text: string): string {
  return text.replace(/encrypted \{"\$enc":"([\w.-]{1,100})".*\}$/s, 'encrypted (key $1)');
}
