/**
 * Consumers on the user's own client, here Kysely: the same promises through a runner.
 */
import { Kysely, PostgresDialect, sql, type Transaction } from 'kysely';
import { Pool } from 'pg';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { createConsumer, type Consumer } from '../../src/inbox/consumer.ts';
import type { RunnerConsumerOptions } from '../../src/inbox/consumer-options.ts';
import type { Runner } from '../../src/postgres/runner.ts';
import { createOutbox } from '../../src/outbox/outbox.ts';
import type { Row } from '../../src/postgres/executor.ts';
import { createMemoryTransport } from '../../src/transport/memory.ts';
import { clean, delivery, manualClock, openLab, Placed, Shipped, signal, wire, type Lab } from './lab.ts';

interface Tables {
  effect: { id: string; note: string };
}
type Trx = Transaction<Tables>;

let lab: Lab;
let db: Kysely<Tables>;
beforeAll(async () => {
  lab = await openLab();
  const pool = new Pool({ connectionString: lab.test.url, max: 6 });
  pool.on('error', () => {});
  pool.on('connect', (client) => client.on('error', () => {}));
  db = new Kysely<Tables>({ dialect: new PostgresDialect({ pool }) });
});
beforeEach(() => clean(lab));
afterAll(async () => {
  await db.destroy();
  await lab.dispose();
});

function make(
  handlers: RunnerConsumerOptions<Trx>['handlers'],
  rest: Partial<RunnerConsumerOptions<Trx>> = {},
): Consumer {
  return createConsumer('shipping', {
    runner: { transaction: (fn) => db.transaction().execute(fn) },
    transport: createMemoryTransport(),
    random: () => 0,
    redeliveryHorizon: '1d',
    handlers,
    ...rest,
  });
}

it('commits mark, effect and sent messages together; duplicates have no second effect', async () => {
  const shipping = make(
    (onTrx) => [
      onTrx(Placed, async (order, { tx, message, attempt, send }) => {
        await tx
          .insertInto('effect')
          .values({ id: message.id, note: `${order.orderId} ${attempt}` })
          .execute();
        await send(Shipped, { orderId: order.orderId });
        if (attempt === 1) throw new Error('not yet');
      }),
    ],
    { outbox: createOutbox() },
  );
  const sent = wire();
  const verdicts = await Promise.all([1, 2, 3].map(() => shipping.handle(delivery(sent))));
  expect(verdicts).toEqual(Array(3).fill({ kind: 'done' }));
  expect(await lab.effects()).toHaveLength(1);
  expect((await lab.test.pool.query('SELECT topic FROM holdfast.outbox')).rows).toEqual([{ topic: 'order.shipped' }]);
});

it('parks and redrives', async () => {
  let works = false;
  const shipping = make(
    (onTrx) => [
      onTrx(Placed, async (_order, { tx, message }) => {
        await tx.insertInto('effect').values({ id: message.id, note: 'done' }).execute();
        if (!works) throw new Error('no');
      }),
    ],
    { retry: { attempts: 2 }, ordered: true },
  );
  for (const n of [1, 2]) await shipping.handle(delivery(wire({ key: 'k', data: { orderId: 'k', n } })));
  expect(await lab.parked()).toMatchObject([
    { state: 'failed', attempts: 2 },
    { state: 'behind', attempts: 0 },
  ]);
  works = true;
  await shipping.tickParked();
  expect(await lab.parked()).toEqual([]);
  expect(await lab.effects()).toHaveLength(2);
});

it('notices a handler that swallowed an SQL error', async () => {
  const shipping = make((onTrx) => [onTrx(Placed, (_order, { tx }) => sql`SELECT 1/0`.execute(tx).catch(() => {}))], {
    retry: { attempts: 1 },
  });
  const sent = wire();
  await shipping.handle(delivery(sent));
  expect((await lab.parked(sent.id))[0]?.error).toMatch(/HF_TRANSACTION_ABORTED/);
});

it('ends the backend of a handler that hangs in a statement', async () => {
  const clock = manualClock();
  const hanging = signal();
  let runs = 0;
  const shipping = make(
    (onTrx) => [
      onTrx(Placed, async (_order, { tx, message }) => {
        runs += 1;
        await tx
          .insertInto('effect')
          .values({ id: message.id, note: `run ${runs}` })
          .execute();
        if (runs > 1) return;
        const sleeping = sql`SELECT pg_sleep(600)`.execute(tx);
        hanging.fire();
        await sleeping;
      }),
    ],
    { clock, timeout: '10s' },
  );
  const verdict = shipping.handle(delivery(wire()));
  await hanging.promise;
  await clock.advance('10s');
  await clock.whenSleeping();
  await clock.advance('1s');
  expect(await verdict).toEqual({ kind: 'done' });
  expect((await lab.effects()).map(({ note }) => note)).toEqual(['run 2']);
});

it('passes a simulated crash through the runner', async () => {
  const dying = make((onTrx) => [onTrx(Placed, () => {})], {
    crashPoint: (point) => {
      if (point === 'inbox.commit:before') throw new Error('killed');
    },
  });
  await expect(dying.handle(delivery(wire()))).rejects.toThrow('inbox.commit:before');
  expect(await lab.count('inbox')).toBe(0);
});

it('starts and stops, with its own tables in place', async () => {
  const shipping = make((onTrx) => [onTrx(Placed, () => {})]);
  await shipping.start();
  await shipping.start();
  await shipping.stop();
  await shipping.stop();
});

it('takes a runner of any kind with execute', async () => {
  interface Own {
    run(text: string, values: readonly unknown[]): Promise<readonly Row[]>;
  }
  const runner: Runner<Own> = {
    transaction: (fn) =>
      lab.database.transaction((client) =>
        fn({ run: async (text, values) => (await client.query<Record<string, unknown>>(text, [...values])).rows }),
      ),
    execute: (own, text, values) => own.run(text, values),
  };
  const other = createConsumer('other', {
    runner,
    transport: createMemoryTransport(),
    outbox: createOutbox(),
    handlers: (onOwn) => [
      onOwn(Placed, async (order, { tx, message, send }) => {
        await tx.run('INSERT INTO effect (id, note) VALUES ($1, $2)', [message.id, 'x']);
        await send(Shipped, { orderId: order.orderId });
      }),
    ],
  });
  await other.handle(delivery(wire()));
  expect(await lab.effects()).toHaveLength(1);
});

it('is not taken together with a database', () => {
  const both = {
    runner: { transaction: () => {} },
    database: lab.database,
    transport: createMemoryTransport(),
    handlers: [],
  };
  expect(() => createConsumer('x', both as never)).toThrow(/both database and runner/);
});
