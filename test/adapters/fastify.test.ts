/**
 * Fastify: idempotency keys, and the plugin that lives with the application.
 */
import { fastify, type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import { Readable } from 'node:stream';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { holdfastPlugin, withIdempotencyKey, type HoldfastPluginOptions } from '../../src/adapters/fastify.ts';
import { createHttpIdempotency, type HttpAnswer } from '../../src/adapters/http/http-idempotency.ts';
import { openDatabase, type Database } from '../../src/postgres/database.ts';
import type { Service } from '../../src/runtime/service.ts';
import { eventually } from '../support/eventually.ts';
import { createTestDatabase, type TestDatabase } from '../support/servers.ts';
import { describeIdempotency, type Order, type Serve } from './idempotency-suite.ts';

type OrderRequest = FastifyRequest<{ Body: Order }>;
const scope = (request: FastifyRequest<{ Body: Order }>): string => String(request.headers['x-user']);

function answered(reply: FastifyReply, { status, headers, body }: HttpAnswer): FastifyReply {
  return reply
    .code(status)
    .headers(headers as Record<string, string>)
    .send(body ?? undefined);
}

const serving =
  (how: 'return' | 'callback'): Serve =>
  async ({ database, idempotency, orders }) => {
    const app = fastify();
    await app.register(holdfastPlugin, { database });
    for (const path of ['/orders', '/payments']) {
      const handler =
        how === 'return'
          ? withIdempotencyKey(idempotency, { scope }, async (request: OrderRequest, reply, context) =>
              answered(reply, await orders(context, request.body)),
            )
          : withIdempotencyKey(idempotency, { scope }, (request: OrderRequest, reply, context) => {
              orders(context, request.body).then(
                (answer) => void answered(reply, answer),
                (error: unknown) => void reply.send(error as Error),
              );
            });
      app.post(path, handler);
    }
    return { url: await app.listen({ port: 0, host: '127.0.0.1' }), close: () => app.close() };
  };

describeIdempotency('Fastify', serving('return'));
describeIdempotency('Fastify, with callbacks', serving('callback'));

let test: TestDatabase;
let database: Database;
let apps: FastifyInstance[] = [];
beforeAll(async () => {
  test = await createTestDatabase({ migrate: true });
  database = openDatabase({ pool: test.pool });
});
afterEach(async () => {
  for (const app of apps) await app.close();
  apps = [];
  await test.pool.query('TRUNCATE holdfast.idempotency_key');
});
afterAll(async () => {
  await database.close();
  await test.drop();
});

async function appWith(options: Partial<HoldfastPluginOptions> = {}): Promise<FastifyInstance> {
  const app = fastify();
  apps.push(app);
  await app.register(holdfastPlugin, { database, ...options });
  return app;
}

function throwWords(): never {
  const words: unknown = 'words';
  throw words;
}

describe('a handler with an idempotency key', () => {
  const ask = (app: FastifyInstance, payload: object = { id: 'o-1' }) =>
    app.inject({ method: 'POST', url: '/orders', headers: { 'idempotency-key': 'a' }, payload });
  const all = { scope: () => 'all' };

  it('passes through hooks and the serialiser, the same for both', async () => {
    const app = await appWith();
    app.addHook('preSerialization', async (_request, _reply, payload) => ({ ...(payload as object), hooked: true }));
    const schema = {
      response: { 201: { type: 'object', properties: { id: { type: 'string' }, hooked: { type: 'boolean' } } } },
    };
    const handler = withIdempotencyKey(createHttpIdempotency({ database }), all, async (_request, reply) => {
      reply.code(201);
      return { id: 'o-1', secret: 'left out by the schema' };
    });
    app.post('/orders', { schema }, handler);
    const answers = [await ask(app), await ask(app)];
    for (const answer of answers) expect([answer.statusCode, answer.body]).toEqual([201, '{"id":"o-1","hooked":true}']);
    expect(answers[1]?.headers['idempotent-replayed']).toBe('true');
  });

  it('tells its error to the handler of errors, after it was rolled back', async () => {
    const app = await appWith();
    app.setErrorHandler(async (error: Error, _request, reply) => reply.code(418).send({ told: error.message }));
    const failing = withIdempotencyKey(createHttpIdempotency({ database }), all, () => {
      throw new Error('at once');
    });
    app.post('/orders', failing);
    for (const answer of [await ask(app), await ask(app)]) {
      expect([answer.statusCode, answer.json()]).toEqual([418, { told: 'at once' }]);
      expect(answer.headers['idempotent-replayed']).toBe(undefined);
    }
  });

  it.each([
    ['a stream', (reply: FastifyReply) => reply.send(Readable.from(['a'])), 'is a stream'],
    ['what is no error', throwWords, 'words'],
  ])('refuses to answer with %s', async (_what, answer, said) => {
    const app = await appWith();
    app.post(
      '/orders',
      withIdempotencyKey(createHttpIdempotency({ database }), all, async (_request, reply) => answer(reply)),
    );
    const refused = await ask(app);
    expect([refused.statusCode, refused.json<{ message: string }>().message]).toEqual([
      500,
      expect.stringContaining(said),
    ]);
  });

  it('keeps nothing of a handler that answers past Fastify', async () => {
    const app = await appWith();
    const handler = withIdempotencyKey(createHttpIdempotency({ database }), all, async (_request, reply) => {
      reply.hijack();
      reply.raw.end('past');
    });
    app.post('/orders', handler);
    expect((await ask(app)).body).toBe('past');
    await eventually('its transaction to end', async () => {
      const { rows } = await test.pool.query(
        "SELECT 1 FROM pg_stat_activity WHERE state LIKE 'idle in%' AND datname = current_database()",
      );
      return rows.length === 0;
    });
    expect((await test.pool.query('SELECT 1 FROM holdfast.idempotency_key')).rows).toEqual([]);
  });

  it('says so when the plugin is not there', async () => {
    const app = fastify();
    apps.push(app);
    app.post(
      '/orders',
      withIdempotencyKey(createHttpIdempotency({ database }), all, async () => 'x'),
    );
    expect((await ask(app)).json()).toMatchObject({
      code: 'HF_CONFIG',
      message: expect.stringContaining('register') as string,
    });
  });
});

describe('the plugin', () => {
  const journal: string[] = [];
  const service = (name: string): Service => ({
    start: async () => void journal.push(`${name} starts`),
    stop: async () => void journal.push(`${name} stops`),
  });

  it('starts services with the application and stops them the other way round', async () => {
    journal.length = 0;
    const app = await appWith({ services: [service('relay'), service('worker')] });
    expect(journal).toEqual([]);
    expect((await app.inject('/livez')).statusCode).toBe(200);
    expect((await app.inject('/readyz')).json()).toMatchObject({ status: 'ready' });
    expect(journal).toEqual(['relay starts', 'worker starts']);
    await app.close();
    expect(journal.slice(2)).toEqual(['worker stops', 'relay stops']);
  });

  it('does not become ready when a service does not start, and stops those that had', async () => {
    journal.length = 0;
    const broken = { ...service('worker'), start: () => Promise.reject(new Error('no lease')) };
    const app = await appWith({ services: [service('relay'), broken] });
    await expect(app.ready()).rejects.toThrow('no lease');
    expect(journal).toEqual(['relay starts', 'worker stops', 'relay stops']);
  });

  it('is not ready without a database, and still alive', async () => {
    const away = openDatabase({ url: 'postgres://127.0.0.1:1/none' });
    const app = await appWith({ database: away, health: '/health' });
    expect((await app.inject('/health/livez')).statusCode).toBe(200);
    const ready = await app.inject('/health/readyz');
    expect([ready.statusCode, ready.json<{ reasons: string[] }>().reasons[0]]).toEqual([
      503,
      expect.stringContaining('database'),
    ]);
    await away.close();
  });

  it('refuses options that it does not know, and sagas that it was not given', async () => {
    const app = fastify();
    apps.push(app);
    await expect(app.register(holdfastPlugin, { database, service: [] } as never)).rejects.toMatchObject({
      code: 'HF_OPTION_UNKNOWN',
    });
    const other = await appWith();
    expect(() => other.holdfast.sagas).toThrow(/was given no sagas/);
    expect(await other.holdfast.transaction(async (tx) => (await tx.query('SELECT 1 AS one')).rows)).toEqual([
      { one: 1 },
    ]);
  });
});
