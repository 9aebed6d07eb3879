/**
 * Alerts by HTTP, signed as Standard Webhooks has it (https://www.standardwebhooks.com): webhook-id, webhook-timestamp, and
 * webhook-signature over both and the body. Neither the URL nor a secret is ever part of an error or a log: either may be all that it
 * takes to speak in our name.
 */
import { HoldfastError } from '../../errors.ts';
import { signWebhook } from '../../message/webhook-signature.ts';
import type { Clock } from '../../runtime/clock.ts';
import { withTimeout } from '../../runtime/timeout.ts';
import type { AlertNotice } from './alert.ts';

export interface WebhookTarget {
  readonly url: URL;
  /** Keys as bytes. Each signs: while one is replaced, the receiver may know either. */
  readonly keys: readonly Buffer[];
  readonly timeoutMs: number;
}

/** What the other side answered, or why there is no answer. */
export interface WebhookAnswer {
  /** It answered with 2xx. */
  readonly ok: boolean;
  /** Null: no answer came. */
  readonly status: number | null;
  /** Why it does not count, in words. Null when it does. */
  readonly trouble: string | null;
  /** The beginning of its body, when it was asked for. */
  readonly body: string;
  /** When the other side wants to be asked again, in milliseconds from now; null when it does not say. */
  readonly retryAfterMs: number | null;
}

/** Throws HF_CONFIG, which does not show it. */
export function readWebhookUrl(url: string, where: string): URL {
  const parsed = typeof url === 'string' && URL.canParse(url) ? new URL(url) : null;
  if (parsed !== null && ['https:', 'http:'].includes(parsed.protocol) && parsed.username + parsed.password === '')
    return parsed;
  throw new HoldfastError('HF_CONFIG', `${where} cannot be used.`, {
    advice: 'Give an address such as https://hooks.example.com/holdfast, without user and password.',
  });
}

/** What is sent. Receivers know it by `type`. Pure. */
export function webhookBody(notice: AlertNotice): string {
  const { id: _id, at, ...data } = notice;
  return JSON.stringify({ type: `alert.${notice.status}`, timestamp: at, data });
}

export interface WebhookCall {
  readonly clock: Clock;
  /** Ends it; the promise then rejects. */
  readonly signal: AbortSignal;
  /** Read the beginning of the answer as well. */
  readonly readBody?: boolean;
}

/** One attempt. Rejects only when `signal` aborts; everything else is an answer. */
export async function callWebhook(
  { url, keys, timeoutMs }: WebhookTarget,
  notice: AlertNotice,
  { clock, signal, readBody = false }: WebhookCall,
): Promise<WebhookAnswer> {
  const body = webhookBody(notice);
  const timestamp = Math.floor(clock.now() / 1_000);
  try {
    return await withTimeout(
      async (work) => {
        const response = await fetch(url, {
          method: 'POST',
          body,
          // Whoever is sent elsewhere would carry the signed alert to an address that nobody has configured.
          redirect: 'manual',
          signal: work,
          headers: {
            'content-type': 'application/json',
            'user-agent': 'holdfast',
            'webhook-id': notice.id,
            'webhook-timestamp': String(timestamp),
            'webhook-signature': signWebhook({ id: notice.id, timestamp, body }, keys),
          },
        });
        return toAnswer(response, readBody ? await beginningOf(response) : '');
      },
      { timeoutMs, clock, signal, onTimeout: () => new TimeUp() },
    );
  } catch (error) {
    signal.throwIfAborted();
    const trouble = error instanceof TimeUp ? `no answer within ${timeoutMs} ms` : `not reached: ${codeOf(error)}`;
    return { ok: false, status: null, trouble, body: '', retryAfterMs: null };
  }
}

class TimeUp extends Error {}

async function toAnswer(response: Response, body: string): Promise<WebhookAnswer> {
  // What is not read would keep the connection.
  if (!response.bodyUsed) await response.body?.cancel().catch(() => {});
  const { ok, status } = response;
  const redirected = status >= 300 && status < 400;
  const trouble = ok ? null : redirected ? `answered ${status}: redirects are not followed` : `answered ${status}`;
  const retryAfter = Number(response.headers.get('retry-after') ?? Number.NaN);
  return { ok, status, trouble, body, retryAfterMs: retryAfter >= 0 ? Math.min(retryAfter, 3_600) * 1_000 : null };
}

const MOST_BODY = 300;

async function beginningOf(response: Response): Promise<string> {
  let text = '';
  const decoder = new TextDecoder();
  for await (const part of response.body ?? []) {
    text += decoder.decode(part as Uint8Array, { stream: true });
    if (text.length >= MOST_BODY) break;
  }
  return text.slice(0, MOST_BODY);
}

/** A code and nothing else: messages of the network name hosts and addresses. */
function codeOf(error: unknown): string {
  for (let each: unknown = error; each instanceof Error; each = each.cause) {
    if ('code' in each && typeof each.code === 'string') return each.code;
  }
  return 'the request failed';
}
