/**
 * A participant with `batch`: the calls of several messages are entered in one statement and ended in one, and each of them is answered as
 * if it had come alone, whatever fails beside it and wherever the process dies.
 */
import pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { Rejection } from '../../src/errors.ts';
import { BATCH_CRASH_POINTS } from '../../src/inbox/handlers/batch-work.ts';
import { openDatabase } from '../../src/postgres/database.ts';
import { handle } from '../../src/saga/participant/handle.ts';
import type { Participant } from '../../src/saga/participant/participant.ts';
import type { DatabaseParticipantOptions } from '../../src/saga/participant/participant-options.ts';
import type { Delivery, Verdict } from '../../src/transport/port.ts';
import { isCommit, startTcpProxy, type Fate } from '../support/faults/tcp-proxy.ts';
import { note, openStockLab, Release, Reserve, Reserved, sent, type StockLab } from './participant-lab.ts';

const DONE: Verdict = { kind: 'done' };
let lab: StockLab;
beforeAll(async () => {
  lab = await openStockLab();
});
beforeEach(() => lab.clean());
afterAll(() => lab.dispose());

/** Of one slot, so that what waits shares a transaction. The command's `count` says which it is. */
function batching(
  act: (count: number, ran: number) => unknown = () => {},
  options: Partial<DatabaseParticipantOptions> = {},
): Participant {
  const runs = new Map<number, number>();
  return lab.participant({
    concurrency: 1,
    batch: true,
    retry: { attempts: 2 },
    handlers: [
      handle(Reserve, { reply: Reserved }, async ({ count }, { tx }) => {
        const ran = (runs.get(count) ?? 0) + 1;
        runs.set(count, ran);
        await note(tx, `reserve ${count}`);
        await act(count, ran);
        return { reservation: `r-${count}` };
      }),
      handle(Release, { compensates: Reserve, reply: Reserved }, async ({ count }, { tx, reply }) => {
        await note(tx, `release ${count} ${reply?.reservation ?? '?'}`);
      }),
    ],
    ...options,
  });
}

const call = (n: number, rest: Parameters<typeof sent>[0] = {}): Delivery =>
  sent({ call: `call-${String(n).padStart(2, '0')}`, data: { sku: 'book', count: n }, ...rest });
const calls = (count: number): readonly Delivery[] => Array.from({ length: count }, (_, n) => call(n));
const all = (stock: Participant, deliveries: readonly Delivery[]): Promise<readonly Verdict[]> =>
  Promise.all(deliveries.map((each) => stock.handle(each)));
const numbers = (texts: readonly string[]): readonly string[] => texts.toSorted();

/** By the marks. */
async function transactions(): Promise<number> {
  const { rows } = await lab.test.pool.query('SELECT count(DISTINCT xmin::text)::int AS n FROM holdfast.inbox');
  return rows[0]?.n;
}

async function expectEach(count: number, states: (n: number) => string = () => 'done'): Promise<void> {
  const range = Array.from({ length: count }, (_, n) => n);
  expect((await lab.calls()).map(({ call: name, state }) => `${name} ${state}`).toSorted()).toEqual(
    range.map((n) => `call-${String(n).padStart(2, '0')} ${states(n)}`),
  );
  const done = range.filter((n) => states(n) === 'done');
  expect(numbers(await lab.notes())).toEqual(numbers(done.map((n) => `reserve ${n}`)));
  const replies = await lab.replies();
  expect(numbers(replies.map(({ call: name, outcome }) => `${name} ${outcome}`))).toEqual(
    range.map((n) => `call-${String(n).padStart(2, '0')} ${states(n)}`),
  );
}

describe('commands that come at the same time', () => {
  it('share a transaction: one statement enters them, one ends them', async () => {
    const stock = batching();
    await stock.handle(call(90));
    await lab.clean();
    const query = vi.spyOn(pg.Client.prototype, 'query');
    const verdicts = await all(stock, calls(20));
    const texts = (query.mock.calls as unknown as readonly (readonly unknown[])[]).map(([first]) =>
      typeof first === 'string' ? first : (first as { text: string }).text,
    );
    query.mockRestore();
    expect(verdicts).toEqual(Array(20).fill(DONE));
    await expectEach(20);
    expect(await transactions()).toBe(1);
    // Savepoint and handler for each, and four for all of them.
    const statements = texts.flatMap((text) => text.replaceAll(/'(?:[^']|'')*'/g, "''").split(';'));
    expect(statements).toHaveLength(2 * 20 + 4);
    expect(texts.filter((text) => text.includes('enter_call'))).toHaveLength(1);
    expect(texts.filter((text) => /end_calls.*;COMMIT$/s.test(text))).toHaveLength(1);
    expect((await lab.replies()).map(({ call: name }) => name)).toEqual(
      calls(20).map((_, n) => `call-${String(n).padStart(2, '0')}`),
    );
  });

  it('are refused each for itself, in the same transaction, and the handler runs once', async () => {
    const ran: number[] = [];
    const stock = batching((count) => {
      ran.push(count);
      if (count % 3 === 0) throw new Rejection('sold out');
    });
    expect(await all(stock, calls(12))).toEqual(Array(12).fill(DONE));
    await expectEach(12, (n) => (n % 3 === 0 ? 'rejected' : 'done'));
    expect(await transactions()).toBe(1);
    expect(ran).toHaveLength(12);
  });

  it('fail each for itself: the record of one that is rolled back goes with its mark, and it is handled alone', async () => {
    const stock = batching((count, ran) => {
      if (count === 7 && ran < 3) throw new Error('not yet');
    });
    expect(await all(stock, calls(20))).toEqual(Array(20).fill(DONE));
    await expectEach(20);
    expect(await transactions()).toBe(2);
  });

  it('whose turn does not come leave no record behind for their next transaction to find', async () => {
    const stock = batching(() => new Promise((resolve) => setTimeout(resolve, 30)), {
      batch: { size: 10, within: 20 },
    });
    expect(await all(stock, calls(5))).toEqual(Array(5).fill(DONE));
    await expectEach(5);
    expect(await transactions()).toBeGreaterThan(2);
  });

  it('are duplicates each for itself, also of what has no record any more', async () => {
    const stock = batching();
    const [first, ...others] = calls(6) as [Delivery, ...Delivery[]];
    await stock.handle(first);
    await lab.test.pool.query('DELETE FROM holdfast.participant_call');
    expect(await all(stock, [...others, first])).toEqual(Array(6).fill(DONE));
    expect((await lab.calls()).map(({ call: name }) => name).toSorted()).toEqual(
      others.map((_, n) => `call-0${n + 1}`),
    );
    expect(await lab.replies()).toHaveLength(6);
    expect(await lab.notes()).toHaveLength(6);
  });
});

describe('messages of one call', () => {
  it('are apart: what is sent again is answered from the record, and compensated is what was done', async () => {
    const stock = batching();
    const messages = [0, 1, 2].flatMap((n) => [call(n), call(n), call(n, { role: 'compensation' })]);
    expect(await all(stock, messages)).toEqual(Array(9).fill(DONE));
    expect(numbers(await lab.notes())).toEqual(
      numbers([0, 1, 2].flatMap((n) => [`reserve ${n}`, `release ${n} r-${n}`])),
    );
    const replies = await lab.replies();
    for (const n of [0, 1, 2]) {
      expect(replies.filter(({ call: name }) => name === `call-0${n}`)).toMatchObject([
        { to: 'command', outcome: 'done', output: { reservation: `r-${n}` } },
        { to: 'command', outcome: 'done', output: { reservation: `r-${n}` } },
        { to: 'compensation', outcome: 'done' },
      ]);
    }
  });

  it('are refused by the tombstone when the compensation came first', async () => {
    const stock = batching();
    const messages = [0, 1, 2].flatMap((n) => [call(n, { role: 'compensation' }), call(n)]);
    expect(await all(stock, messages)).toEqual(Array(6).fill(DONE));
    expect(await lab.notes()).toEqual([]);
    expect((await lab.calls()).map(({ state }) => state)).toEqual(['tombstone', 'tombstone', 'tombstone']);
  });

  it('in two processes at once: never an effect that stays, never a compensation without one', async () => {
    const runs = Array.from({ length: 40 }, () => crypto.randomUUID());
    const [one, other] = [batching(() => {}, { concurrency: 2 }), batching(() => {}, { concurrency: 2 })];
    await Promise.all(
      runs.flatMap((runId, n) => {
        const both = [
          one.handle(call(n, { runId })),
          other.handle(call(n, { runId })),
          other.handle(call(n, { runId, role: 'compensation' })),
        ];
        return n % 2 === 0 ? both : both.toReversed();
      }),
    );
    await Promise.all(runs.map((runId, n) => one.handle(call(n, { runId, role: 'compensation' }))));
    const states = (await lab.calls()).map(({ state }) => state);
    const compensated = states.filter((state) => state === 'compensated').length;
    expect(states.filter((state) => state === 'tombstone')).toHaveLength(runs.length - compensated);
    const notes = await lab.notes();
    expect(notes.filter((text) => text.startsWith('reserve'))).toHaveLength(compensated);
    expect(notes.filter((text) => text.startsWith('release'))).toHaveLength(compensated);
    expect(await lab.replies()).toHaveLength(4 * runs.length);
    expect(await lab.parked()).toEqual([]);
  });
});

describe.each(BATCH_CRASH_POINTS.flatMap((point) => [`${point}:before`, `${point}:after`]))('killed at %s', (point) => {
  it('there is one effect, one record and one reply of each', async () => {
    // One of them fails at first, so that there is something to roll back.
    const fails = (count: number, ran: number): void => {
      if (count === 2 && ran === 1) throw new Error('not yet');
    };
    let reached = false;
    const dying = batching(fails, {
      crashPoint: (at) => {
        if (at !== point || reached) return;
        reached = true;
        throw new Error('killed');
      },
    });
    const deliveries = calls(6);
    await Promise.allSettled(deliveries.map((each) => dying.handle(each)));
    expect(reached).toBe(true);
    const next = batching(fails);
    expect(await all(next, deliveries)).toEqual(Array(6).fill(DONE));
    expect(await all(next, deliveries)).toEqual(Array(6).fill(DONE));
    await expectEach(6);
    expect(await lab.parked()).toEqual([]);
  });
});

it.each(['before', 'after'] as const)('cut %s the server has COMMIT: one effect of each', async (fate) => {
  const proxy = await startTcpProxy(lab.test.url);
  const database = openDatabase({ url: proxy.url });
  onTestFinished(async () => {
    await database.close();
    await proxy.close();
  });
  let fates: readonly Fate[] = [fate];
  proxy.judge = (bytes) => {
    if (!isCommit(bytes) || !bytes.includes('end_calls')) return 'pass';
    const [next = 'pass', ...rest] = fates;
    fates = rest;
    return next;
  };
  expect(
    await all(
      batching(() => {}, { database }),
      calls(8),
    ),
  ).toEqual(Array(8).fill(DONE));
  expect(proxy.cuts[fate]).toBe(1);
  await expectEach(8);
});
