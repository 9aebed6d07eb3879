/**
 * What every way to serve requests with idempotency keys must do, on a real server and a real database.
 */
import { once } from 'node:events';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { PoolClient } from 'pg';
import {
  createHttpIdempotency,
  jsonAnswer,
  type DatabaseHttpIdempotencyOptions,
  type HttpAnswer,
  type HttpIdempotency,
  type IdempotentContext,
} from '../../src/adapters/http/http-idempotency.ts';
import { openDatabase, type Database } from '../../src/postgres/database.ts';
import { createManualClock } from '../../src/testing/manual-clock.ts';
import { eventually } from '../support/eventually.ts';
import { signal } from '../inbox/lab.ts';
import { createTestDatabase, type TestDatabase } from '../support/servers.ts';

/** POST /orders and POST /payments, both by `orders`. The user is in the header x-user. */
export type Serve = (served: Served) => Promise<Serving>;

export interface Serving {
  readonly url: string;
  readonly close: () => Promise<void>;
}

/** Of a server of node:http that is about to listen. */
export async function servingOf(server: Server): Promise<Serving> {
  if (!server.listening) await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: async () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

export interface Served {
  readonly database: Database;
  readonly idempotency: HttpIdempotency<PoolClient>;
  readonly orders: Orders;
}

export type Orders = (
  context: Pick<IdempotentContext<PoolClient>, 'tx' | 'signal'>,
  body: Order,
) => Promise<HttpAnswer>;

export interface Order {
  readonly id: string;
  /** What it is to be answered; else 201. */
  readonly status?: number;
  readonly note?: string;
}

/** What the handler does after its insert; by default nothing. */
type Then = (context: Context) => Promise<HttpAnswer | undefined>;
type Context = Pick<IdempotentContext<PoolClient>, 'tx' | 'signal'>;

interface Asked {
  readonly key?: string | null;
  readonly user?: string;
  readonly path?: string;
  readonly body?: unknown;
  readonly signal?: AbortSignal;
}

const POINTS = ['http.begin', 'http.handler', 'http.commit'].flatMap((point) => [`${point}:before`, `${point}:after`]);

const HANGING: readonly (readonly [string, Then])[] = [
  ['waits', ({ signal: end }) => new Promise((resolve) => end.addEventListener('abort', () => resolve(undefined)))],
  ['waits in a statement', async ({ tx }) => (await tx.query('SELECT pg_sleep(1000)'), undefined)],
  ['never comes back', () => new Promise(() => {})],
];

const WRONG: readonly (readonly [string, Then])[] = [
  ['ends the transaction', async ({ tx }) => (await tx.query('COMMIT').catch(() => {}), undefined)],
  ['swallows a failed statement', async ({ tx }) => (await tx.query('no SQL').catch(() => {}), undefined)],
  ['answers too much', async () => jsonAnswer(200, 'x'.repeat(2_000))],
];

export interface Traits {
  /** Whether handlers answer with bytes; else only with values. */
  readonly bytes?: boolean;
}

/** The framework tells what its handlers throw with 500. */
export function describeIdempotency(name: string, serve: Serve, { bytes = true }: Traits = {}): void {
  describe(`idempotency keys of ${name}`, () => {
    let test: TestDatabase;
    let database: Database;
    let runs = 0;
    let then: Then = async () => undefined;
    const closing: (() => Promise<void>)[] = [];

    beforeAll(async () => {
      test = await createTestDatabase({ migrate: true });
      database = openDatabase({ pool: test.pool });
      await test.pool.query('CREATE TABLE effect (id text PRIMARY KEY)');
    });
    beforeEach(async () => {
      runs = 0;
      then = async () => undefined;
      for (const close of closing.splice(0)) await close();
      await test.pool.query('TRUNCATE effect, holdfast.idempotency_key');
    });
    afterAll(async () => {
      for (const close of closing.splice(0)) await close();
      await database.close();
      await test.drop();
    });

    const orders: Orders = async (context, { id, status = 201 }) => {
      runs += 1;
      await context.tx.query('INSERT INTO effect (id) VALUES ($1)', [id]);
      const other = await then(context);
      if (other !== undefined) return other;
      return jsonAnswer(
        status,
        { id, note: 'grüße' },
        { location: `/orders/${id}`, 'set-cookie': 'secret=1', etag: '"1"' },
      );
    };

    async function start(
      options: Partial<DatabaseHttpIdempotencyOptions> = {},
    ): Promise<(asked?: Asked) => Promise<Response>> {
      const { url, close } = await serve({
        database,
        idempotency: createHttpIdempotency({ database, ...options }),
        orders,
      });
      closing.push(close);
      return ({ key = 'key-1', user = 'ann', path = '/orders', body = { id: 'o-1' }, signal: aborted } = {}) =>
        fetch(`${url}${path}`, {
          method: 'POST',
          redirect: 'manual',
          headers: {
            'content-type': 'application/json',
            'x-user': user,
            ...(key === null ? {} : { 'idempotency-key': key }),
          },
          body: JSON.stringify(body),
          ...(aborted === undefined ? {} : { signal: aborted }),
        });
    }

    async function effects(): Promise<readonly string[]> {
      const { rows } = await test.pool.query<{ id: string }>('SELECT id FROM effect ORDER BY id');
      return rows.map(({ id }) => id);
    }

    /** Whether a connection but the one that asks is in a transaction. */
    async function isQuiet(): Promise<boolean> {
      const { rows } = await test.pool.query(
        "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND state <> 'idle' AND pid <> pg_backend_pid()",
      );
      return rows.length === 0;
    }

    it('gives the stored answer for a repeated request, and the handler runs once', async () => {
      const ask = await start();
      const first = await ask({ key: '"key-1"' });
      const second = await ask();
      expect([first.status, second.status]).toEqual([201, 201]);
      expect([first.headers.get('idempotent-replayed'), second.headers.get('idempotent-replayed')]).toEqual([
        null,
        'true',
      ]);
      expect(await second.text()).toBe(await first.text());
      for (const header of ['location', 'content-type', 'etag'])
        expect(second.headers.get(header)).toBe(first.headers.get(header));
      expect(second.headers.get('location')).toBe('/orders/o-1');
      expect([first.headers.get('set-cookie'), second.headers.get('set-cookie')]).toEqual(['secret=1', null]);
      expect(runs).toBe(1);
      expect(await effects()).toEqual(['o-1']);
    });

    it('refuses the second of two at once, in this process and in another one', async () => {
      const [ask, elsewhere] = [await start(), await start()];
      const [started, goOn] = [signal(), signal()];
      then = async () => (started.fire(), goOn.promise.then(() => undefined));
      const first = ask();
      await started.promise;
      for (const answer of [await ask(), await elsewhere()]) {
        expect(answer.status).toBe(409);
        expect(answer.headers.get('retry-after')).toBe('1');
        expect(answer.headers.get('content-type')).toContain('application/problem+json');
        expect(await answer.json()).toMatchObject({ status: 409, code: 'HF_IDEMPOTENCY_UNDER_WAY' });
      }
      goOn.fire();
      expect((await first).status).toBe(201);
      expect((await elsewhere()).headers.get('idempotent-replayed')).toBe('true');
      expect(await effects()).toEqual(['o-1']);
    });

    it('refuses a key that comes with another payload or query, but not with its properties in another order', async () => {
      const ask = await start();
      await ask({ body: { id: 'o-1', note: 'a' } });
      expect((await ask({ body: { note: 'a', id: 'o-1' } })).status).toBe(201);
      for (const asked of [{ body: { id: 'o-2' } }, { body: { id: 'o-1', note: 'a' }, path: '/orders?dry=1' }]) {
        const answer = await ask(asked);
        expect(answer.status).toBe(422);
        expect(await answer.json()).toMatchObject({ code: 'HF_IDEMPOTENCY_CONFLICT' });
      }
      expect(await effects()).toEqual(['o-1']);
    });

    it('keeps users and routes apart', async () => {
      const ask = await start();
      await ask();
      const answers = [
        await ask({ user: 'bob', body: { id: 'o-2' } }),
        await ask({ path: '/payments', body: { id: 'o-3' } }),
      ];
      expect(answers.map(({ headers }) => headers.get('idempotent-replayed'))).toEqual([null, null]);
      expect(await effects()).toEqual(['o-1', 'o-2', 'o-3']);
    });

    it.each([[null], [''], ['a, b'], ['"open'], ['x'.repeat(256)]])('refuses the key %j', async (key) => {
      const answer = await (await start())({ key });
      expect(answer.status).toBe(400);
      expect(await answer.json()).toMatchObject({ code: 'HF_IDEMPOTENCY_KEY' });
      expect(runs).toBe(0);
    });

    it('handles what has no key where none is required, in a transaction', async () => {
      const ask = await start({ required: false });
      expect((await ask({ key: null })).status).toBe(201);
      expect((await ask({ key: null, body: { id: 'o-2', status: 503 } })).status).toBe(503);
      expect(await effects()).toEqual(['o-1']);
    });

    it.each([200, 303, 404, 409, 422])('stores %i, with what its handler wrote', async (status) => {
      const ask = await start();
      const body = { id: 'o-1', status };
      expect((await ask({ body })).status).toBe(status);
      expect((await ask({ body })).headers.get('idempotent-replayed')).toBe('true');
      expect(await effects()).toEqual(['o-1']);
    });

    it.each([401, 429, 500, 503])('rolls %i back, and runs the handler again', async (status) => {
      const ask = await start();
      const body = { id: 'o-1', status };
      expect([(await ask({ body })).status, (await ask({ body })).status]).toEqual([status, status]);
      expect([runs, await effects()]).toEqual([2, []]);
    });

    it('rolls back what a handler throws, which the framework tells as ever', async () => {
      const ask = await start();
      then = () => Promise.reject(new Error('no'));
      expect((await ask()).status).toBe(500);
      expect(await effects()).toEqual([]);
      then = async () => undefined;
      expect((await ask()).status).toBe(201);
      expect([runs, await effects()]).toEqual([2, ['o-1']]);
    });

    it.each(POINTS)('the process dies at %s: repeated, the effect is there once', async (dieAt) => {
      const reached: string[] = [];
      const dying = await start({
        crashPoint: (point) => {
          reached.push(point);
          if (point === dieAt) throw new Error('killed');
        },
      });
      expect((await dying()).status).toBe(500);
      expect(reached.at(-1)).toBe(dieAt);
      const again = await start();
      // The server may hear of the death a moment later, and holds the key until then.
      const answer = await eventually('the key to be free', async () => {
        const asked = await again();
        return asked.status === 409 ? undefined : asked;
      });
      expect(answer.status).toBe(201);
      expect(answer.headers.get('idempotent-replayed')).toBe(dieAt === 'http.commit:after' ? 'true' : null);
      expect(await effects()).toEqual(['o-1']);
    });

    it('gives the answer to who has hung up before it came', async () => {
      const ask = await start();
      const [started, goOn, hangUp] = [signal(), signal(), new AbortController()];
      then = async () => (started.fire(), goOn.promise.then(() => undefined));
      const lost = ask({ signal: hangUp.signal }).catch(() => 'lost');
      await started.promise;
      hangUp.abort();
      expect(await lost).toBe('lost');
      goOn.fire();
      const answer = await eventually('the first one to end', async () => {
        const asked = await ask();
        return asked.status === 409 ? undefined : asked;
      });
      expect(answer.headers.get('idempotent-replayed')).toBe('true');
      expect([runs, await effects()]).toEqual([1, ['o-1']]);
    });

    it('says 503 when the connection breaks before the answer is stored, and runs again', async () => {
      const ask = await start();
      then = async ({ tx }) => {
        const { rows } = await tx.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
        await test.pool.query('SELECT pg_terminate_backend($1)', [rows[0]?.pid]);
        return undefined;
      };
      const answer = await ask();
      expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, '1']);
      expect(await effects()).toEqual([]);
      then = async () => undefined;
      expect((await ask()).status).toBe(201);
      expect(await effects()).toEqual(['o-1']);
    });

    it.each(HANGING)('ends a handler that %s when its time is up', async (_how, hang) => {
      const clock = createManualClock(Date.now());
      const ask = await start({ timeout: '30s', clock });
      const started = signal();
      then = (context) => (started.fire(), hang(context));
      const asked = ask();
      await started.promise;
      await clock.advance('30s');
      await clock.advance('1s');
      const answer = await asked;
      expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, '1']);
      expect(await answer.text()).toContain('HF_HANDLER_TIMEOUT');
      await eventually('its transaction to be gone', isQuiet);
      then = async () => undefined;
      expect((await ask()).status).toBe(201);
      expect(await effects()).toEqual(['o-1']);
    });

    it.each(WRONG)('keeps nothing of a handler that %s', async (_what, does) => {
      const ask = await start({ maxBytes: 1_000 });
      then = does;
      expect((await ask()).status).toBe(500);
      expect(await effects()).toEqual([]);
      then = async () => undefined;
      expect((await ask()).status).toBe(201);
    });

    it.runIf(bytes)('gives bytes and NUL again as they were', async () => {
      const ask = await start();
      const body = Buffer.from([0, 255, 254, 65, 0]);
      then = async () => ({ status: 200, headers: { 'content-type': 'application/octet-stream' }, body });
      const answers = [await ask(), await ask()];
      for (const answer of answers) expect(Buffer.from(await answer.arrayBuffer())).toEqual(body);
      expect(answers[1]?.headers.get('content-type')).toBe('application/octet-stream');
    });

    it('gives an answer without a body again', async () => {
      const ask = await start();
      then = async () => ({ status: 204, headers: {}, body: null });
      const answers = [await ask(), await ask()];
      expect(answers.map(({ status }) => status)).toEqual([204, 204]);
      expect(answers[1]?.headers.get('idempotent-replayed')).toBe('true');
    });

    it('forgets an answer when its time is over', async () => {
      const idempotency = createHttpIdempotency({ database, retention: '1h' });
      const ask = await start();
      await ask();
      expect(await idempotency.prune()).toBe(0);
      await test.pool.query("UPDATE holdfast.idempotency_key SET created_at = now() - interval '61 minutes'");
      expect(await idempotency.prune()).toBe(1);
      expect((await ask({ body: { id: 'o-2' } })).headers.get('idempotent-replayed')).toBe(null);
      expect(await effects()).toEqual(['o-1', 'o-2']);
    });

    it('refuses a body that is nested too deep', async () => {
      let deep: unknown = 1;
      for (let level = 0; level < 600; level += 1) deep = [deep];
      expect((await (await start())({ body: { id: 'o-1', deep } })).status).toBe(400);
      expect(runs).toBe(0);
    });
  });
}
