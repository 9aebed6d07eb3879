/**
 * What an answer says of the message and of the endpoint. Pure.
 */
import { HoldfastError } from '../../errors.ts';
import type { WebhookReply } from './exchange.ts';

/** Which answers end a message for good. */
export type EndingAnswers = 'client-errors' | 'gone';

export type Judgement =
  | { readonly kind: 'taken' }
  /** For good. `gone`: the endpoint wants nothing more. */
  | { readonly kind: 'refused'; readonly error: HoldfastError; readonly gone: boolean }
  /** Not now. `asksMs`: what the endpoint asks for; null: nothing, it has failed. */
  | { readonly kind: 'away'; readonly error: HoldfastError; readonly asksMs: number | null };

/** 4xx that say "again later": timeout, too early, too many. */
const PASSING = new Set([408, 425, 429]);

/**
 * @param name of the endpoint
 * @param nowMs since the epoch, for a Retry-After that is a date
 */
export function judgeReply(reply: WebhookReply, name: string, ending: EndingAnswers, nowMs: number): Judgement {
  const who = `The endpoint ${JSON.stringify(name)}`;
  if (reply.kind === 'failure') return judgeFailure(reply.code, who);
  const { status } = reply;
  if (status >= 200 && status < 300) return { kind: 'taken' };
  if (status === 410) {
    const advice = 'It wants no more webhooks: take its subscription away, then `holdfast parked discard`.';
    return { kind: 'refused', gone: true, error: refusal(`${who} answered 410, which is for good.`, advice, status) };
  }
  const asksMs = status === 429 || status === 503 ? retryAfterMs(reply.retryAfter, nowMs) : null;
  const isClientError = status < 500 && !PASSING.has(status);
  if (isClientError && ending === 'client-errors') {
    const advice =
      status < 400
        ? 'Redirects are not followed: give the address that it should go to, then `holdfast parked retry`.'
        : 'See what the receiver has against it, then `holdfast parked retry`, or discard it.';
    return { kind: 'refused', gone: false, error: refusal(`${who} answered ${status}.`, advice, status) };
  }
  return { kind: 'away', asksMs, error: away(`${who} answered ${status}.`, { status }) };
}

function judgeFailure(code: string, who: string): Judgement {
  if (code === 'ADDRESS_REFUSED') {
    const advice = 'Webhooks go to public addresses only. For a network of your own give its subnet as allowPrivate.';
    return {
      kind: 'refused',
      gone: false,
      error: refusal(`${who} leads to an address that is not public.`, advice, null),
    };
  }
  return {
    kind: 'away',
    asksMs: null,
    error: away(`${who} ${WORDS[code] ?? `cannot be reached (${code})`}.`, { code }),
  };
}

/** What needs more words than its code. */
const WORDS: Readonly<Record<string, string>> = {
  TIMEOUT: 'did not answer in time',
  EPROTO: 'does not speak TLS at that port, or none that is spoken here; http:// would have to be said in its url',
  ERR_SSL_WRONG_VERSION_NUMBER: 'does not speak TLS at that port; http:// would have to be said in its url',
  HPE_INVALID_CONSTANT: 'does not speak HTTP at that port; where it speaks TLS, say https:// in its url',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'has a certificate that it signed itself; give it as tls.ca if you trust it',
  SELF_SIGNED_CERT_IN_CHAIN: 'has a certificate of an authority that is not known; give that as tls.ca if you trust it',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    'has a certificate of an authority that is not known; give that as tls.ca if you trust it',
  CERT_HAS_EXPIRED: 'has a certificate that has expired',
  ERR_TLS_CERT_ALTNAME_INVALID: 'has a certificate for another name',
};

const DATE = /^[A-Za-z]{3}, \d{2} [A-Za-z]{3} \d{4} \d{2}:\d{2}:\d{2} GMT$/;

/** Seconds, or a date; null for everything else. */
export function retryAfterMs(header: string | null, nowMs: number): number | null {
  if (header === null) return null;
  if (/^\d{1,9}$/.test(header)) return Number(header) * 1_000;
  return DATE.test(header) ? Math.max(0, Date.parse(header) - nowMs) : null;
}

function refusal(what: string, advice: string, status: number | null): HoldfastError {
  return new HoldfastError('HF_MESSAGE_REFUSED', what, { advice, details: status === null ? {} : { status } });
}

function away(what: string, details: Readonly<Record<string, unknown>>): HoldfastError {
  return new HoldfastError('HF_TRANSPORT_UNAVAILABLE', what, {
    advice: 'The message is parked, and goes out when the endpoint takes it.',
    details,
  });
}
