/** What the statements of a consumer's tables do, each by itself: which rows are taken, kept, woken and deleted. */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { PARK_REASONS } from '../../src/inbox/handlers/decide.ts';
import { createInboxStore } from '../../src/inbox/stores/inbox-store.ts';
import { createParkedDeliveryStore, type ParkingRecord } from '../../src/inbox/stores/parked-delivery-store.ts';
import { createSuspectStore } from '../../src/inbox/stores/suspect-store.ts';
import { toExecutor, type SqlExecutor } from '../../src/postgres/executor.ts';
import { createTestDatabase, type TestDatabase } from '../support/servers.ts';

const parked = createParkedDeliveryStore('holdfast', 'shipping');
const marks = createInboxStore('holdfast', 'shipping');
const suspects = createSuspectStore('holdfast', 'shipping');
const DAY_MS = 86_400_000;
const DUE = { limit: 10, ordered: false, topics: ['order.placed'] };

let test: TestDatabase;
beforeAll(async () => {
  test = await createTestDatabase({ migrate: true });
});
beforeEach(async () => {
  await test.pool.query('TRUNCATE holdfast.inbox, holdfast.parked_delivery, holdfast.delivery_attempt');
});
afterAll(() => test.drop());

/** In a transaction that stays open while another one is. */
async function inTransaction<T>(use: (execute: SqlExecutor) => Promise<T>): Promise<T> {
  const client = await test.pool.connect();
  try {
    await client.query('BEGIN');
    const result = await use(toExecutor(client));
    await client.query('COMMIT');
    return result;
  } finally {
    client.release();
  }
}

async function park(rest: Partial<ParkingRecord> = {}, store = parked): Promise<string> {
  const messageId = rest.messageId ?? randomUUID();
  const record: ParkingRecord = {
    messageId,
    topic: 'order.placed',
    key: null,
    envelope: '{}',
    attempts: 5,
    state: 'failed',
    reason: PARK_REASONS.gaveUp,
    error: null,
    retryInMs: null,
    ...rest,
  };
  await inTransaction((execute) => store.insert(execute, record));
  return messageId;
}

const due = (options = {}) =>
  inTransaction(async (execute) =>
    (await parked.lockDue(execute, { ...DUE, ...options })).map(({ messageId }) => messageId),
  );

async function rowOf(id: string) {
  const { rows } = await test.pool.query<{ attempts: number; redrives: number; reason: string; due: boolean | null }>(
    'SELECT attempts, redrives, reason, next_attempt_at <= now() AS due FROM holdfast.parked_delivery WHERE message_id = $1',
    [id],
  );
  return rows[0];
}

describe('parked messages that are due', () => {
  it('are those whose time has come, of topics that this process has handlers for', async () => {
    const ready = await park({ retryInMs: 0 });
    await park({ retryInMs: 60_000 });
    await park();
    await park({ retryInMs: 0, topic: 'other.topic' });
    const unread = await park({ retryInMs: 0, topic: 'other.topic', reason: PARK_REASONS.undecodable });
    expect((await due()).toSorted()).toEqual([ready, unread].toSorted());
  });

  it('are taken by one process: another one does not wait for them, nor take them too', async () => {
    await park({ retryInMs: 0 });
    await inTransaction(async (execute) => {
      expect(await parked.lockDue(execute, DUE)).toHaveLength(1);
      expect(await due()).toEqual([]);
    });
  });

  it('are no others than this consumer has', async () => {
    await park({ retryInMs: 0 }, createParkedDeliveryStore('holdfast', 'billing'));
    expect(await due()).toEqual([]);
  });

  it('are the first of each key, where order is kept', async () => {
    const first = await park({ key: 'a' });
    await park({ key: 'a', retryInMs: 0 });
    const other = await park({ key: 'b', retryInMs: 0 });
    expect(await due({ ordered: true })).toEqual([other]);
    await inTransaction((execute) => parked.postpone(execute, first, 0));
    expect((await due({ ordered: true })).toSorted()).toEqual([first, other].toSorted());
  });

  it('are counted when they are taken up, and given back when nothing came of it', async () => {
    const id = await park({ retryInMs: 0 });
    await inTransaction((execute) => parked.claim(execute, id, 60_000));
    expect(await rowOf(id)).toMatchObject({ attempts: 6, redrives: 1, due: false });
    await inTransaction((execute) => parked.postpone(execute, id, 0));
    expect(await rowOf(id)).toMatchObject({ attempts: 5, redrives: 0, due: true });
    await inTransaction((execute) => parked.claim(execute, id, null));
    await inTransaction((execute) => parked.handOn(execute, id, 'no handler here'));
    expect(await rowOf(id)).toMatchObject({ attempts: 5, redrives: 0, due: null, reason: PARK_REASONS.noHandler });
  });
});

describe('a parked message', () => {
  it('that comes once more stays as it is', async () => {
    const id = await park({ retryInMs: 60_000 });
    await inTransaction((execute) => parked.claim(execute, id, 60_000));
    await park({ messageId: id, attempts: 1, reason: PARK_REASONS.permanent });
    expect(await rowOf(id)).toMatchObject({ attempts: 6, redrives: 1, reason: PARK_REASONS.gaveUp });
  });

  it('is not taken up by a redrive that comes late: it is gone, or not the first of its key any more', async () => {
    const first = await park({ key: 'a' });
    const second = await park({ key: 'a', state: 'behind', reason: PARK_REASONS.behind });
    const lock = (id: string, ordered: boolean) => inTransaction((execute) => parked.lock(execute, id, ordered));
    expect(await lock(second, true)).toBeNull();
    expect(await lock(second, false)).toEqual({ reason: PARK_REASONS.behind });
    await inTransaction((execute) => parked.remove(execute, first));
    expect(await lock(first, true)).toBeNull();
    expect(await lock(second, true)).toEqual({ reason: PARK_REASONS.behind });
  });

  it('that leaves makes the next of its key due when that only waited, and lets one be that failed itself', async () => {
    const [first, waits] = [
      await park({ key: 'a' }),
      await park({ key: 'a', state: 'behind', reason: PARK_REASONS.behind }),
    ];
    const [other, failed] = [await park({ key: 'b' }), await park({ key: 'b' })];
    for (const id of [first, other]) await inTransaction((execute) => parked.remove(execute, id));
    expect([(await rowOf(waits))?.due, (await rowOf(failed))?.due]).toEqual([true, null]);
  });

  it('for which nobody had a handler is taken up by a process that has one, unless another one has tried it', async () => {
    const unhandled = { reason: PARK_REASONS.noHandler, attempts: 0 };
    const [fresh, tried, failed] = [await park(unhandled), await park(unhandled), await park()];
    await test.pool.query('UPDATE holdfast.parked_delivery SET redrives = 1 WHERE message_id = $1', [tried]);
    expect(await inTransaction((execute) => parked.wakeHandled(execute, ['other.topic']))).toBe(0);
    expect(await inTransaction((execute) => parked.wakeHandled(execute, ['order.placed', 'x']))).toBe(1);
    expect([(await rowOf(fresh))?.due, (await rowOf(tried))?.due, (await rowOf(failed))?.due]).toEqual([
      true,
      null,
      null,
    ]);
  });
});

describe('pruning', () => {
  const age = (ids: readonly string[], days: number) =>
    test.pool.query(
      `UPDATE holdfast.parked_delivery SET parked_at = now() - $2 * interval '1 day' WHERE message_id = ANY ($1::uuid[])`,
      [ids, days],
    );
  const left = async () =>
    (
      await test.pool.query<{ id: string }>('SELECT message_id AS id FROM holdfast.parked_delivery ORDER BY position')
    ).rows.map(({ id }) => id);
  const prune = (rest: { readonly most?: number; readonly limit?: number } = {}) =>
    inTransaction((execute) =>
      parked.prune(execute, { reason: PARK_REASONS.noRun, olderThanMs: 14 * DAY_MS, most: 100, limit: 100, ...rest }),
    );

  it('takes away replies that nobody waits for, when they are old; and nothing that waits for a person', async () => {
    const stray = { reason: PARK_REASONS.noRun };
    const [old, young, dead] = [await park(stray), await park(stray), await park()];
    const ofAnother = await park(stray, createParkedDeliveryStore('holdfast', 'billing'));
    await age([old, dead, ofAnother], 15);
    await age([young], 13);
    expect(await prune()).toBe(1);
    expect(await left()).toEqual([young, dead, ofAnother]);
  });

  it('takes away the oldest of them beyond their number, and no more at a time than it is told', async () => {
    const ids: string[] = [];
    for (let n = 0; n < 4; n += 1) ids.push(await park({ reason: PARK_REASONS.noRun }));
    for (const [n, id] of ids.entries()) await age([id], 4 - n);
    const billing = createParkedDeliveryStore('holdfast', 'billing');
    const ofAnother = [
      await park({ reason: PARK_REASONS.noRun }, billing),
      await park({ reason: PARK_REASONS.noRun }, billing),
    ];
    expect(await prune({ most: 2 })).toBe(2);
    expect(await left()).toEqual([...ids.slice(2), ...ofAnother]);
    await age(ids, 15);
    expect([await prune({ limit: 1 }), await prune({ limit: 1 }), await prune({ limit: 1 })]).toEqual([1, 1, 0]);
  });

  it('keeps since when a consumer runs and what its name stands for, however long ago that was written', async () => {
    await inTransaction(async (execute) => {
      await suspects.firstRunAt(execute);
      await suspects.storeIdentity(execute, null, '{}');
      await suspects.markAttempt(execute, randomUUID());
    });
    await test.pool.query("UPDATE holdfast.delivery_attempt SET at = now() - interval '1 year'");
    await inTransaction((execute) => suspects.prune(execute, 14 * DAY_MS));
    const kept = await inTransaction((execute) => suspects.identity(execute));
    expect(kept).toBe('{}');
    expect((await test.pool.query('SELECT FROM holdfast.delivery_attempt')).rowCount).toBe(2);
  });
});

describe('attempts that are marked before they are made', () => {
  it('add up, for each message of each consumer by itself, until it is done', async () => {
    const [id, other] = [randomUUID(), randomUUID()];
    await inTransaction(async (execute) => {
      expect(await suspects.markAttempt(execute, id)).toBe(1);
      expect(await suspects.markAttempt(execute, id)).toBe(2);
      expect(await suspects.markAttempt(execute, other)).toBe(1);
      expect(await createSuspectStore('holdfast', 'billing').markAttempt(execute, id)).toBe(1);
      await suspects.clear(execute, id);
      expect(await suspects.markAttempt(execute, id)).toBe(1);
      expect(await suspects.markAttempt(execute, other)).toBe(2);
    });
  });

  it('say since when a consumer has run: from its first start on', async () => {
    const first = await inTransaction((execute) => suspects.firstRunAt(execute));
    await test.pool.query("UPDATE holdfast.delivery_attempt SET at = at - interval '1 day'");
    const again = await inTransaction((execute) => suspects.firstRunAt(execute));
    expect(first.getTime() - again.getTime()).toBe(DAY_MS);
  });

  it('and an identity that somebody else has changed meanwhile is not written over', async () => {
    const store = (known: string | null, next: string) =>
      inTransaction((execute) => suspects.storeIdentity(execute, known, next));
    expect([await store(null, 'a'), await store(null, 'b'), await store('a', 'c')]).toEqual([true, false, true]);
  });
});

describe('marks', () => {
  it('are written once for each consumer, and renewed by what ends later', async () => {
    const id = randomUUID();
    await inTransaction(async (execute) => {
      expect(await marks.tryMark(execute, id)).toBe(true);
      expect(await marks.tryMark(execute, id)).toBe(false);
      expect(await createInboxStore('holdfast', 'billing').tryMark(execute, id)).toBe(true);
      expect([await marks.has(execute, id), await marks.has(execute, randomUUID())]).toEqual([true, false]);
    });
    await test.pool.query("UPDATE holdfast.inbox SET handled_at = now() - interval '15 days'");
    await inTransaction((execute) => marks.mark(execute, id));
    expect(await inTransaction((execute) => marks.prune(execute, 14 * DAY_MS, 10))).toBe(0);
  });

  it('of many messages are told apart: those that are new', async () => {
    const [seen, fresh] = [randomUUID(), randomUUID()];
    const rows = await inTransaction(async (execute) => {
      await marks.mark(execute, seen);
      const { sql, parameters } = marks.markAllStatement([seen, fresh]);
      return execute(sql, parameters);
    });
    expect(rows).toEqual([{ id: fresh }]);
  });

  it('of an ordered message are not written while its key is parked, or its predecessor is not handled', async () => {
    const write = (key: string, predecessorId: string | null) =>
      inTransaction(async (execute) => {
        const messageId = randomUUID();
        const arrival = { messageId, key, lock: '7', predecessorId, sentAt: null };
        for (const { sql, parameters } of marks.orderedMarkStatements(arrival)) await execute(sql, parameters);
        return marks.has(execute, messageId);
      });
    const handled = randomUUID();
    await inTransaction((execute) => marks.mark(execute, handled));
    await park({ key: 'parked' });
    expect([
      await write('free', null),
      await write('free', handled),
      await write('free', randomUUID()),
      await write('parked', null),
      await write('parked', handled),
    ]).toEqual([true, true, false, false, false]);
  });
});
