/**
 * Environment over configuration file: by which keys messages are signed, replies checked, and values encrypted. These keys have no flag, since every user of
 * a machine can read the flags of its processes.
 */
import { HoldfastError } from '../../errors.ts';
import { createAesGcmCodec } from '../../message/aes-gcm-codec.ts';
import type { PayloadCodec } from '../../message/codec.ts';
import type { SignaturesOptions, SigningOptions } from '../../message/signing.ts';
import type { HoldfastConfig } from '../../operations/config.ts';

export const SIGNING_KEYS = 'HOLDFAST_SIGNING_KEYS';
export const SIGNATURE_KEYS = 'HOLDFAST_SIGNATURE_KEYS';
export const PAYLOAD_KEYS = 'HOLDFAST_PAYLOAD_KEYS';

type Environment = Readonly<Record<string, string | undefined>>;

/** What subscriptions sign with that do not say so themselves: of several keys the first. Throws HF_CONFIG. */
export function signingOf(config: HoldfastConfig, env: Environment): SigningOptions | undefined {
  const keys = keysIn(env, SIGNING_KEYS);
  if (keys === null) return config.signing;
  const [use] = Object.keys(keys);
  return { keys, ...(use === undefined ? {} : { use }) };
}

/** By which values of runs are made unreadable: of several keys with the first. Throws HF_CONFIG. */
export function codecOf(config: HoldfastConfig, env: Environment): PayloadCodec | undefined {
  const keys = keysIn(env, PAYLOAD_KEYS);
  if (keys === null) return config.codec;
  const [use] = Object.keys(keys);
  return createAesGcmCodec({ keys, ...(use === undefined ? {} : { use }) });
}

/** What replies are checked by. Throws HF_CONFIG. */
export function signaturesOf(own: SignaturesOptions | undefined, env: Environment): SignaturesOptions | undefined {
  const keys = keysIn(env, SIGNATURE_KEYS);
  return keys === null ? own : { ...own, keys };
}

/** `ID=SECRET`, divided by blanks. Null: there is no such variable. The error shows no secret. */
function keysIn(env: Environment, variable: string): Readonly<Record<string, string>> | null {
  const parts = (env[variable] ?? '').split(/\s+/).filter((part) => part !== '');
  if (parts.length === 0) return null;
  return Object.fromEntries(
    parts.map((part) => {
      const at = part.indexOf('=');
      if (at > 0) return [part.slice(0, at), part.slice(at + 1)] as const;
      throw new HoldfastError('HF_CONFIG', `${variable} has a part that is no key.`, {
        advice: "Write ID=KEY, several with blanks between: '2026-01=…'.",
      });
    }),
  );
}
