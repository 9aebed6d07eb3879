/**
 * What a handler leaves running when it is over: it must reach neither the database nor the next message's transaction.
 */
import type { PoolClient } from 'pg';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { on } from '../../src/inbox/handlers/handler.ts';
import { openDatabase } from '../../src/postgres/database.ts';
import { clean, delivery, openLab, Placed, signal, wire, type Lab } from './lab.ts';

let lab: Lab;
beforeAll(async () => {
  lab = await openLab();
});
beforeEach(() => clean(lab));
afterAll(() => lab.dispose());

const write = (tx: PoolClient, id: string, note: string): Promise<unknown> =>
  tx.query('INSERT INTO effect (id, note) VALUES ($1, $2)', [id, note]);

it('a branch that outlives a rejected Promise.all writes nothing', async () => {
  const goOn = signal();
  let straggler: Promise<unknown> = Promise.resolve();
  const consumer = lab.make({
    retry: { attempts: 1 },
    handlers: [
      on(Placed, async (_order, { tx, message }) => {
        straggler = goOn.promise.then(() => write(tx, message.id, 'late'));
        await Promise.all([straggler, Promise.reject(new Error('the other branch'))]);
      }),
    ],
  });
  await consumer.handle(delivery(wire()));
  goOn.fire();
  await expect(straggler).rejects.toMatchObject({ code: 'HF_NOT_IN_TRANSACTION' });
  expect(await lab.effects()).toEqual([]);
});

it('what a handler forgot to wait for stays out of the next transaction on its connection', async () => {
  const database = openDatabase({ url: lab.test.url, max: 1 });
  const second = signal();
  let straggler: Promise<unknown> = Promise.resolve();
  let runs = 0;
  const consumer = lab.make({
    database,
    concurrency: 1,
    handlers: [
      on(Placed, async (_order, { tx, message }) => {
        runs += 1;
        if (runs === 1) {
          straggler = second.promise.then(() => write(tx, message.id, 'late'));
          straggler.catch(() => {});
          return;
        }
        second.fire();
        await straggler.catch(() => {});
        await write(tx, message.id, 'own');
      }),
    ],
  });
  await consumer.handle(delivery(wire()));
  await consumer.handle(delivery(wire()));
  expect((await lab.effects()).map(({ note }) => note)).toEqual(['own']);
  await database.close();
});

it('a handler cannot give the connection away', async () => {
  const consumer = lab.make({
    retry: { attempts: 1 },
    handlers: [
      on(Placed, async (_order, { tx, message }) => {
        await write(tx, message.id, 'own');
        tx.release();
      }),
    ],
  });
  expect(await consumer.handle(delivery(wire()))).toEqual({ kind: 'done' });
  expect(await lab.effects()).toEqual([]);
  expect(await lab.parked()).toMatchObject([{ reason: 'permanent error' }]);
});
