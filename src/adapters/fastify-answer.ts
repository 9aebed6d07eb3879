/**
 * The answer of a Fastify handler, held at the door: serialised, not yet sent, until the transaction that stores it has committed.
 *
 * The hook onSend is that door, because a handler may return its answer or send it, now or in a callback, and what Fastify makes of it
 * (serialisers, hooks, the handler of errors) is known there alone.
 */
import type { FastifyReply, FastifyRequest } from 'fastify';
import { HoldfastError } from '../errors.ts';
import type { HttpAnswer, IdempotentAnswer } from './http/answer.ts';
import { answerIsStream } from './http/stored-answer.ts';

/** By request, from when its handler begins. */
const held = new WeakMap<object, HeldAnswer>();

/** What holds back the answer to the request; undefined: nothing. */
export function heldAnswerOf(request: FastifyRequest): HeldAnswer | undefined {
  return held.get(request);
}

export class HeldAnswer {
  /** What the handler answers, for the transaction. */
  readonly given: Promise<HttpAnswer>;
  readonly #settled: Promise<IdempotentAnswer>;
  #resolve!: (answer: HttpAnswer) => void;
  #reject!: (error: unknown) => void;
  #failure: { readonly error: unknown } | null = null;
  #passed = false;

  /** `settled`: what became of the transaction. */
  constructor(request: FastifyRequest, settled: Promise<IdempotentAnswer>) {
    this.#settled = settled;
    this.given = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    held.set(request, this);
  }

  /** An answer has come here, or will not come any more. */
  get passed(): boolean {
    return this.#passed;
  }

  /** The handler failed, or what it answered could not be made: the answer that comes here now tells of that. */
  failed(error: unknown): void {
    this.#failure ??= { error };
  }

  /** Nothing is held any more, and nothing will come. */
  giveUp(error: unknown): void {
    this.#passed = true;
    this.#reject(error);
  }

  /** From onSend: resolves when the answer may be sent; rejects when another one is to be. */
  async hold(reply: FastifyReply, payload: unknown): Promise<unknown> {
    if (this.#passed) return payload;
    this.#passed = true;
    const failure = this.#failure;
    if (failure === null) {
      try {
        this.#resolve(answerOf(reply, payload));
      } catch (error) {
        this.#reject(error);
      }
    } else {
      this.#reject(failure.error);
    }
    let answer: IdempotentAnswer;
    try {
      answer = await this.#settled;
    } catch (error) {
      if (failure !== null && error === failure.error) return payload;
      throw error;
    }
    if (answer.refusal === null) return payload;
    // By way of the application's handler of errors, as what else fails after the handler.
    reply.code(answer.status).header('retry-after', answer.headers['retry-after']);
    throw Object.assign(answer.refusal, { statusCode: answer.status });
  }
}

/** What onSend has before it. */
function answerOf(reply: FastifyReply, payload: unknown): HttpAnswer {
  const headers: Record<string, string | readonly string[]> = {};
  for (const [name, value] of Object.entries(reply.getHeaders())) {
    if (value !== undefined) headers[name] = typeof value === 'number' ? String(value) : value;
  }
  const status = reply.statusCode;
  if (payload === undefined || payload === null) return { status, headers, body: null };
  if (typeof payload === 'string' || payload instanceof Uint8Array) return { status, headers, body: payload };
  (payload as { destroy?: () => void }).destroy?.();
  throw answerIsStream();
}

/** Of a handler that has written to the socket itself, or has taken the reply away from Fastify. */
export function answeredPastFastify(): HoldfastError {
  return new HoldfastError('HF_CONFIG', 'A handler with an idempotency key has answered past Fastify.', {
    advice: 'Return the answer or use reply.send(), not reply.raw nor reply.hijack().',
  });
}
