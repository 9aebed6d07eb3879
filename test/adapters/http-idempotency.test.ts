/**
 * Idempotency keys by plain functions, as one uses them with Express.
 */
import express from 'express';
import { Kysely, PostgresDialect, type Transaction } from 'kysely';
import { expect, it } from 'vitest';
import { z } from 'zod';
import type { PoolClient } from 'pg';
import {
  createHttpIdempotency,
  jsonAnswer,
  sendAnswer,
  type HttpIdempotency,
} from '../../src/adapters/http/http-idempotency.ts';
import { createAesGcmCodec } from '../../src/message/aes-gcm-codec.ts';
import { message } from '../../src/message/message-type.ts';
import { createOutbox } from '../../src/outbox/outbox.ts';
import { openDatabase } from '../../src/postgres/database.ts';
import { rowsWith } from '../support/rows-with.ts';
import { createTestDatabase } from '../support/servers.ts';
import { describeIdempotency, servingOf, type Order, type Serve } from './idempotency-suite.ts';

const serve: Serve = async ({ idempotency, orders }) => {
  const app = express();
  app.use(express.json());
  app.post(['/orders', '/payments'], async (request, response) => {
    const { method, originalUrl: url, body } = request;
    const asked = { method, url, key: request.headers['idempotency-key'], scope: request.get('x-user') ?? '', body };
    sendAnswer(response, await idempotency.answer(asked, (context) => orders(context, body as Order)));
  });
  // Express logs what nobody takes.
  app.use(((_error, _request, response, _next) => void response.status(500).end()) as express.ErrorRequestHandler);
  const server = app.listen(0, '127.0.0.1');
  return servingOf(server);
};

describeIdempotency('Express', serve);

it('keeps effect and answer in the transaction of a runner', async () => {
  const test = await createTestDatabase({ migrate: true });
  const db = new Kysely<{ effect: { id: string } }>({ dialect: new PostgresDialect({ pool: test.pool }) });
  const outbox = createOutbox();
  const Noted = message('order.noted', { schema: z.object({ id: z.string() }) });
  try {
    await test.pool.query('CREATE TABLE effect (id text PRIMARY KEY)');
    const runner = {
      transaction: <T>(fn: (tx: Transaction<{ effect: { id: string } }>) => Promise<T>) => db.transaction().execute(fn),
    };
    const idempotency = createHttpIdempotency({ runner });
    const ask = (status: number, key: string | null = 'a') =>
      idempotency.answer({ method: 'POST', url: '/orders', key, scope: 'ann', body: {} }, async ({ tx, handle }) => {
        await tx
          .insertInto('effect')
          .values({ id: `o-${status}` })
          .execute();
        await outbox.send(handle, Noted, { id: 'o' });
        return jsonAnswer(status, { status });
      });
    expect(await ask(500)).toMatchObject({ status: 500, replayed: false });
    expect(await ask(201)).toMatchObject({ status: 201, replayed: false });
    expect(await ask(202)).toMatchObject({ status: 201, replayed: true, body: '{"status":201}' });
    expect(await db.selectFrom('effect').selectAll().execute()).toEqual([{ id: 'o-201' }]);
    expect((await test.pool.query('SELECT topic FROM holdfast.outbox')).rows).toEqual([{ topic: 'order.noted' }]);
  } finally {
    await test.drop();
  }
});

it('refuses what cannot be meant', () => {
  const database = openDatabase({ url: 'postgres://127.0.0.1:1/none' });
  const wrong: readonly [object, string][] = [
    [{}, 'HF_CONFIG'],
    [{ database, runner: { transaction: () => null } }, 'HF_CONFIG'],
    [{ database, retain: '1h' }, 'HF_OPTION_UNKNOWN'],
    [{ database, timeout: 'soon' }, 'HF_DURATION'],
    [{ database, timeout: 0 }, 'HF_CONFIG'],
    [{ database, maxBytes: -1 }, 'HF_CONFIG'],
  ];
  for (const [options, code] of wrong) {
    expect(() => createHttpIdempotency(options as never)).toThrow(expect.objectContaining({ code }) as Error);
  }
});

it('keeps answers encrypted, and has a process that cannot open them ask for patience', async () => {
  const test = await createTestDatabase({ migrate: true });
  const database = openDatabase({ url: test.url, max: 2 });
  const codec = createAesGcmCodec({ keys: { k1: Buffer.alloc(32, 1).toString('base64') } });
  let runs = 0;
  const ask = (idempotency: HttpIdempotency<PoolClient>, body: object = { card: '4111-1111' }) =>
    idempotency.answer({ method: 'POST', url: '/orders', key: 'a', scope: 'ann', body }, () => {
      runs += 1;
      return jsonAnswer(201, { card: '4111-1111' });
    });
  try {
    const own = createHttpIdempotency({ database, codec });
    const first = await ask(own);
    expect(await ask(own)).toMatchObject({ status: 201, replayed: true, body: first.body });
    expect(await ask(own, { card: 'other' })).toMatchObject({ status: 422 });
    expect(await rowsWith(test.pool, '4111')).toEqual([]);
    const refused = await ask(createHttpIdempotency({ database }));
    expect(refused).toMatchObject({ status: 503, headers: { 'retry-after': '1' } });
    expect(refused.refusal?.code).toBe('HF_PAYLOAD_ENCRYPTED');
    expect(refused.body).not.toContain('k1');
    expect(runs).toBe(1);
  } finally {
    await database.close();
    await test.drop();
  }
});
