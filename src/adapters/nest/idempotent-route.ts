/**
 * Routes of Nest with idempotency keys: an interceptor around the handler, so that its transaction ends before anything is sent.
 *
 * What it stores is the value that the handler returns, as JSON. First and repeated requests go on with that value through the
 * interceptors outside of this one, so they are answered alike.
 */
import {
  createParamDecorator,
  HttpException,
  Inject,
  UseInterceptors,
  type CallHandler,
  type ExecutionContext,
  type NestInterceptor,
} from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import { lastValueFrom, of, type Observable } from 'rxjs';
import { HoldfastError } from '../../errors.ts';
import { badOption, refuseUnknownOptions } from '../../runtime/options.ts';
import type { HttpAnswer } from '../http/answer.ts';
import type { IdempotentContext } from '../http/answer-once.ts';
import type { HttpIdempotency } from '../http/http-idempotency.ts';
import { answerIsStream } from '../http/stored-answer.ts';
import { HOLDFAST_IDEMPOTENCY } from './tokens.ts';

/** What the requests of Express and Fastify have in common here. */
export interface NestHttpRequest {
  readonly method: string;
  readonly url: string;
  readonly originalUrl?: string | undefined;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body?: unknown;
}

/** What their responses have in common. */
interface NestHttpResponse {
  readonly statusCode: number;
  getHeaders(): Readonly<Record<string, string | number | readonly string[] | undefined>>;
}

/** Options of {@link Idempotent}. */
export interface IdempotentRouteOptions<Request = NestHttpRequest> {
  /** Whose key it is, such as the id of the user who is logged in: see `IdempotentRequest`. */
  readonly scope: (request: Request) => string | Promise<string>;
}

const contexts = new WeakMap<object, IdempotentContext<unknown>>();

/**
 * The handler runs once for each idempotency key, in the transaction of its parameter with {@link IdempotentTransaction}, which commits with
 * what it returns. What it throws rolls back and goes to the exception filters. It returns plain data: neither instances of classes, which
 * interceptors would serialise otherwise than what is stored, nor streams.
 *
 * @example
 * import type { PoolClient } from 'pg';
 *
 * class Orders {
 *   async create({ tx }: IdempotentContext<PoolClient>): Promise<{ orderId: string }> {
 *     await tx.query('INSERT INTO orders (id) VALUES ($1)', ['o-1']);
 *     return { orderId: 'o-1' };
 *   }
 * }
 * const descriptor = { value: Orders.prototype.create };
 * // As `@Idempotent({ scope: (request) => request.user.id })` before the method does it.
 * Idempotent({ scope: () => 'all' })(Orders.prototype, 'create', descriptor);
 */
export function Idempotent<Request = NestHttpRequest>(
  options: IdempotentRouteOptions<Request>,
): MethodDecorator & ClassDecorator {
  refuseUnknownOptions(options, ['scope'], '@Idempotent');
  if (typeof options.scope !== 'function')
    throw badOption('@Idempotent', 'has no scope', "Give scope: (request) => request.user.id, or () => 'all'.");
  const scope = options.scope as (request: unknown) => string | Promise<string>;
  class RouteKeys extends IdempotencyInterceptor {
    constructor(idempotency: HttpIdempotency<unknown>, host: HttpAdapterHost) {
      super(idempotency, host, scope);
    }
  }
  // As decorators of its parameters.
  Inject(HOLDFAST_IDEMPOTENCY)(RouteKeys, undefined, 0);
  Inject(HttpAdapterHost)(RouteKeys, undefined, 1);
  return UseInterceptors(RouteKeys);
}

/**
 * The parameter gets the IdempotentContext of the request: `tx`, `handle`, `key` and `signal`. For handlers with {@link Idempotent}.
 *
 * @example
 * import type { PoolClient } from 'pg';
 *
 * class Orders {
 *   async create({ tx }: IdempotentContext<PoolClient>): Promise<void> {
 *     await tx.query('INSERT INTO orders (id) VALUES ($1)', ['o-1']);
 *   }
 * }
 * // As `create(@IdempotentTransaction() { tx }: IdempotentContext<PoolClient>)` does it.
 * IdempotentTransaction()(Orders.prototype, 'create', 0);
 */
export const IdempotentTransaction: () => ParameterDecorator = createParamDecorator(
  (_data: unknown, execution: ExecutionContext): IdempotentContext<unknown> => {
    const context = contexts.get(execution.switchToHttp().getRequest<object>());
    if (context !== undefined) return context;
    throw new HoldfastError('HF_CONFIG', '@IdempotentTransaction stands in a handler without @Idempotent.', {
      advice: 'Put @Idempotent({ scope }) before the handler.',
    });
  },
);

class IdempotencyInterceptor implements NestInterceptor {
  readonly #idempotency: HttpIdempotency<unknown>;
  readonly #host: HttpAdapterHost;
  readonly #scope: (request: unknown) => string | Promise<string>;

  constructor(
    idempotency: HttpIdempotency<unknown>,
    host: HttpAdapterHost,
    scope: (request: unknown) => string | Promise<string>,
  ) {
    this.#idempotency = idempotency;
    this.#host = host;
    this.#scope = scope;
  }

  async intercept(execution: ExecutionContext, next: CallHandler): Promise<Observable<unknown>> {
    const http = execution.switchToHttp();
    const request = http.getRequest<NestHttpRequest>();
    const response = http.getResponse<NestHttpResponse>();
    const { method, url, originalUrl = url, headers, body } = request;
    const asked = {
      method,
      url: originalUrl,
      key: headers['idempotency-key'],
      scope: await this.#scope(request),
      body,
    };
    const answer = await this.#idempotency.answer(asked, async (context) => {
      contexts.set(request, context);
      return answerOf(response, await lastValueFrom(next.handle(), { defaultValue: undefined }));
    });
    const adapter = this.#host.httpAdapter;
    if (answer.refusal !== null) {
      for (const [name, value] of Object.entries(answer.headers)) adapter.setHeader(response, name, value as string);
      const problem = JSON.parse(String(answer.body)) as Record<string, unknown>;
      throw new HttpException(problem, answer.status, { cause: answer.refusal });
    }
    if (answer.replayed) {
      const set = response.getHeaders();
      adapter.status(response, answer.status);
      for (const [name, value] of Object.entries(answer.headers)) {
        if (set[name] === undefined) adapter.setHeader(response, name, value as string);
      }
    }
    return of(answer.body === null ? undefined : JSON.parse(String(answer.body)));
  }
}

function answerOf(response: NestHttpResponse, value: unknown): HttpAnswer {
  const headers: Record<string, string | readonly string[]> = {};
  for (const [name, header] of Object.entries(response.getHeaders())) {
    if (header !== undefined) headers[name] = typeof header === 'number' ? String(header) : header;
  }
  refuseInstances(value);
  return { status: response.statusCode, headers, body: value === undefined ? null : JSON.stringify(value) };
}

/** What JSON makes of an instance is not what an interceptor that serialises classes makes of it: it may hold what nobody is to see. */
function refuseInstances(value: unknown, depth = 0): void {
  if (typeof value !== 'object' || value === null) return;
  if ('pipe' in value || 'getStream' in value || 'getReader' in value) throw answerIsStream();
  if ('toJSON' in value && !(value instanceof Uint8Array)) return;
  if (depth > MOST_DEPTH || (!Array.isArray(value) && !isPlain(value))) {
    throw new HoldfastError('HF_CONFIG', `A handler with @Idempotent returned ${nameOf(value)}.`, {
      advice:
        'Return plain data: objects, lists, texts and numbers, with those properties alone that the client is to see.',
    });
  }
  for (const each of Object.values(value)) refuseInstances(each, depth + 1);
}

const MOST_DEPTH = 500;

function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

function nameOf(value: object): string {
  return `an instance of ${value.constructor?.name ?? 'a class'}`;
}
