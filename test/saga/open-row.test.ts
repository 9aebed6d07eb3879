/**
 * The row that a run fills: its time, what is written beside it, what begins anew with each commit, and when a transaction may write it.
 */
import { describe, expect, it } from 'vitest';
import type { NewRun } from '../../src/saga/store/store.ts';
import { HandedReply } from '../../src/saga/run/handed-reply.ts';
import { OpenRow } from '../../src/saga/run/open-row.ts';

const RUN_ID = '01890a5d-ac96-774b-bcce-b302099a8057';
const CHILD: NewRun = {
  id: '01890a5d-ac96-774b-bcce-b302099a8058',
  saga: 'hotel',
  version: 1,
  held: false,
  status: 'pending',
  deadlineAt: null,
  parent: { id: RUN_ID, call: 'stay' },
};
const signal = { id: '7', runId: RUN_ID, at: 1, body: { kind: 'signal', name: 'go' } } as const;
const handed = () => new HandedReply(RUN_ID, 1, { kind: 'undo' }, 10);

/** What makes a row one with more than the call that was made last. */
const MORE: Readonly<Record<string, (row: OpenRow) => void>> = {
  'another event': (row) => row.push('{"t":"signal"}'),
  'a message': (row) => row.send('{}'),
  'a message to a run': (row) => row.post(RUN_ID, { kind: 'undo' }),
  'a message that was taken in': (row) => row.takeIn(signal),
  'a reply that was handed in': (row) => row.takeIn(handed()),
  'a child': (row) => row.startChild(CHILD, '[]'),
  'a start': (row) => row.startWith(CHILD),
  'a guard': (row) => row.guard(),
  'its close': (row) => row.close(),
};

function called(): OpenRow {
  const row = new OpenRow();
  row.open(1_000);
  row.pushCalled('{"t":"called","call":"a"}', 'a');
  return row;
}

describe('the time of a row', () => {
  it('is in whole milliseconds, and is that of its first event', () => {
    const row = new OpenRow();
    expect(row.open(1_000.9)).toBe(1_000);
    row.push('{"t":"signal"}');
    expect(row.open(2_000)).toBe(1_000);
    expect(row.at).toBe(1_000);
  });

  it('does not go back, whatever the clock does', () => {
    const row = called();
    row.commit(RUN_ID, 0, null, 'running');
    expect(row.at).toBe(1_000);
    expect(row.open(500)).toBe(1_000);
    row.follows(3_000);
    expect(row.open(2_000)).toBe(3_000);
  });
});

describe('a commit', () => {
  it('has all that was put into the row, and nothing of it comes with the next one', () => {
    const row = called();
    row.startWith({ ...CHILD, parent: null });
    row.send('{"id":"m"}');
    row.post(CHILD.id, { kind: 'undo' });
    row.takeIn(signal);
    row.startChild(CHILD, '[]');
    row.guard();
    row.close();
    expect(row.commit(RUN_ID, 3, null, 'running')).toMatchObject({
      start: { id: CHILD.id, status: 'running' },
      journal: { n: 3, at: 1_000, events: '[{"t":"called","call":"a"}]' },
      messages: ['{"id":"m"}'],
      runMessages: [{ runId: CHILD.id, body: { kind: 'undo' } }],
      runMessagesDone: ['7'],
      children: [{ id: CHILD.id, journal: '[]' }],
    });
    expect(row).toMatchObject({ isFilled: false, isOpen: false, isGuarded: false, isClosed: false, isStart: false });
    expect(row.commit(RUN_ID, 4, null, 'running')).toEqual({
      runId: RUN_ID,
      start: null,
      journal: null,
      update: null,
      messages: [],
      runMessages: [],
      runMessagesDone: [],
      children: [],
    });
  });

  it('has replies that were handed in with it, marked as in flight, and each once', () => {
    const row = called();
    const [one, other] = [handed(), handed()];
    row.takeIn(one);
    row.takeIn(other);
    expect(row.commit(RUN_ID, 0, null, 'running').runMessagesDone).toEqual([]);
    expect(row.takeHanded()).toEqual([one, other]);
    expect([one, other]).toMatchObject([{ inCommit: true }, { inCommit: true }]);
    expect(row.takeHanded()).toEqual([]);
  });
});

describe('a row with nothing but a call', () => {
  it('may be left to a transaction, which writes it with its own', () => {
    const row = called();
    expect([row.hasOnlyCalled('a'), row.hasOnlyCalled('b')]).toEqual([true, false]);
    row.leaveToTransaction(true);
    expect(row.isFilled).toBe(false);
    row.writtenByTransaction(2_000);
    expect(row).toMatchObject({ isOpen: false, isLeftToTransaction: false, at: 2_000 });
  });

  it('stays, at the time of the transaction, when that has written another one', () => {
    const row = called();
    row.writtenByTransaction(2_000);
    expect(row).toMatchObject({ isOpen: true, isFilled: true, at: 2_000 });
  });

  it.each(Object.keys(MORE))('has more with %s', (what) => {
    const row = called();
    MORE[what]?.(row);
    expect(row.hasOnlyCalled('a')).toBe(false);
  });

  it.each(Object.keys(MORE).filter((what) => !['a guard', 'a start'].includes(what)))(
    'is committed by itself after all, with %s that comes when it was left',
    (what) => {
      const row = called();
      row.leaveToTransaction(true);
      MORE[what]?.(row);
      expect(row).toMatchObject({ isLeftToTransaction: false, isFilled: true });
    },
  );
});
