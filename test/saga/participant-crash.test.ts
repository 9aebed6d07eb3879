/**
 * The participant dies before and after every I/O; another one takes over. And command and compensation meet, on two connections.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { Rejection } from '../../src/errors.ts';
import { INBOX_CRASH_POINTS } from '../../src/inbox/handlers/unit-of-work.ts';
import { handle } from '../../src/saga/participant/handle.ts';
import type { Participant } from '../../src/saga/participant/participant.ts';
import { signal } from '../inbox/lab.ts';
import { eventually } from '../support/eventually.ts';
import {
  note,
  openStockLab,
  Release,
  Reserve,
  reservation,
  Reserved,
  RUN,
  sent,
  type CommandOptions,
  type StockLab,
} from './participant-lab.ts';

let lab: StockLab;
beforeAll(async () => {
  lab = await openStockLab();
});
beforeEach(() => lab.clean());
afterAll(() => lab.dispose());

const points = INBOX_CRASH_POINTS.filter((point) => /^inbox\.(?!park|window)/.test(point)).flatMap((point) =>
  point === 'inbox.ack' ? [`${point}:before`] : [`${point}:before`, `${point}:after`],
);
const reached = new Set<string>();

function dying(at: string | null): Participant {
  return lab.participant({
    crashPoint: (point) => {
      reached.add(point);
      if (point === at) throw new Error('killed');
    },
  });
}

/** A message that the broker gives out until it is acknowledged, and once more. */
async function deliver(options: CommandOptions, dieAt: string): Promise<void> {
  const id = crypto.randomUUID();
  await dying(dieAt)
    .handle(sent({ ...options, id }, { redeliveries: 1 }))
    .catch(() => {});
  expect(await dying(null).handle(sent({ ...options, id }, { redeliveries: 2 }))).toEqual({ kind: 'done' });
  expect(await dying(null).handle(sent({ ...options, id }))).toEqual({ kind: 'done' });
}

describe.each(points)('killed at %s', (point) => {
  it('there is one effect, one record and one reply, forth and back', async () => {
    await deliver({}, point);
    expect(await lab.notes()).toEqual(['reserve book']);
    expect(await lab.replies()).toMatchObject([{ to: 'command', outcome: 'done', output: reservation }]);
    expect(await lab.calls()).toMatchObject([{ state: 'done', reply: { outcome: 'done', output: reservation } }]);
    await deliver({ role: 'compensation' }, point);
    expect(await lab.notes()).toEqual(['reserve book', 'release book 2 r-2']);
    expect((await lab.replies()).slice(1)).toMatchObject([{ to: 'compensation', outcome: 'done' }]);
    expect(await lab.calls()).toMatchObject([{ state: 'compensated' }]);
    expect(await lab.parked()).toEqual([]);
  });

  it('a tombstone stands, and is answered once', async () => {
    await deliver({ role: 'compensation' }, point);
    await deliver({}, point);
    expect(await lab.notes()).toEqual([]);
    expect(await lab.calls()).toMatchObject([{ state: 'tombstone' }]);
    expect(await lab.replies()).toMatchObject([
      { to: 'compensation', outcome: 'done' },
      { to: 'command', outcome: 'rejected' },
    ]);
  });
});

it('all of them were reached', () => {
  expect(points.filter((point) => !reached.has(point))).toEqual([]);
});

describe('command and compensation at the same moment', () => {
  const lockWaits = async (): Promise<boolean> => {
    const { rows } = await lab.test.pool.query(
      `SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%enter_call%'`,
    );
    return rows.length > 0;
  };

  it.each([
    ['done: it compensates', async () => reservation, ['held', 'released'], /^compensated$/],
    // The refusal is recorded by a second transaction: whoever waited may write first.
    ['refused: nothing to compensate', () => Promise.reject(new Rejection('no')), [], /^(?:rejected|tombstone)$/],
  ])('the compensation waits for a command under way; that one is %s', async (_, ending, notes, state) => {
    const begun = signal();
    const go = signal();
    const stock = lab.participant({
      handlers: [
        handle(Reserve, { reply: Reserved }, async (_command, { tx }) => {
          await note(tx, 'held');
          begun.fire();
          await go.promise;
          return ending();
        }),
        handle(Release, { compensates: Reserve }, async (_release, { tx }) => note(tx, 'released')),
      ],
    });
    const command = stock.handle(sent());
    await begun.promise;
    const compensation = stock.handle(sent({ role: 'compensation' }));
    await eventually('the compensation waits', lockWaits);
    go.fire();
    await Promise.all([command, compensation]);
    expect(await lab.notes()).toEqual(notes);
    expect(await lab.calls()).toMatchObject([{ state: expect.stringMatching(state) as string }]);
    expect((await lab.replies()).map(({ to, outcome }) => `${to} ${outcome}`).toSorted()).toEqual([
      notes.length === 0 ? 'command rejected' : 'command done',
      'compensation done',
    ]);
  });

  it('the command waits for a tombstone that is not committed yet, and is refused', async () => {
    const compensation = lab.participant();
    const client = await lab.test.pool.connect();
    onTestFinished(() => client.release(true));
    // Holds up the reply, the last write of the compensation, and with it its commit.
    await client.query('BEGIN');
    await client.query('LOCK TABLE holdfast.outbox IN ACCESS EXCLUSIVE MODE');
    const buried = compensation.handle(sent({ role: 'compensation' }));
    const waiting = async (n: number): Promise<boolean> =>
      (
        await lab.test.pool.query(
          `SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`,
        )
      ).rows.length >= n;
    await eventually('the compensation is held up', () => waiting(1));
    const command = lab.participant().handle(sent());
    await eventually('the command waits', () => waiting(2));
    expect(await lockWaits()).toBe(true);
    await client.query('COMMIT');
    await Promise.all([buried, command]);
    expect(await lab.notes()).toEqual([]);
    expect(await lab.calls()).toMatchObject([{ state: 'tombstone' }]);
    expect(await lab.replies()).toMatchObject([
      { runId: RUN, to: 'compensation', outcome: 'done' },
      { to: 'command', outcome: 'rejected', error: { details: { reason: 'compensated' } } },
    ]);
  });

  it('several compensations compensate once', async () => {
    const begun = signal();
    const go = signal();
    const stock = lab.participant({
      handlers: [
        handle(Reserve, () => {}),
        handle(Release, { compensates: Reserve }, async (_release, { tx }) => {
          begun.fire();
          await go.promise;
          await note(tx, 'released');
        }),
      ],
    });
    await stock.handle(sent());
    const first = stock.handle(sent({ role: 'compensation' }));
    await begun.promise;
    const second = stock.handle(sent({ role: 'compensation' }));
    await eventually('the second waits', lockWaits);
    go.fire();
    await Promise.all([first, second]);
    expect(await lab.notes()).toEqual(['released']);
    expect(await lab.replies()).toMatchObject([{}, { outcome: 'done' }, { outcome: 'done' }]);
  });

  it('many of both in any order: never an effect that stays, never a compensation without one', async () => {
    const stock = lab.participant({ concurrency: 6 });
    const runs = Array.from({ length: 30 }, () => crypto.randomUUID());
    await Promise.all(
      runs.flatMap((runId, n) => {
        const both = [stock.handle(sent({ runId })), stock.handle(sent({ runId, role: 'compensation' }))];
        return n % 2 === 0 ? both : both.toReversed();
      }),
    );
    for (const runId of runs) await stock.handle(sent({ runId, role: 'compensation' }));
    const states = (await lab.calls()).map(({ state }) => state);
    const compensated = states.filter((state) => state === 'compensated').length;
    expect(states.filter((state) => state === 'tombstone')).toHaveLength(runs.length - compensated);
    const notes = await lab.notes();
    expect(notes.filter((text) => text.startsWith('reserve'))).toHaveLength(compensated);
    expect(notes.filter((text) => text.startsWith('release'))).toHaveLength(compensated);
  });
});
