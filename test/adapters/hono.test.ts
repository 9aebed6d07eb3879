/**
 * Idempotency keys as middleware of hono.
 */
import { serve as listen, type ServerType } from '@hono/node-server';
import { Hono, type Context } from 'hono';
import { HTTPException } from 'hono/http-exception';
import { stream, streamSSE } from 'hono/streaming';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { idempotencyKeys } from '../../src/adapters/hono.ts';
import { createHttpIdempotency, type HttpAnswer } from '../../src/adapters/http/http-idempotency.ts';
import { openDatabase, type Database } from '../../src/postgres/database.ts';
import { createTestDatabase, type TestDatabase } from '../support/servers.ts';
import { describeIdempotency, servingOf, type Order, type Serve } from './idempotency-suite.ts';

const send = (context: Context, { status, headers, body }: HttpAnswer): Response =>
  context.newResponse(body as string | null, status as 200, headers as Record<string, string>);

const serve: Serve = async ({ idempotency, orders }) => {
  const app = new Hono();
  const keys = idempotencyKeys(idempotency, { scope: (context) => context.req.header('x-user') ?? '' });
  for (const path of ['/orders', '/payments'])
    app.post(path, keys, async (context) =>
      send(context, await orders(context.var.idempotent, await context.req.json<Order>())),
    );
  app.onError((_error, context) => context.text('failed', 500));
  const server = listen({ fetch: app.fetch, port: 0, hostname: '127.0.0.1' }) as Extract<
    ServerType,
    { closeAllConnections(): void }
  >;
  return servingOf(server);
};

describeIdempotency('hono', serve);

let test: TestDatabase;
let database: Database;
beforeAll(async () => {
  test = await createTestDatabase({ migrate: true });
  database = openDatabase({ pool: test.pool });
});
afterAll(async () => {
  await database.close();
  await test.drop();
});

function appOf(answer: (context: Context) => Response | Promise<Response>, maxRequestBytes?: number): Hono {
  const app = new Hono();
  app.use(async (context, next) => {
    context.header('x-request', crypto.randomUUID());
    await next();
  });
  const keys = idempotencyKeys(createHttpIdempotency({ database }), { scope: () => 'all', maxRequestBytes });
  app.post('/:what', keys, answer);
  app.onError((error, context) => context.text(error.message, 500));
  return app;
}

const post = (app: Hono, path: string, body: string, headers: Record<string, string> = {}): Promise<Response> =>
  Promise.resolve(app.request(path, { method: 'POST', body, headers: { 'idempotency-key': path, ...headers } }));

it('refuses to answer with a stream, and says what to do', async () => {
  const app = appOf((context) =>
    context.req.path === '/sse'
      ? streamSSE(context, async () => {})
      : (context.header('transfer-encoding', 'chunked'), stream(context, async (out) => void (await out.write('a')))),
  );
  for (const path of ['/sse', '/stream']) {
    const answer = await post(app, path, 'x');
    expect(answer.status).toBe(500);
    expect(await answer.text()).toContain('is a stream');
  }
});

it('refuses a request that is too large, told or not, and leaves the body to be read', async () => {
  const app = appOf(async (context) => context.text(await context.req.text()), 10);
  expect((await post(app, '/told', 'x'.repeat(11), { 'content-length': '11' })).status).toBe(413);
  const chunks = new ReadableStream({
    start(controller) {
      for (const chunk of ['aaaaaa', 'bbbbbb']) controller.enqueue(new TextEncoder().encode(chunk));
      controller.close();
    },
  });
  const init = { method: 'POST', body: chunks, duplex: 'half', headers: { 'idempotency-key': 'chunks' } };
  expect((await app.request('/chunks', init as RequestInit)).status).toBe(413);
  expect(await (await post(app, '/fits', 'x'.repeat(10))).text()).toBe('xxxxxxxxxx');
});

it('keeps the headers that others have set for this request', async () => {
  const app = appOf((context) => context.text('well'));
  const [first, second] = [await post(app, '/well', 'x'), await post(app, '/well', 'x')];
  expect(second.headers.get('idempotent-replayed')).toBe('true');
  expect(second.headers.get('x-request')).not.toBe(first.headers.get('x-request'));
});

it('reads a body that was read before', async () => {
  const app = new Hono();
  const keys = idempotencyKeys(createHttpIdempotency({ database }), { scope: () => 'all' });
  app.use(async (context, next) => {
    await context.req.json();
    await next();
  });
  app.post('/read', keys, async (context) => context.json(await context.req.json()));
  const ask = (body: string) => post(app, '/read', body, { 'content-type': 'application/json' });
  expect(await (await ask('{"a":1}')).json()).toEqual({ a: 1 });
  expect((await ask('{"a":2}')).status).toBe(422);
});

it('stores no answer that is thrown, whatever its status', async () => {
  let runs = 0;
  const app = new Hono();
  app.post('/thrown', idempotencyKeys(createHttpIdempotency({ database }), { scope: () => 'all' }), () => {
    runs += 1;
    throw new HTTPException(409, { message: 'sold out' });
  });
  for (const answer of [await post(app, '/thrown', 'x'), await post(app, '/thrown', 'x')]) {
    expect([answer.status, await answer.text()]).toEqual([409, 'sold out']);
    expect(answer.headers.get('idempotent-replayed')).toBe(null);
  }
  expect(runs).toBe(2);
});
