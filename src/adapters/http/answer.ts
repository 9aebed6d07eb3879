/**
 * Answers of HTTP handlers as data: what is stored, given again, and sent by whatever framework is there.
 */
import type { ServerResponse } from 'node:http';
import type { HoldfastError } from '../../errors.ts';

/** Names in lower case. A list for a header that stands several times. */
export type AnswerHeaders = Readonly<Record<string, string | readonly string[]>>;

/** What an HTTP handler answers. Made by hand, or by {@link jsonAnswer}. */
export interface HttpAnswer {
  /** From 200 to 599. */
  readonly status: number;
  readonly headers: AnswerHeaders;
  /** null: none. */
  readonly body: string | Uint8Array | null;
}

/** What is to be sent for a request with an idempotency key. */
export interface IdempotentAnswer extends HttpAnswer {
  /** It was given before, and the handler has not run. */
  readonly replayed: boolean;
  /** Why the handler's answer is not given; null: it is. What is to be sent then says so, as application/problem+json. */
  readonly refusal: HoldfastError | null;
}

/**
 * An answer of JSON, for handlers.
 *
 * @example
 * const answer = jsonAnswer(201, { orderId: 'o-1' }, { location: '/orders/o-1' });
 */
export function jsonAnswer(status: number, value: unknown, headers: AnswerHeaders = {}): HttpAnswer {
  return {
    status,
    headers: { 'content-type': 'application/json; charset=utf-8', ...headers },
    body: JSON.stringify(value),
  };
}

/**
 * Sends an answer by a response of node:http, which those of Express and `reply.raw` of Fastify are. Headers that are set already stay.
 *
 * @example
 * import { createServer } from 'node:http';
 *
 * createServer((_request, response) => sendAnswer(response, jsonAnswer(200, { well: true })));
 */
export function sendAnswer(response: ServerResponse, answer: HttpAnswer): void {
  response.statusCode = answer.status;
  for (const [name, value] of Object.entries(answer.headers)) {
    if (!response.hasHeader(name)) response.setHeader(name, value);
  }
  response.end(answer.body ?? undefined);
}

/** Seconds after which it is worth to ask again. */
const RETRY_AFTER = '1';

/** A refusal as RFC 9457 has it. `passing`: the same request may be answered a moment later. */
export function refusalAnswer(
  status: number,
  title: string,
  refusal: HoldfastError,
  passing = false,
): IdempotentAnswer {
  const problem = { title, status, detail: refusal.message, code: refusal.code };
  return {
    status,
    headers: {
      'content-type': 'application/problem+json; charset=utf-8',
      'cache-control': 'no-store',
      ...(passing ? { 'retry-after': RETRY_AFTER } : {}),
    },
    body: JSON.stringify(problem),
    replayed: false,
    refusal,
  };
}
