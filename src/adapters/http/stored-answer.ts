/**
 * Which answers are stored, and what of them. Pure.
 */
import { HoldfastError } from '../../errors.ts';
import { isStorableText } from '../../message/text.ts';
import type { AnswerHeaders, HttpAnswer } from './answer.ts';

/** As it stands in the database. Processes of other versions read it. */
export interface StoredHttpAnswer {
  readonly v: 1;
  readonly status: number;
  readonly headers: AnswerHeaders;
  readonly body: { readonly text: string } | { readonly base64: string } | null;
}

/** Who asks must log in, or may not; it was too early, too late or too often: the same request may be answered otherwise later. */
const PASSING_STATUS = new Set([401, 403, 407, 408, 425, 429]);

/** Whether the answer is final, so that it is stored, and what its handler wrote committed. */
export function isFinalStatus(status: number): boolean {
  return status < 500 && !PASSING_STATUS.has(status);
}

/**
 * Of one connection, one moment or one visitor. A cookie is a secret that is handed out once; the length and the date of what is sent are
 * known when it is sent.
 */
const NOT_KEPT = new Set([
  'connection',
  'content-length',
  'date',
  'keep-alive',
  'proxy-authenticate',
  'proxy-connection',
  'server-timing',
  'set-cookie',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

/** @throws HoldfastError HF_CONFIG for an answer that cannot be kept, HF_PAYLOAD_TOO_LARGE */
export function storeAnswer({ status, headers, body }: HttpAnswer, maxBytes: number): StoredHttpAnswer {
  if (!Number.isInteger(status) || status < 200 || status > 599) {
    throw new HoldfastError(
      'HF_CONFIG',
      `The handler of a request with an idempotency key answered ${String(status)}.`,
      {
        advice: 'Answer with a status from 200 to 599.',
      },
    );
  }
  const kept = Object.entries(headers).flatMap(([name, value]) => {
    const lower = name.toLowerCase();
    return NOT_KEPT.has(lower) ? [] : [[lower, value] as const];
  });
  return { v: 1, status, headers: Object.fromEntries(kept), body: storeBody(body, maxBytes) };
}

function storeBody(body: HttpAnswer['body'], maxBytes: number): StoredHttpAnswer['body'] {
  if (body === null) return null;
  const bytes = typeof body === 'string' ? Buffer.byteLength(body) : body.byteLength;
  if (bytes > maxBytes) throw answerTooLarge(maxBytes);
  const text = typeof body === 'string' ? body : textOf(body);
  if (text !== null && isStorableText(text)) return { text };
  return { base64: Buffer.from(body).toString('base64') };
}

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** null: it is no text. */
function textOf(bytes: Uint8Array): string | null {
  try {
    return decoder.decode(bytes);
  } catch {
    return null;
  }
}

export function readStoredAnswer({ status, headers, body }: StoredHttpAnswer): HttpAnswer {
  if (body === null) return { status, headers, body };
  return { status, headers, body: 'text' in body ? body.text : Buffer.from(body.base64, 'base64') };
}

/** Of an answer that is not stored as a whole, so that it is not stored at all. */
export function answerTooLarge(maxBytes: number): HoldfastError {
  return new HoldfastError(
    'HF_PAYLOAD_TOO_LARGE',
    `An answer to a request with an idempotency key is over ${maxBytes} bytes.`,
    {
      advice: 'Answer with a link to what is large, or raise maxBytes.',
      details: { maxBytes },
    },
  );
}

/** Of an answer whose end nobody knows: it could only be stored after it was sent. */
export function answerIsStream(): HoldfastError {
  return new HoldfastError('HF_CONFIG', 'The answer to a request with an idempotency key is a stream.', {
    advice: 'Answer with a text or with bytes, or serve streams on a route without idempotency keys.',
  });
}
