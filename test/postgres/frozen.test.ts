/**
 * A process that stands still between two statements of a transaction of our own does not keep others from what it has locked: the
 * server ends the transaction.
 *
 * Fails when a transaction that a consumer, a relay, a worker or a participant opens for itself is opened without that limit.
 */
import { once } from 'node:events';
import { Kysely, PostgresDialect, sql } from 'kysely';
import type pg from 'pg';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { z } from 'zod';
import { createConsumer } from '../../src/inbox/consumer.ts';
import { on } from '../../src/inbox/handlers/handler.ts';
import { message } from '../../src/message/message-type.ts';
import { createRelay } from '../../src/relay/relay.ts';
import { openDatabase, type Database } from '../../src/postgres/database.ts';
import { saga } from '../../src/saga/definition/definition.ts';
import { step } from '../../src/saga/kinds/step.ts';
import { handle } from '../../src/saga/participant/handle.ts';
import { createParticipant } from '../../src/saga/participant/participant.ts';
import { createWorker } from '../../src/saga/worker/worker.ts';
import { createMemoryTransport } from '../../src/transport/memory.ts';
import { delivery, Placed, wire } from '../inbox/lab.ts';
import { createTestDatabase, type TestDatabase } from '../support/servers.ts';

let server: TestDatabase;
let database: Database;
beforeAll(async () => {
  server = await createTestDatabase({ migrate: true });
  database = openDatabase({ url: server.url, max: 8 });
  await server.pool.query('CREATE TABLE item (id int PRIMARY KEY); INSERT INTO item VALUES (1)');
});
afterAll(async () => {
  await database.close();
  await server.drop();
});

const LIMIT = 'idle_in_transaction_session_timeout';
const LOCK = 'SELECT FROM item FOR UPDATE';

it('is ended by the server, which says why, before those who wait for it give up', async () => {
  let why: unknown;
  const frozen = database.transaction(
    async (client) => {
      const ended = new Promise<void>((resolve) => {
        client.once('error', (error) => {
          why = error;
          resolve();
        });
      });
      await client.query(LOCK);
      const waits = server.pool.query(LOCK);
      await ended;
      await waits;
    },
    { timeoutMs: 4_000 },
  );
  await expect(frozen).rejects.toThrow();
  expect(why).toMatchObject({ code: '25P03' });
});

/** What each transaction of a service would be given to stand still in, as it ends. */
function watched(): { readonly database: Database; readonly limits: Set<string> } {
  const limits = new Set<string>();
  return {
    limits,
    database: {
      ...database,
      transaction: (fn, options) =>
        database.transaction(async (client) => {
          const result = await fn(client);
          limits.add(await limitIn(client));
          return result;
        }, options),
    },
  };
}

async function limitIn(client: pg.ClientBase): Promise<string> {
  const { rows } = await client.query<{ limit: string }>('SELECT current_setting($1) AS limit', [LIMIT]);
  return rows[0]?.limit ?? '';
}

/** As from one whose process stood still at the end of its n-th transaction, from 0 on, until the server had ended it. */
function stoodStill(n: number): { readonly database: Database; readonly begun: () => number } {
  let begun = 0;
  return {
    begun: () => begun,
    database: {
      ...database,
      transaction: (fn, options) =>
        database.transaction(async (client) => {
          const result = await fn(client);
          if (begun++ !== n) return result;
          const ended = once(client, 'error');
          await client.query(`SET LOCAL ${LIMIT} = 1`);
          await ended;
          return result;
        }, options),
    },
  };
}

const Seat = message('seat', { schema: z.object({ id: z.string() }) });
const trip = saga({
  name: 'trip',
  input: z.object({}),
  steps: { book: step({ run: () => 'booked' }) },
  async run({ steps }) {
    await steps.book({});
  },
});

it('is limited in a consumer, a participant, a relay and a worker', async () => {
  const { database: own, limits } = watched();
  const transport = createMemoryTransport();
  const services = {
    consumer: createConsumer('shipping', { database: own, transport, handlers: [on(Placed, () => {})] }),
    participant: createParticipant('seats', {
      database: own,
      transport,
      handlers: [handle(Seat, () => {})],
    }),
    relay: createRelay({
      database: own,
      subscriptions: [{ name: 'all', transport, routes: [{ topics: '**', to: 'all' }] }],
    }),
    worker: createWorker({ database: own, sagas: [trip], replies: { transport } }),
  };
  const seen: Record<string, string> = {};
  for (const [name, service] of Object.entries(services)) {
    limits.clear();
    await service.start();
    await service.stop();
    seen[name] = limits.size === 0 ? 'opened none' : limits.has('0') ? 'not limited' : 'limited';
  }
  expect(seen).toEqual({ consumer: 'limited', participant: 'limited', relay: 'limited', worker: 'limited' });
});

it('does not keep a service from its start: what was ended by the server is done anew', async () => {
  const transport = createMemoryTransport();
  const services = {
    consumer: (own: Database, name: string) =>
      createConsumer(name, { database: own, transport, handlers: [on(Placed, () => {})] }),
    participant: (own: Database, name: string) =>
      createParticipant(name, { database: own, transport, handlers: [handle(Seat, () => {})] }),
    relay: (own: Database, name: string) =>
      createRelay({
        database: own,
        subscriptions: [{ name, transport, routes: [{ topics: '**', to: 'all' }] }],
      }),
    worker: (own: Database) => createWorker({ database: own, sagas: [trip], replies: { transport } }),
  };
  for (const [name, create] of Object.entries(services)) {
    let isReached = true;
    for (let n = 0; isReached; n += 1) {
      const { database: own, begun } = stoodStill(n);
      const service = create(own, `${name}-${n}`);
      await service.start();
      await service.stop();
      isReached = begun() > n;
      expect(isReached || n > 0, `${name} has begun a transaction`).toBe(true);
    }
  }
});

it("is limited in what a consumer does through somebody else's client, and in its handlers", async () => {
  const db = new Kysely<{}>({ dialect: new PostgresDialect({ pool: server.pool }) });
  const limits = new Set<string>();
  const note = async (tx: Kysely<{}>): Promise<void> => {
    const { rows } = await sql<{ limit: string }>`SELECT current_setting(${LIMIT}) AS limit`.execute(tx);
    limits.add(rows[0]?.limit ?? '');
  };
  const consumer = createConsumer<Kysely<{}>>('billing', {
    runner: {
      transaction: (fn) =>
        db.transaction().execute(async (tx) => {
          const result = await fn(tx);
          await note(tx);
          return result;
        }),
    },
    transport: createMemoryTransport(),
    redeliveryHorizon: '1d',
    handlers: (onTx) => [onTx(Placed, (_order, { tx }) => note(tx), { timeout: '20s' })],
  });
  await consumer.start();
  await consumer.stop();
  expect([...limits]).toEqual(['10s']);
  limits.clear();
  await consumer.handle(delivery(wire()));
  expect([...limits]).toEqual(['30s']);
});
