/**
 * Signatures of Standard Webhooks (https://www.standardwebhooks.com): HMAC-SHA-256 over webhook-id, webhook-timestamp and the body, with a
 * secret that sender and receiver share. Secrets are never part of an error.
 */
import { createHmac, timingSafeEqual } from 'node:crypto';
import { HoldfastError } from '../errors.ts';
import { parseDuration, type Duration } from '../runtime/duration.ts';
import { badOption, refuseUnknownOptions } from '../runtime/options.ts';

/** What is signed. */
export interface SignedMessage {
  readonly id: string;
  /** Whole seconds since the epoch. */
  readonly timestamp: number;
  readonly body: string | Uint8Array;
}

/** `v1,…` for each key, divided by blanks. Pure. */
export function signWebhook(message: SignedMessage, keys: readonly Buffer[]): string {
  return keys.map((key) => `v1,${macOf(message, key).toString('base64')}`).join(' ');
}

function macOf({ id, timestamp, body }: SignedMessage, key: Buffer): Buffer {
  return createHmac('sha256', key).update(`${id}.${timestamp}.`).update(body).digest();
}

const SECRET = /^whsec_([A-Za-z0-9+/]+={0,2})$/;

/** The key that a secret as `whsec_…` stands for. Throws HF_CONFIG, which does not show it. */
export function readSecret(secret: string, where: string): Buffer {
  const [, encoded = ''] = SECRET.exec(secret) ?? [];
  const key = Buffer.from(encoded, 'base64');
  if (key.length >= 24 && key.length <= 64) return key;
  throw new HoldfastError('HF_CONFIG', `${where} is not a secret of Standard Webhooks.`, {
    advice: "It is 'whsec_' and 24 to 64 random bytes in base64: echo whsec_$(openssl rand -base64 32).",
  });
}

/** Headers of a request: a `Headers`, or an object as Node has them. */
export type WebhookHeaders =
  | { get(name: string): string | null }
  | Readonly<Record<string, string | readonly string[] | undefined>>;

/** What {@link verifyWebhook} is given. */
export interface VerifyWebhookOptions {
  readonly headers: WebhookHeaders;
  /** As it came, before anything parsed it: one blank more or less, and the signature is another. */
  readonly body: string | Uint8Array;
  /** One, or several while one is being replaced: `whsec_` and 24 to 64 bytes in base64. */
  readonly secrets: string | readonly string[];
  /**
   * How far the time of the sender may be from ours: what is older may be a request that somebody has recorded.
   *
   * @defaultValue '5m'
   */
  readonly tolerance?: Duration | undefined;
  /**
   * Our time, in milliseconds since the epoch.
   *
   * @defaultValue that of the system
   */
  readonly now?: number | undefined;
}

/** A webhook that came from who has the secret. */
export interface VerifiedWebhook {
  /** The same whenever it is sent again: have the effect once for each. At most 256 characters. */
  readonly id: string;
  /** When this attempt was sent. */
  readonly sentAt: Date;
  /** As text. */
  readonly body: string;
}

/** More would only cost us time. Senders that replace a secret give two. */
const MOST_SIGNATURES = 16;

/**
 * Checks that a webhook in the form of Standard Webhooks was signed with one of the secrets, and lately. It does not check that it comes
 * for the first time: handle it by `idempotent`, with its id as the key.
 *
 * @throws HoldfastError HF_WEBHOOK_UNVERIFIED: answer 401, without saying why. HF_CONFIG, HF_DURATION, HF_OPTION_UNKNOWN
 * @example
 * declare const request: Request;
 * const hook = verifyWebhook({ headers: request.headers, body: await request.text(), secrets: process.env.WEBHOOK_SECRET ?? '' });
 * await database.transaction((tx) =>
 *   idempotent(tx, { key: `acme:${hook.id}`, fingerprint: fingerprintOf(hook.body) }, async () => {
 *     await tx.query('UPDATE invoice SET paid = true WHERE id = $1', [JSON.parse(hook.body).data.invoice]);
 *   }),
 * );
 */
export function verifyWebhook(options: VerifyWebhookOptions): VerifiedWebhook {
  refuseUnknownOptions(options, ['headers', 'body', 'secrets', 'tolerance', 'now'], 'verifyWebhook');
  const { headers, body, secrets, tolerance = '5m', now = Date.now() } = options;
  const keys = [secrets].flat().map((secret, index) => readSecret(secret, `verifyWebhook.secrets[${index}]`));
  if (keys.length === 0) throw badOption('verifyWebhook', 'has no secrets', 'Give the one that the sender signs with.');
  if (typeof body !== 'string' && !(body instanceof Uint8Array))
    throw badOption(
      'verifyWebhook.body',
      `is of type ${typeof body}`,
      'Give the body as it came, before it is parsed.',
    );
  const id = headerOf(headers, 'webhook-id');
  const timestamp = headerOf(headers, 'webhook-timestamp');
  const signatures = headerOf(headers, 'webhook-signature').split(' ');
  if (!/^[\x21-\x7e]{1,256}$/.test(id)) throw unverified('id', 'has no header webhook-id that could be one');
  if (!/^\d{1,12}$/.test(timestamp)) throw unverified('timestamp', 'has no header webhook-timestamp that is a time');
  const sentAt = new Date(Number(timestamp) * 1_000);
  if (Math.abs(sentAt.getTime() - now) > parseDuration(tolerance, 'verifyWebhook.tolerance'))
    throw unverified('timestamp', 'was sent too long ago, or our clocks are too far apart');
  const message = { id, timestamp: Number(timestamp), body };
  const expected = keys.map((key) => macOf(message, key));
  const given = signatures.slice(0, MOST_SIGNATURES).flatMap((each) => (each.startsWith('v1,') ? [each.slice(3)] : []));
  const matches = given.some((each) => {
    const mac = Buffer.from(each, 'base64');
    return expected.some((own) => own.length === mac.length && timingSafeEqual(own, mac));
  });
  if (!matches) throw unverified('signature', 'was not signed with a secret that is known here');
  return { id, sentAt, body: typeof body === 'string' ? body : Buffer.from(body).toString('utf8') };
}

function headerOf(headers: WebhookHeaders, name: string): string {
  if (isHeaders(headers)) return headers.get(name) ?? '';
  const value = headers[name] ?? Object.entries(headers).find(([each]) => each.toLowerCase() === name)?.[1];
  return [value].flat().join(' ');
}

function isHeaders(headers: WebhookHeaders): headers is { get(name: string): string | null } {
  return 'get' in headers && typeof headers.get === 'function';
}

function unverified(part: 'id' | 'timestamp' | 'signature', what: string): HoldfastError {
  return new HoldfastError('HF_WEBHOOK_UNVERIFIED', `The webhook ${what}.`, {
    advice: 'Answer 401 and nothing more.',
    details: { part },
  });
}
