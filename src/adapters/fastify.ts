/**
 * `holdfast/fastify`: a plugin that starts and stops Holdfast's services with the application, and idempotency keys for handlers.
 */
import type { PoolClient } from 'pg';
import type { FastifyInstance, FastifyPluginAsync, FastifyReply, FastifyRequest, RouteGenericInterface } from 'fastify';
import { HoldfastError } from '../errors.ts';
import { createOutbox, type Outbox } from '../outbox/outbox.ts';
import type { Database } from '../postgres/database.ts';
import type { Duration } from '../runtime/duration.ts';
import { badOption, refuseUnknownOptions } from '../runtime/options.ts';
import type { Service } from '../runtime/service.ts';
import type { Sagas } from '../saga/client/client.ts';
import { answeredPastFastify, HeldAnswer, heldAnswerOf } from './fastify-answer.ts';
import type { IdempotentAnswer } from './http/answer.ts';
import type { IdempotentContext } from './http/answer-once.ts';
import type { HttpIdempotency } from './http/http-idempotency.ts';
import { createServiceGroup } from './services/service-group.ts';

/** Options of {@link holdfastPlugin}. */
export interface HoldfastPluginOptions {
  readonly database: Database;
  /** @defaultValue an outbox of its own in the schema of `database` */
  readonly outbox?: Outbox | undefined;
  /** What `createSagas` makes, or `worker.sagas`. */
  readonly sagas?: Sagas | undefined;
  /**
   * Relays, consumers, participants and workers that live in this process: started in this order before the application is ready, and
   * stopped the other way round when it is closed and has finished its requests.
   *
   * @defaultValue none
   */
  readonly services?: readonly Service[] | undefined;
  /**
   * After this long a stop is hard: work in flight is aborted, and done again later.
   *
   * @defaultValue '10s'
   */
  readonly stopTimeout?: Duration | undefined;
  /**
   * Where the probes are: `<health>/livez` and `<health>/readyz`, by the same judgement as those of the daemon. Without services, ready
   * means that the database answers and has its tables. false: nowhere.
   *
   * @defaultValue '' (the root)
   */
  readonly health?: string | false | undefined;
}

/** What the plugin decorates the application with: `app.holdfast`. */
export interface FastifyHoldfast {
  readonly database: Database;
  readonly outbox: Outbox;
  /** Throws HF_CONFIG when the plugin was given none. */
  readonly sagas: Sagas;
  /** BEGIN, `fn`, COMMIT; ROLLBACK when `fn` rejects: as `database.transaction`. */
  transaction<T>(fn: (tx: PoolClient) => Promise<T>): Promise<T>;
}

declare module 'fastify' {
  interface FastifyInstance {
    /** By the plugin of `holdfast/fastify`. */
    readonly holdfast: FastifyHoldfast;
  }
}

/**
 * Register it before plugins that change what is sent, such as one that compresses, and before routes with {@link withIdempotencyKey}.
 *
 * @throws HoldfastError HF_CONFIG, HF_OPTION_UNKNOWN, HF_DURATION
 * @example
 * import { fastify } from 'fastify';
 *
 * const worker = createWorker({ database, sagas: [placeOrder] });
 * const app = fastify();
 * await app.register(holdfastPlugin, { database, sagas: worker.sagas, services: [worker] });
 * app.post('/orders/:orderId', async (request, reply) => {
 *   const { orderId } = request.params as { orderId: string };
 *   await app.holdfast.transaction(async (tx) => {
 *     await tx.query('INSERT INTO orders (id) VALUES ($1)', [orderId]);
 *     await app.holdfast.sagas.start(tx, placeOrder, { orderId }, { key: orderId });
 *   });
 *   return reply.code(202).send({ orderId });
 * });
 * await app.listen({ port: 3000 });
 */
export const holdfastPlugin: FastifyPluginAsync<HoldfastPluginOptions> = Object.assign(register, {
  // In the context of who registers it, not in one of its own.
  [Symbol.for('skip-override')]: true,
  [Symbol.for('fastify.display-name')]: 'holdfast',
  [Symbol.for('plugin-meta')]: { name: 'holdfast', fastify: '5.x' },
});

async function register(app: FastifyInstance, options: HoldfastPluginOptions): Promise<void> {
  // Fastify gives it its own options of `register` as well.
  const {
    prefix: _prefix,
    logLevel: _level,
    logSerializers: _serializers,
    ...own
  } = options as HoldfastPluginOptions & {
    readonly prefix?: unknown;
    readonly logLevel?: unknown;
    readonly logSerializers?: unknown;
  };
  refuseUnknownOptions(own, ['database', 'outbox', 'sagas', 'services', 'stopTimeout', 'health'], 'holdfastPlugin');
  const { database, sagas, services = [], stopTimeout, health = '' } = own;
  const group = createServiceGroup({ database, services, stopTimeout });
  const outbox = own.outbox ?? createOutbox({ schema: database.schema });
  app.decorate('holdfast', {
    database,
    outbox,
    get sagas(): Sagas {
      return sagas ?? noSagas();
    },
    transaction: (fn) => database.transaction(fn),
  });
  app.addHook('onReady', () => group.start());
  app.addHook('onClose', () => group.stop());
  app.addHook('onError', async (request, _reply, error) => heldAnswerOf(request)?.failed(error));
  app.addHook('onSend', async (request, reply, payload) => {
    const answer = heldAnswerOf(request);
    return answer === undefined ? payload : answer.hold(reply, payload);
  });
  if (health === false) return;
  for (const [page, ask] of [
    ['livez', () => group.live()],
    ['readyz', () => group.ready()],
  ] as const) {
    app.get(`${health}/${page}`, { logLevel: 'warn' }, async (_request, reply) => {
      const { ok, body } = await ask();
      return reply.code(ok ? 200 : 503).send(body);
    });
  }
}

/** Options of {@link withIdempotencyKey}. */
export interface WithIdempotencyKeyOptions<Route extends RouteGenericInterface = RouteGenericInterface> {
  /** Whose key it is, such as the id of the user who is logged in: see `IdempotentRequest`. */
  readonly scope: (request: FastifyRequest<Route>) => string | Promise<string>;
  /**
   * What must be the same when the request is repeated.
   *
   * @defaultValue the body as Fastify has read it
   */
  readonly body?: ((request: FastifyRequest<Route>) => unknown) | undefined;
}

/** A handler of Fastify with its transaction. */
export type FastifyIdempotentHandler<Tx, Route extends RouteGenericInterface> = (
  this: FastifyInstance,
  request: FastifyRequest<Route>,
  reply: FastifyReply<Route>,
  context: IdempotentContext<Tx>,
) => unknown;

/**
 * A handler that runs once for each idempotency key, in a transaction that commits with its answer, before that is sent. It answers as
 * handlers of Fastify do. What it throws, or sends as an error, rolls back and goes to the handler of errors; it is not stored.
 *
 * @throws HoldfastError HF_CONFIG, HF_OPTION_UNKNOWN; a request fails with HF_CONFIG when the plugin is not registered, when its answer is a
 * stream, and when its body was not read before the handler
 * @example
 * import { fastify, type FastifyRequest } from 'fastify';
 * import { createHttpIdempotency } from 'holdfast/http';
 *
 * const idempotency = createHttpIdempotency({ database });
 * const app = fastify();
 * await app.register(holdfastPlugin, { database });
 * app.post(
 *   '/orders',
 *   withIdempotencyKey(
 *     idempotency,
 *     { scope: () => 'all' },
 *     async (request: FastifyRequest<{ Body: { orderId: string } }>, reply, { tx, handle }) => {
 *       const { orderId } = request.body;
 *       await tx.query('INSERT INTO orders (id) VALUES ($1)', [orderId]);
 *       await app.holdfast.outbox.send(handle, OrderPlaced, { orderId, total: 42 });
 *       return reply.code(201).send({ orderId });
 *     },
 *   ),
 * );
 */
export function withIdempotencyKey<Tx, Route extends RouteGenericInterface = RouteGenericInterface>(
  idempotency: HttpIdempotency<Tx>,
  options: WithIdempotencyKeyOptions<Route>,
  handler: FastifyIdempotentHandler<Tx, Route>,
): (request: FastifyRequest<Route>, reply: FastifyReply<Route>) => void {
  refuseUnknownOptions(options, ['scope', 'body'], 'withIdempotencyKey');
  const { scope, body = bodyOf } = options;
  if (typeof scope !== 'function')
    throw badOption('withIdempotencyKey', 'has no scope', "Give scope: (request) => request.user.id, or () => 'all'.");

  // No promise comes out of it: what is returned or sent passes onSend, and is sent by nobody a second time.
  return (request, reply) => {
    const key = request.headers['idempotency-key'];
    let answer: HeldAnswer | undefined;
    const settled = (async (): Promise<IdempotentAnswer> => {
      if (!request.server.hasDecorator('holdfast')) throw noPlugin();
      const asked = { method: request.method, url: request.url, key, scope: await scope(request), body: body(request) };
      return idempotency.answer(asked, (context) => {
        answer = new HeldAnswer(request, settled);
        call(() => handler.call(request.server, request, reply, context), reply, answer);
        return answer.given;
      });
    })();
    settled.then(
      (result) => {
        // What came through onSend is on its way. Else the handler has not run, or not come to an end in time.
        if (answer?.passed === true) return;
        answer?.giveUp(result.refusal);
        send(reply, result);
      },
      (error: unknown) => {
        if (answer?.passed !== true) reply.send(error as never);
      },
    );
  };
}

/** As Fastify calls handlers, and sends what they return. */
function call(handler: () => unknown, reply: FastifyReply, answer: HeldAnswer): void {
  const fail = (error: unknown): void => {
    if (answer.passed) return;
    answer.failed(error);
    reply.send(error instanceof Error ? error : new Error(`The handler threw ${String(error)}.`, { cause: error }));
  };
  const sent = (payload: unknown): void => {
    if (answer.passed) return;
    if (!reply.sent) return void reply.send(payload);
    const error = answeredPastFastify();
    reply.log.error({ err: error }, 'what the handler wrote is rolled back');
    answer.giveUp(error);
  };
  try {
    const result = handler();
    if (isThenable(result)) result.then(sent, fail);
    else if (result !== undefined) sent(result);
  } catch (error) {
    fail(error);
  }
}

function send(reply: FastifyReply, { status, headers, body }: IdempotentAnswer): void {
  reply.code(status);
  for (const [name, value] of Object.entries(headers)) if (!reply.hasHeader(name)) reply.header(name, value);
  reply.send(body ?? undefined);
}

function bodyOf(request: FastifyRequest): unknown {
  const { body, headers } = request;
  const comes = headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;
  if (body === undefined && comes) {
    throw new HoldfastError(
      'HF_CONFIG',
      'The body of a request with an idempotency key was not read before its handler.',
      {
        advice: 'Give body: (request) => … to say what makes the request what it is, or have a parser read it.',
      },
    );
  }
  return body;
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function';
}

function noPlugin(): HoldfastError {
  return new HoldfastError(
    'HF_CONFIG',
    'withIdempotencyKey is used where the plugin of holdfast/fastify is not registered.',
    {
      advice: 'await app.register(holdfastPlugin, { database }) before.',
    },
  );
}

function noSagas(): never {
  throw new HoldfastError('HF_CONFIG', 'app.holdfast.sagas was asked for, and the plugin was given no sagas.', {
    advice: 'Register holdfastPlugin with sagas: createSagas({ database, sagas }), or worker.sagas.',
  });
}
