/**
 * Signed envelopes: whoever can write to a broker is not thereby believed. The relay signs a message for one destination as Standard
 * Webhooks does (HMAC-SHA-256 over id, time and body), and names the key, so that keys can be replaced one side after the other. The three
 * values of the signature stand in front of the envelope, so that it is checked over the text as it came, before anything parses that.
 */
import { timingSafeEqual } from 'node:crypto';
import { badOption, refuseUnknownOptions } from '../runtime/options.ts';
import { KEY_ID, keyInUse, readKeys } from './named-keys.ts';
import { readSecret, signWebhook } from './webhook-signature.ts';

/** With which key messages are signed. */
export interface SigningOptions {
  /** Secrets by the ids of their keys (letters, digits, `.`, `_`, `-`): `whsec_` and 24 to 64 bytes in base64. */
  readonly keys: Readonly<Record<string, string>>;
  /**
   * The id of the key to sign with. Whoever reads must know it first.
   *
   * @defaultValue the only key
   */
  readonly use?: string | undefined;
}

/** By which keys a reader knows that messages come from who may send them. */
export interface SignaturesOptions {
  /** Secrets by the ids of their keys, as {@link SigningOptions} has them. Several, while one is being replaced. */
  readonly keys: Readonly<Record<string, string>>;
  /**
   * Whether a message without a signature is refused. False is for the time until all relays sign: who can write to the broker can leave
   * the signature away.
   *
   * @defaultValue true
   */
  readonly required?: boolean | undefined;
  /**
   * How many refused messages are parked at most, by all processes of the consumer together and about: each notices within a tenth of it
   * what others have parked.
   *
   * @defaultValue 10,000
   */
  readonly maxParked?: number | undefined;
  /**
   * How many bytes they have at most where they are kept. One that is larger by itself is never parked.
   *
   * @defaultValue 67,108,864 (64 MiB)
   */
  readonly maxParkedBytes?: number | undefined;
  /**
   * What becomes of a refused message beyond that. `leave`: it stays in the broker, where it was put, and is parked once there is room, for
   * which a person discards others; where order is kept, what is behind it waits. `drop`: it is acknowledged unread and counted, and lost if
   * it was not forged after all; but one that is signed with a key that is not known here, or that is only too old, is left also then.
   *
   * @defaultValue 'leave'
   */
  readonly whenFull?: 'leave' | 'drop' | undefined;
}

/** What is wrong with the signature of a message. `age`: it is right, and so old that its mark may be pruned. */
export type SignatureFault = 'unsigned' | 'key' | 'destination' | 'signature' | 'age';

/** Signs the wire of a message for a destination. Pure. */
export type SignWire = (
  wire: string,
  to: { readonly id: string; readonly destination: string },
  nowMs: number,
) => string;

/** Null: it was signed for this destination, with a key that is known, and lately enough. Pure. */
export type CheckWire = (wire: unknown, nowMs: number) => SignatureFault | null;

/** @throws HoldfastError HF_CONFIG, HF_OPTION_UNKNOWN */
export function createSigner(options: SigningOptions, where: string): SignWire {
  refuseUnknownOptions(options, ['keys', 'use'], where);
  const { id: use, key } = keyInUse(readSecrets(options.keys, where), options.use, { where, act: 'sign' });
  return (wire, { id, destination }, nowMs) => {
    const timestamp = Math.floor(nowMs / 1_000);
    const rest = `"destination":${JSON.stringify(destination)},${wire.slice(1)}`;
    const signature = signWebhook({ id, timestamp, body: `{${rest}` }, [key]);
    // Joined into one flat text, as the envelope itself is.
    return [
      `{"webhookid":"${id}","webhooktimestamp":"${timestamp}","webhooksignature":"${signature}","webhookkey":"${use}",`,
      rest,
    ].join('');
  };
}

const SIGNED =
  /^\{"webhookid":"([0-9A-Fa-f-]{36})","webhooktimestamp":"(\d{1,12})","webhooksignature":"(v1,[A-Za-z0-9+/]{43}=)","webhookkey":"([\w.-]{1,100})",/;

/** Whether somebody says that it is signed; by whom is another question. */
export function carriesSignature(wire: unknown): boolean {
  return typeof wire === 'string' && wire.startsWith('{"webhookid":"');
}

export interface CheckSettings {
  /** The queue it is read from. */
  readonly destination: string;
  /** A message that was signed longer ago is refused, in milliseconds. */
  readonly mostAgeMs: number;
}

/** @throws HoldfastError HF_CONFIG, HF_OPTION_UNKNOWN */
export function createChecker(
  { keys: given }: Pick<SignaturesOptions, 'keys'>,
  { destination, mostAgeMs }: CheckSettings,
  where: string,
): CheckWire {
  const keys = readSecrets(given, where);
  const addressed = `{"destination":${JSON.stringify(destination)},`;
  return (wire, nowMs) => {
    // An adapter that has parsed the text cannot give it back as it was signed.
    const [head = '', id = '', timestamp = '', signature = '', keyId = ''] =
      typeof wire === 'string' ? (SIGNED.exec(wire) ?? []) : [];
    if (head === '') return 'unsigned';
    const key = keys.get(keyId);
    if (key === undefined) return 'key';
    const body = `{${(wire as string).slice(head.length)}`;
    const expected = signWebhook({ id, timestamp: Number(timestamp), body }, [key]);
    if (!timingSafeEqual(Buffer.from(expected), Buffer.from(signature))) return 'signature';
    if (!body.startsWith(addressed)) return 'destination';
    return nowMs - Number(timestamp) * 1_000 > mostAgeMs ? 'age' : null;
  };
}

/** Throws HF_CONFIG, which shows no secret. */
function readSecrets(given: Readonly<Record<string, string>>, where: string): ReadonlyMap<string, Buffer> {
  return readKeys(given, { where, example: "keys: { '2026-01': 'whsec_…' }" }, (id, secret) => {
    if (!KEY_ID.test(id))
      throw badOption(
        `${where}.keys`,
        `has the id ${JSON.stringify(id)}`,
        "Give 1 to 100 letters, digits, '.', '_' or '-'.",
      );
    return readSecret(secret, `${where}.keys['${id}']`);
  });
}
