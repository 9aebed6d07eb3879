/**
 * One message that fails in a batch is rolled back and retried alone, and a batch that fails as a whole is repeated message by message.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { BATCH_CRASH_POINTS } from '../../src/inbox/handlers/batch-work.ts';
import { on } from '../../src/inbox/handlers/handler.ts';
import { openDatabase } from '../../src/postgres/database.ts';
import { isCommit, startTcpProxy } from '../support/faults/tcp-proxy.ts';
import { batching, done, handleAll, idsOf, transactions, wires, write, type Act } from './batch-lab.ts';
import { clean, delivery, openLab, Placed, type Lab } from './lab.ts';

let lab: Lab;
beforeAll(async () => {
  lab = await openLab();
  await lab.test.pool.query('CREATE TABLE late (n int UNIQUE DEFERRABLE INITIALLY DEFERRED)');
});
beforeEach(async () => {
  await clean(lab);
  await lab.test.pool.query('TRUNCATE late');
});
afterAll(() => lab.dispose());

describe('a message that fails among others', () => {
  it('is rolled back alone, leaves no mark, and is retried alone', async () => {
    const attempts: number[] = [];
    const consumer = batching(lab, ({ n }, { attempt }) => {
      if (n !== 7) return;
      attempts.push(attempt);
      if (attempts.length < 3) throw new Error('not yet');
    });
    const sent = wires(20);
    expect(await handleAll(consumer, sent)).toEqual(Array(20).fill(done));
    // What has run in the batch is no attempt.
    expect(attempts).toEqual([1, 1, 2]);
    expect(idsOf(await lab.effects())).toEqual(idsOf(sent));
    expect(await transactions(lab)).toBe(2);
    expect(await lab.count('inbox')).toBe(20);
  });

  it('is parked alone when it gives up', async () => {
    const consumer = batching(lab, ({ n }) => {
      if (n === 3 || n === 4) throw new Error('no luck');
    });
    const sent = wires(20);
    expect(await handleAll(consumer, sent)).toEqual(Array(20).fill(done));
    expect((await lab.parked()).map(({ message_id: id }) => id).toSorted()).toEqual(idsOf(sent.slice(3, 5)));
    expect(await lab.parked()).toMatchObject([{ attempts: 2 }, { attempts: 2 }]);
    expect(await lab.effects()).toHaveLength(18);
    expect(await transactions(lab)).toBe(3);
  });

  it.each<[string, Act, RegExp]>([
    ['swallows an SQL error', (_order, { tx }) => tx.query('SELECT 1/0').catch(() => {}), /HF_TRANSACTION_ABORTED/],
    ['ends the transaction', (_order, { tx }) => tx.query('COMMIT').catch(() => {}), /COMMIT would end/],
    ['rolls the transaction back', (_order, { tx }) => tx.query('ROLLBACK'), /ROLLBACK would end/],
    ['leaves a transaction open', (_order, { tx }) => tx.query('BEGIN'), /neither committed nor rolled back/],
    ['leaves a failing statement behind', (_order, { tx }) => void tx.query('SELECT 1/0').catch(() => {}), /ABORTED/],
    ['cannot be committed', (_order, { tx }) => tx.query('INSERT INTO late VALUES (1), (1)'), /duplicate key/],
    [
      'throws at once',
      () => {
        throw new Error('at once');
      },
      /at once/,
    ],
  ])('does no harm to the others when it %s', async (_what, act, error) => {
    const consumer = batching(lab, ({ n }, context) => (n === 2 ? act({ orderId: '', n }, context) : undefined), {
      retry: { attempts: 1 },
    });
    const sent = wires(5);
    expect(await handleAll(consumer, sent)).toEqual(Array(5).fill(done));
    expect(await lab.parked()).toMatchObject([{ message_id: sent[2]?.id, attempts: 1 }]);
    expect((await lab.parked())[0]?.error).toMatch(error);
    expect(idsOf(await lab.effects())).toEqual(idsOf(sent.filter((_each, n) => n !== 2)));
    expect(await lab.count('inbox')).toBe(5);
  });

  it('writes nothing into the others with what it has left running', async () => {
    let late: Promise<unknown> = Promise.resolve();
    const consumer = batching(lab, async ({ n }, { tx, message }) => {
      if (n !== 0) return;
      late = (async () => {
        await new Promise((resolve) => setTimeout(resolve, 5));
        await write(tx, message.id, 'late');
      })().catch((error: unknown) => error);
      throw new Error('no');
    });
    await handleAll(consumer, wires(10));
    expect(await late).toMatchObject({ code: 'HF_NOT_IN_TRANSACTION' });
    expect((await lab.effects()).filter(({ note }) => note === 'late')).toEqual([]);
  });

  it('has its connection cut when it hangs, and the others are handled', async () => {
    const consumer = batching(lab, ({ n }) => (n === 1 ? new Promise(() => {}) : undefined), {
      timeout: 100,
      retry: { attempts: 1 },
    });
    const sent = wires(4);
    expect(await handleAll(consumer, sent)).toEqual(Array(4).fill(done));
    expect(idsOf(await lab.effects())).toEqual(idsOf(sent.filter((_each, n) => n !== 1)));
    expect(await lab.parked()).toMatchObject([{ message_id: sent[1]?.id }]);
  }, 30_000);

  it('may have read through a portal, with which nothing can be sent without waiting', async () => {
    const consumer = batching(lab, async ({ n }, { tx }) => {
      const inPortions = { text: 'SELECT i FROM generate_series(1, 100) AS i', rows: 30 };
      const [first, second] = await Promise.all([tx.query(inPortions), tx.query('SELECT 1')]);
      expect([first.rows.length, second.rows.length]).toEqual([100, 1]);
      if (n === 4) throw new Error('no');
    });
    const sent = wires(6);
    expect(await handleAll(consumer, sent)).toEqual(Array(6).fill(done));
    expect(idsOf(await lab.effects())).toEqual(idsOf(sent.filter((_each, n) => n !== 4)));
    // Those that were handled have one, the parked one another.
    expect(await transactions(lab)).toBe(2);
  });

  it('cannot be decoded: it alone is parked', async () => {
    const sent = wires(4, (n) => (n === 1 ? { data: { orderId: 1 } } : {}));
    expect(await handleAll(batching(lab), sent)).toEqual(Array(4).fill(done));
    expect(await lab.parked()).toMatchObject([{ message_id: sent[1]?.id, reason: 'permanent error' }]);
    expect(await lab.effects()).toHaveLength(3);
  });
});

describe('a batch that fails as a whole', () => {
  it('is handled message by message after a deadlock or another conflict', async () => {
    let refused = 0;
    const consumer = batching(lab, async ({ n }, { tx }) => {
      if (n === 2 && refused++ === 0)
        await tx.query("DO $$ BEGIN RAISE EXCEPTION 'conflict' USING ERRCODE = '40001'; END $$");
    });
    const sent = wires(5);
    expect(await handleAll(consumer, sent)).toEqual(Array(5).fill(done));
    expect(idsOf(await lab.effects())).toEqual(idsOf(sent));
    expect(await lab.parked()).toEqual([]);
  });

  it('has each effect once when the connections are cut at any moment', async () => {
    const database = openDatabase({ url: lab.test.url, max: 6, applicationName: 'to be cut' });
    const consumer = lab.make({
      database,
      concurrency: 2,
      batch: { size: 7 },
      retry: { attempts: 50, base: 1, cap: 5 },
      handlers: [on(Placed, async ({ n }, { tx, message }) => void (await write(tx, message.id, String(n))))],
    });
    const sent = wires(150);
    const cutting = (async () => {
      for (let cuts = 0; cuts < 25; cuts += 1) {
        await lab.test.pool.query(
          `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
           WHERE datname = current_database() AND application_name = 'to be cut'`,
        );
        await new Promise((resolve) => setTimeout(resolve, 5 + 4 * cuts));
      }
    })();
    const verdicts = await handleAll(consumer, sent);
    await cutting;
    await database.close();
    expect(verdicts).toEqual(sent.map(() => done));
    expect(idsOf(await lab.effects())).toEqual(idsOf(sent));
    expect(await lab.count('inbox')).toBe(150);
  }, 60_000);

  it.each(['before', 'after'] as const)('has each effect once when its COMMIT is cut %s it arrives', async (side) => {
    const proxy = await startTcpProxy(lab.test.url);
    const database = openDatabase({ url: proxy.url, max: 6 });
    onTestFinished(async () => {
      await database.close();
      await proxy.close();
    });
    let begun = false;
    proxy.judge = (bytes) => {
      if (!begun || !isCommit(bytes) || proxy.cuts[side] > 0) return 'pass';
      return side;
    };
    const consumer = lab.make({
      database,
      concurrency: 1,
      batch: { size: 10, within: '1m' },
      retry: { attempts: 50, base: 1, cap: 5 },
      handlers: [
        on(Placed, async ({ n }, { tx, message }) => {
          begun = true;
          await write(tx, message.id, String(n));
        }),
      ],
    });
    const sent = wires(10);
    expect(await handleAll(consumer, sent)).toEqual(sent.map(() => done));
    expect(proxy.cuts[side]).toBe(1);
    expect(idsOf(await lab.effects())).toEqual(idsOf(sent));
    expect(await lab.count('inbox')).toBe(10);
  });

  it.each(BATCH_CRASH_POINTS.flatMap((point) => [`${point}:before`, `${point}:after`]))(
    'has each effect once when the process dies at %s',
    async (point) => {
      const failing: Act = ({ n }) => {
        if (n === 1) throw new Error('not now');
      };
      let reached = false;
      const dying = batching(lab, failing, {
        retry: { attempts: 1 },
        crashPoint: (at) => {
          if (at !== point) return;
          reached = true;
          throw new Error('killed');
        },
      });
      const sent = wires(4);
      const verdicts = await Promise.allSettled(sent.map((each) => dying.handle(delivery(each))));
      expect(reached).toBe(true);
      // What was acknowledged does not come again.
      const left = sent.filter((_each, n) => verdicts[n]?.status === 'rejected');
      expect(left.length).toBeGreaterThan(0);
      const next = batching(lab);
      const again = await Promise.all(left.map((each) => next.handle(delivery(each, { redeliveries: 1 }))));
      expect(again).toEqual(left.map(() => done));
      expect(idsOf(await lab.effects())).toEqual(idsOf(sent));
      expect(await lab.parked()).toEqual([]);
      expect(await lab.count('delivery_attempt')).toBe(0);
    },
  );

  it('runs alone what came back from a process that died', async () => {
    const consumer = batching(lab);
    const sent = wires(4);
    await Promise.all(sent.map((each) => consumer.handle(delivery(each, { redeliveries: 1 }))));
    expect(await transactions(lab)).toBe(4);
  });
});
