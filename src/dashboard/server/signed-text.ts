/**
 * Texts that a browser keeps for us and cannot alter: a body and its signature.
 */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';

export interface TextSigner {
  /** Fit for a cookie. */
  sign(text: string): string;
  /** The text, when it was signed with the same key and for the same purpose; else null. */
  read(signed: string | null): string | null;
}

export interface SignerOptions {
  /** Of several processes that read each other's texts the same; undefined: one of this process. */
  readonly key: string | undefined;
  /** What was signed for another one is not taken. */
  readonly purpose: string;
}

/** Cookies are sent with each request, and a browser keeps no longer ones. */
const MOST_CHARACTERS = 4_000;

export function createTextSigner({ key, purpose }: SignerOptions): TextSigner {
  const secret = createHmac('sha256', key ?? randomBytes(32))
    .update(purpose)
    .digest();
  const signatureOf = (body: string): Buffer => createHmac('sha256', secret).update(body).digest();
  return {
    sign(text) {
      const body = Buffer.from(text).toString('base64url');
      return `${body}.${signatureOf(body).toString('base64url')}`;
    },
    read(signed) {
      const [body = '', signature = '', ...rest] = (signed ?? '').split('.');
      if (signed === null || signed.length > MOST_CHARACTERS || rest.length > 0) return null;
      const given = Buffer.from(signature, 'base64url');
      const own = signatureOf(body);
      if (given.length !== own.length || !timingSafeEqual(given, own)) return null;
      return Buffer.from(body, 'base64url').toString();
    },
  };
}
