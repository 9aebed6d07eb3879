/**
 * Several messages in one transaction: what shares one, in which bounds, and in order.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Consumer } from '../../src/inbox/consumer.ts';
import { on } from '../../src/inbox/handlers/handler.ts';
import { batching, done, handleAll, idsOf, transactions, wires, type Act, type Wire } from './batch-lab.ts';
import { clean, delivery, openLab, Placed, signal, wire, type Lab } from './lab.ts';

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

describe('a batch', () => {
  it('has all its effects and marks in one commit', async () => {
    const sent = wires(20);
    expect(await handleAll(batching(lab), sent)).toEqual(Array(20).fill(done));
    expect(idsOf(await lab.effects())).toEqual(idsOf(sent));
    expect(await lab.count('inbox')).toBe(20);
    expect(await transactions(lab)).toBe(1);
  });

  it('takes no more than its size, and shares what waits among free slots', async () => {
    const sizes: number[] = [];
    const consumer = batching(lab, () => {}, { batch: { size: 5 } });
    await handleAll(consumer, wires(12));
    const { rows } = await lab.test.pool.query('SELECT count(*)::int AS n FROM holdfast.inbox GROUP BY xmin::text');
    for (const { n } of rows) sizes.push(n);
    expect(sizes.toSorted((a, b) => a - b)).toEqual([2, 5, 5]);
    await clean(lab);
    await handleAll(
      batching(lab, () => {}, { concurrency: 4 }),
      wires(8),
    );
    expect(await lab.count('inbox')).toBe(8);
    expect(await transactions(lab)).toBe(4);
  });

  it('keeps one effect of copies, in one batch, in two, and of what was handled before', async () => {
    const [first, ...others] = wires(6);
    const runs: string[] = [];
    const act: Act = (_order, { message }) => void runs.push(message.id);
    const consumer = batching(lab, act);
    const twice = [first, first, ...others, ...others] as readonly Wire[];
    expect(await handleAll(consumer, twice)).toEqual(twice.map(() => done));
    const other = batching(lab, act);
    await Promise.all([handleAll(consumer, [first as Wire, ...others, ...wires(3)]), handleAll(other, others)]);
    expect(runs).toHaveLength(9);
    expect(await lab.effects()).toHaveLength(9);
    expect(await lab.count('inbox')).toBe(9);
  });

  it('lets copies in two processes through once, in whatever order they came', async () => {
    const sent = wires(20);
    const one = batching(lab);
    const two = batching(lab);
    await Promise.all([handleAll(one, sent), handleAll(two, sent.toReversed())]);
    expect(idsOf(await lab.effects())).toEqual(idsOf(sent));
    expect(await lab.count('inbox')).toBe(20);
  });
});

describe('what a handler sets for the transaction', () => {
  it.each([
    `SET LOCAL statement_timeout = '7s'`,
    `SELECT set_config('statement_timeout', '7s', true)`,
    `SET LOCAL ROLE pg_monitor`,
    `SET statement_timeout = '7s'`,
  ])('does not reach the next one: %s', async (statement) => {
    const seen: string[] = [];
    const consumer = lab.make({
      concurrency: 1,
      batch: true,
      handlers: [
        on(Placed, async ({ n }, { tx }) => {
          const { rows } = await tx.query(`SELECT current_setting('statement_timeout') || current_user AS is`);
          seen.push(rows[0]?.is);
          if (n === 1) await tx.query(statement);
        }),
      ],
    });
    const sent = wires(5);
    expect(await handleAll(consumer, sent)).toEqual(Array(5).fill(done));
    expect(seen).toHaveLength(5);
    expect(new Set(seen).size).toBe(1);
    expect(await lab.count('inbox')).toBe(5);
    // Those whose turn had not come had the next transaction.
    const { rows } = await lab.test.pool.query('SELECT count(*)::int AS n FROM holdfast.inbox GROUP BY xmin::text');
    expect(new Set(rows.map(({ n }) => n))).toEqual(new Set([2, 3]));
  });
});

describe('bounds', () => {
  it('begins no more handlers after `within`', async () => {
    const consumer = batching(lab, () => new Promise((resolve) => setTimeout(resolve, 30)), { batch: { within: 50 } });
    const sent = wires(6);
    await handleAll(consumer, sent);
    expect(idsOf(await lab.effects())).toEqual(idsOf(sent));
    expect(await transactions(lab)).toBeGreaterThanOrEqual(3);
  });

  it('gives back what was not begun when it stops, and commits what was', async () => {
    const begun = signal();
    const goOn = signal();
    const consumer = batching(lab, async () => {
      begun.fire();
      await goOn.promise;
    });
    await consumer.start();
    const sent = wires(30);
    const verdicts = sent.map((each) => consumer.handle(delivery(each)));
    await begun.promise;
    const stopped = consumer.stop();
    goOn.fire();
    const later = { kind: 'later', delayMs: 0 };
    expect(await Promise.all(verdicts)).toEqual([done, ...Array(29).fill(later)]);
    await stopped;
    expect(idsOf(await lab.effects())).toEqual(idsOf(sent.slice(0, 1)));
    expect(await lab.count('inbox')).toBe(1);
  });

  it('runs nothing for a delivery that was taken away while it waited, and leaves no mark', async () => {
    const begun = signal();
    const goOn = signal();
    const consumer = batching(lab, async ({ n }) => {
      if (n !== 0) return;
      begun.fire();
      await goOn.promise;
    });
    const taken = new AbortController();
    const sent = wires(3);
    const verdicts = sent.map((each, n) => consumer.handle(delivery(each, n === 1 ? { signal: taken.signal } : {})));
    await begun.promise;
    taken.abort();
    goOn.fire();
    expect(await Promise.all(verdicts)).toEqual([done, { kind: 'later', delayMs: 0 }, done]);
    expect(idsOf(await lab.effects())).toEqual(idsOf([sent[0] as Wire, sent[2] as Wire]));
    expect(await lab.count('inbox')).toBe(2);
  });

  it('rolls back the one whose delivery is taken away while it runs', async () => {
    const begun = signal();
    const taken = new AbortController();
    const consumer = batching(lab, async ({ n }, context) => {
      if (n !== 1) return;
      begun.fire();
      await new Promise((_resolve, reject) =>
        context.signal.addEventListener('abort', () => reject(new Error('gone'))),
      );
    });
    const sent = wires(3);
    const verdicts = sent.map((each, n) => consumer.handle(delivery(each, n === 1 ? { signal: taken.signal } : {})));
    await begun.promise;
    taken.abort();
    expect(await Promise.all(verdicts)).toEqual([done, { kind: 'later', delayMs: 0 }, done]);
    expect(await lab.count('inbox')).toBe(2);
    expect(await lab.effects()).toHaveLength(2);
  });
});

describe('in order', () => {
  it('handles one message of a key at a time, and holds its next ones back behind one that is parked', async () => {
    const consumer = batching(
      lab,
      ({ n }) => {
        if (n === 2) throw new Error('no luck');
      },
      { ordered: true },
    );
    const sent = wires(8, (n) => ({ key: n % 2 === 0 ? 'even' : 'odd' }));
    expect(await handleAll(consumer, sent)).toEqual(Array(8).fill(done));
    const notes = (await lab.effects()).map(({ note }) => note);
    expect(notes.filter((note) => Number(note) % 2 === 1)).toEqual(['1', '3', '5', '7']);
    expect(notes.filter((note) => Number(note) % 2 === 0)).toEqual(['0']);
    expect((await lab.parked()).map(({ message_id: id }) => id)).toEqual([2, 4, 6].map((n) => sent[n]?.id));
  });

  it('shares transactions between keys', async () => {
    const consumer = batching(lab, () => {}, { ordered: true });
    const sent = wires(8, (n) => ({ key: n % 2 === 0 ? 'even' : 'odd' }));
    expect(await handleAll(consumer, sent)).toEqual(Array(8).fill(done));
    expect(await transactions(lab)).toBe(4);
  });

  it('waits for a predecessor that is in no batch yet', async () => {
    const consumer = batching(lab, () => {}, { ordered: true });
    const [first, second, other] = wires(3, (n) => ({ key: `k${n === 2 ? 1 : 0}` })) as [Wire, Wire, Wire];
    const follower = wire({
      id: second.id,
      key: 'k0',
      predecessor: { id: first.id, at: new Date(Date.now() + 1_000) },
      data: { orderId: 'o', n: 1 },
    });
    const [waits, done2] = await handleAll(consumer, [follower, other]);
    expect(waits).toMatchObject({ kind: 'later' });
    expect(done2).toEqual(done);
    expect(await handleAll(consumer, [first, follower])).toEqual([done, done]);
    expect((await lab.effects()).map(({ note }) => note)).toEqual(['2', '0', '1']);
  });
});

describe('options', () => {
  it.each([
    [{ batch: { size: 1 } }, 'HF_CONFIG'],
    [{ batch: { size: 1.5 } }, 'HF_CONFIG'],
    [{ batch: { size: 51 } }, 'HF_CONFIG'],
    [{ batch: { sise: 5 } }, 'HF_OPTION_UNKNOWN'],
    [{ batch: { within: 'soon' } }, 'HF_DURATION'],
    [{ batch: 5 }, 'HF_CONFIG'],
    [{ batch: true, handlers: [on(Placed, () => {}, { kind: 'idempotent' })] }, 'HF_CONFIG'],
  ])('refuses %j', (options, code) => {
    const make = (): Consumer => lab.make({ handlers: [on(Placed, () => {})], ...options } as never);
    expect(make).toThrow(expect.objectContaining({ code }));
  });

  it('says why a batch was repeated', async () => {
    const warn = vi.fn<() => void>();
    const log = { debug() {}, info() {}, warn, error() {}, child: () => log };
    const consumer = batching(
      lab,
      ({ n }, { tx }) => (n === 1 ? tx.query('INSERT INTO late VALUES (1), (1)') : undefined),
      {
        log,
        retry: { attempts: 1 },
      },
    );
    await handleAll(consumer, wires(3));
    expect(warn).toHaveBeenCalledWith(
      expect.objectContaining({ messages: 3 }),
      'a batch failed as a whole: its messages are handled one by one',
    );
  });
});
