/**
 * AES-256-GCM for values: a key by its id, a nonce for each value, and the place of the value as additional data.
 */
import { createCipheriv, createDecipheriv, createHmac, randomBytes } from 'node:crypto';
import { badOption, refuseUnknownOptions } from '../runtime/options.ts';
import { cannotOpen, type PayloadCodec } from './codec.ts';
import type { EncryptedValue } from './encrypted-value.ts';
import { KEY_ID, keyInUse, readKeys } from './named-keys.ts';

/** Options of {@link createAesGcmCodec}. */
export interface AesGcmOptions {
  /** 32 bytes in base64, by the ids of the keys (letters, digits, `.`, `_`, `-`): `openssl rand -base64 32`. */
  readonly keys: Readonly<Record<string, string>>;
  /**
   * The id of the key to encrypt with. All others are for reading what was written with them.
   *
   * @defaultValue the only key
   */
  readonly use?: string | undefined;
  /**
   * Whether a message whose payload is not encrypted is refused where it is read. Only when nothing is left of what was sent before.
   *
   * @defaultValue false
   */
  readonly required?: boolean | undefined;
}

interface Key {
  readonly secret: Buffer;
  /** For nonces that follow from what they are for. */
  readonly nonces: Buffer;
}

const ALGORITHM = 'aes-256-gcm';
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/**
 * A codec for payloads, inputs, results and texts of errors.
 *
 * @throws HoldfastError HF_CONFIG, HF_OPTION_UNKNOWN
 * @example
 * const codec = createAesGcmCodec({ keys: { '2026-01': process.env.PAYLOAD_KEY ?? '' } });
 * const outbox = createOutbox({ codec });
 * const worker = createWorker({ database, sagas: [placeOrder], codec });
 */
export function createAesGcmCodec(options: AesGcmOptions): PayloadCodec {
  const where = 'createAesGcmCodec';
  refuseUnknownOptions(options, ['keys', 'use', 'required'], where);
  const keys = readAesKeys(options.keys, where);
  const { id: use, key: own } = keyInUse(keys, options.use, { where, act: 'encrypt' });
  return {
    required: options.required ?? false,
    encode(text, place, repeatable = false) {
      const iv = repeatable ? nonceOf(own, text, place) : randomBytes(NONCE_BYTES);
      const cipher = createCipheriv(ALGORITHM, own.secret, iv);
      cipher.setAAD(placed(use, place));
      const data = Buffer.concat([cipher.update(text, 'utf8'), cipher.final(), cipher.getAuthTag()]);
      return `{"$enc":"${use}","iv":"${iv.toString('base64')}","data":"${data.toString('base64')}"}`;
    },
    decode(value, place) {
      const key = keys.get(value.$enc);
      if (key === undefined) throw cannotOpen('key', value.$enc);
      return decrypt(value, key, place);
    },
  };
}

function decrypt({ $enc, iv, data }: EncryptedValue, { secret }: Key, place: string): string {
  try {
    const sealed = Buffer.from(String(data), 'base64');
    const decipher = createDecipheriv(ALGORITHM, secret, Buffer.from(String(iv), 'base64'), {
      authTagLength: TAG_BYTES,
    });
    decipher.setAAD(placed($enc, place));
    decipher.setAuthTag(sealed.subarray(-TAG_BYTES));
    return Buffer.concat([decipher.update(sealed.subarray(0, -TAG_BYTES)), decipher.final()]).toString('utf8');
  } catch (cause) {
    throw cannotOpen('altered', $enc, cause);
  }
}

function placed(key: string, place: string): Buffer {
  return Buffer.from(`holdfast:1:${key}:${place}`);
}

/** The same for the same text at the same place, and otherwise another one but by a chance of 2^-96. */
function nonceOf({ nonces }: Key, text: string, place: string): Buffer {
  const mac = createHmac('sha256', nonces)
    .update(`${Buffer.byteLength(place)}:${place}`)
    .update(text)
    .digest();
  return mac.subarray(0, NONCE_BYTES);
}

/** Throws HF_CONFIG, which shows no key. */
function readAesKeys(given: Readonly<Record<string, string>>, where: string): ReadonlyMap<string, Key> {
  return readKeys(given, { where, example: "keys: { '2026-01': process.env.PAYLOAD_KEY }" }, (id, text) => {
    const secret = Buffer.from(typeof text === 'string' ? text : '', 'base64');
    if (!KEY_ID.test(id) || secret.length !== 32)
      throw badOption(
        `${where}.keys`,
        `has ${JSON.stringify(id)}, which is no id, or no key of 32 bytes in base64`,
        'Make one by: openssl rand -base64 32.',
      );
    return { secret, nonces: createHmac('sha256', secret).update('holdfast nonces').digest() };
  });
}
