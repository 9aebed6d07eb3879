/**
 * The header Idempotency-Key of a request, and the key under which its answer is stored. Pure.
 */
import { createHash } from 'node:crypto';
import { HoldfastError } from '../../errors.ts';
import { fingerprintOf } from '../../inbox/idempotency/fingerprint.ts';

/** A request, as far as its idempotency key is concerned. */
export interface IdempotentRequest {
  readonly method: string;
  /** With or without the host. The path is part of what a key stands for; the query, of what must not change. */
  readonly url: string;
  /** The header Idempotency-Key, as it came. */
  readonly key: string | readonly string[] | null | undefined;
  /**
   * Whose key it is: the user, the tenant, the client of the API. Two who choose the same key have nothing to do with each other, and
   * nobody is given an answer that was another's.
   */
  readonly scope: string;
  /** What must be the same when the request is repeated: the body, parsed, or as bytes. */
  readonly body?: unknown;
}

const MAX_KEY_LENGTH = 255;

/** Structured field (RFC 8941), a string: quoted, `\"` and `\\` escaped. What may come after it are parameters, which mean nothing here. */
const QUOTED = /^"((?:[\x20-\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"(?:;.*)?$/;
/** As many clients send it, without quotes. No comma: it may be two headers that were joined. */
const BARE = /^[\x21\x23-\x2b\x2d-\x3a\x3c-\x7e]+$/;

/**
 * The key that the client chose; null: none came. With and without quotes it is the same key.
 *
 * @throws HoldfastError HF_IDEMPOTENCY_KEY for what cannot be read
 */
export function readIdempotencyKey(header: IdempotentRequest['key']): string | null {
  if (header === null || header === undefined) return null;
  const text = (typeof header === 'string' ? header : header.join(', ')).trim();
  const [, quoted] = QUOTED.exec(text) ?? [];
  const key = quoted === undefined ? (BARE.test(text) ? text : '') : quoted.replaceAll(/\\(["\\])/g, '$1');
  if (key.length > 0 && key.length <= MAX_KEY_LENGTH) return key;
  throw new HoldfastError('HF_IDEMPOTENCY_KEY', 'The header Idempotency-Key cannot be read.', {
    advice: `Send one key of 1 to ${MAX_KEY_LENGTH} printable ASCII characters, such as a UUID in double quotes.`,
    details: { length: text.length },
  });
}

/** The key in the database: of one scope, method and path. A hash, because clients choose how long theirs are. */
export function storedKeyOf({ method, url, scope }: IdempotentRequest, key: string): string {
  const [path] = pathAndQuery(url);
  return `http:${hashOf(JSON.stringify([scope, method.toUpperCase(), path, key]))}`;
}

/**
 * What tells a repeated request from another one under the same key.
 *
 * @throws HoldfastError HF_CONFIG for a body that shows nothing of itself, or is too deep
 */
export function requestFingerprint({ url, body }: IdempotentRequest): string {
  const [, query] = pathAndQuery(url);
  return fingerprintOf({ query, body: body instanceof Uint8Array ? { bytes: hashOf(body) } : body });
}

/** Not by URL: a path that begins with two slashes would be taken for a host. */
function pathAndQuery(url: string): readonly [string, string] {
  const path = url.replace(/^[a-z][a-z0-9+.-]*:\/\/[^/?#]*/i, '').replace(/#.*$/, '');
  const at = path.indexOf('?');
  return at < 0 ? [path, ''] : [path.slice(0, at), path.slice(at + 1)];
}

function hashOf(value: string | Uint8Array): string {
  return createHash('sha256').update(value).digest('hex');
}
