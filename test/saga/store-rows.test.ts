/**
 * What stands between runs and the rows of PostgreSQL, without a server: the parameters of a commit, messages sorted by whom they are for,
 * and what an error of a commit means for its run.
 */
import { describe, expect, it } from 'vitest';
import { HoldfastError } from '../../src/errors.ts';
import { explainRefusal, unrecordable } from '../../src/saga/store/commit-error.ts';
import { RUN_MESSAGE_PAGE, sortRunMessages } from '../../src/saga/store/postgres/pending-run-messages.ts';
import { claimedRun, commitParameters } from '../../src/saga/store/postgres/saga-rows.ts';
import { commitOf } from '../conformance/saga-store-kit.ts';
import type { NewRun, RunCommit, RunUpdate } from '../../src/saga/store/store.ts';

const RUN = '01890a5d-ac96-774b-bcce-b302099a8057';
const CHILD = '01890a5d-ac96-774b-bcce-b302099a8058';
const NOTHING: RunCommit = commitOf(RUN);
const UPDATE: RunUpdate = { status: 'running', reason: null, pivoted: false, release: null, result: null, error: null };
const child = (held: boolean): NewRun & { readonly journal: string } => ({
  id: CHILD,
  saga: 'hotel',
  version: 1,
  held,
  status: 'pending',
  deadlineAt: 7,
  parent: { id: RUN, call: 'a"b' },
  journal: '[]',
});

const WAKE = 10;
const wakes = (commit: Partial<RunCommit>): unknown => commitParameters([{ ...NOTHING, ...commit }])[WAKE];
const updateOf = (update: Partial<RunUpdate>): unknown =>
  (JSON.parse(String(commitParameters([{ ...NOTHING, update: { ...UPDATE, ...update } }])[5])) as unknown[])[0];

describe('the parameters of a commit', () => {
  it('have workers woken for what others may take up, and for nothing else', () => {
    expect(wakes({})).toBe(false);
    expect(wakes({ messages: ['{}'] })).toBe(false);
    expect(wakes({ children: [child(true)] })).toBe(false);
    expect(wakes({ start: child(true) })).toBe(false);
    expect(wakes({ children: [child(false)] })).toBe(true);
    expect(wakes({ start: child(false) })).toBe(true);
    expect(wakes({ runMessages: [{ runId: CHILD, body: { kind: 'undo' } }] })).toBe(true);
  });

  it('say how many runs change, unless it may have happened already', () => {
    const runs = [{ ...NOTHING, update: UPDATE }, NOTHING, { ...NOTHING, update: UPDATE }];
    expect(commitParameters(runs)[6]).toBe(2);
    expect(commitParameters(runs, true)[6]).toBeNull();
  });

  it('have all that is said of a run, and nothing that is not', () => {
    expect(updateOf({})).toEqual({ id: RUN, status: 'running' });
    const said = {
      reason: 'cancelled',
      pivoted: true,
      guarded: true,
      release: { wakeAt: 5 },
      result: '{"a":1}',
      error: '{"b":2}',
      growth: 80,
      signals: { count: 3, bytes: 4 },
      mismatch: '0f3a',
      refused: [{ what: 'cancel', reason: 'a"b' }],
      folded: [1, 2],
    } as const;
    expect(updateOf(said)).toEqual({
      id: RUN,
      status: 'running',
      reason: 'cancelled',
      pivoted: true,
      guarded: true,
      release: true,
      wake_at: 5,
      result: { a: 1 },
      error: { b: 2 },
      growth: 80,
      signals: 3,
      signal_bytes: 4,
      misfit: '0f3a',
      refused: [{ what: 'cancel', reason: 'a"b' }],
      folded: [1, 2],
    });
    expect(updateOf({ release: { wakeAt: null } })).toMatchObject({ release: true, wake_at: null });
  });

  it('have a child with its parent, its deadline and its first row', () => {
    const [starts, ids] = commitParameters([{ ...NOTHING, children: [child(false)] }]);
    expect(JSON.parse(String(starts))).toMatchObject([
      { id: CHILD, held: false, status: 'pending', deadline_at: 7, parent: RUN, parent_call: 'a"b' },
    ]);
    expect(ids).not.toBeNull();
  });

  it('have the messages that were taken in, and those that leave', () => {
    const commit = { ...NOTHING, runMessagesDone: ['7', '8'], messages: ['{"a":1}', '{"b":2}'] };
    const parameters = commitParameters([commit]);
    expect([parameters[7], parameters[9]]).toEqual(['{7,8}', '[{"a":1},{"b":2}]']);
  });
});

describe('a run that was claimed', () => {
  it('has its parent, and its messages as its own', () => {
    const row = {
      id: CHILD,
      saga: 'hotel',
      version: 1,
      status: 'waiting',
      reason: null,
      pivoted: false,
      claims: 2,
      lost: 1,
      deadline_at: 9,
      parent: RUN,
      parent_call: 'stay',
      journal: null,
      mail: [{ id: '7', at: 5, body: { kind: 'undo' }, bytes: 3 }],
    } as const;
    expect(claimedRun(row)).toMatchObject({
      claims: 2,
      lost: 1,
      deadlineAt: 9,
      parent: { id: RUN, call: 'stay' },
      journal: [],
      runMessages: [{ id: '7', runId: CHILD, at: 5, bytes: 3, body: { kind: 'undo' } }],
    });
  });
});

describe('messages that a look brings', () => {
  const row = (id: string, more: object = {}) => ({
    id,
    saga_id: RUN,
    held: true,
    body: { kind: 'undo' } as const,
    bytes: 1,
    at: 1,
    due: false,
    ...more,
  });

  it('are in the order in which they came, each once, also where a timer had them looked for again', () => {
    const { runMessages } = sortRunMessages([row('10'), row('9'), row('100'), row('9', { due: true })], 10, []);
    expect(runMessages.map(({ id }) => id)).toEqual(['9', '10', '100']);
  });

  it('for a run that nobody holds name it to be claimed, up to a limit', () => {
    const free = (saga: string) => row(saga, { saga_id: saga, held: false, body: null });
    const { ids, unread, runMessages } = sortRunMessages([free('1'), free('1'), free('2'), free('3')], 2, []);
    expect({ ids: [...ids], unread, runMessages }).toEqual({ ids: ['1', '2'], unread: [], runMessages: [] });
  });

  it('that are not all here name the runs whose timers must wait', () => {
    expect(sortRunMessages([row('1', { body: null })], 10, ['due']).unread).toEqual([RUN]);
    const many = Array.from({ length: RUN_MESSAGE_PAGE + 1 }, (_, id) => row(String(id), { due: true }));
    expect(sortRunMessages(many.slice(1), 10, ['due']).unread).toEqual([]);
    expect(sortRunMessages(many, 10, ['due']).unread).toEqual(['due']);
  });
});

describe('the error of a commit', () => {
  const sqlError = (code: string, more: object = {}): Error =>
    Object.assign(new Error('said \u0000 \ud800 €'), { code, ...more });

  it('makes a run stuck for its data alone, in words that any database takes', () => {
    expect(unrecordable(sqlError('22021'))).toMatchObject({
      code: 'HF_COMMIT_REFUSED',
      details: { sqlState: '22021' },
    });
    expect(unrecordable(sqlError('22021'))?.message).toMatch(/^[\x20-\x7e]+$/);
    for (const passing of [
      sqlError('40001'),
      sqlError('53100'),
      sqlError('08006'),
      sqlError('XX000'),
      new Error('x'),
      'x',
    ])
      expect(unrecordable(passing)).toBeNull();
    expect(unrecordable(new HoldfastError('HF_LEASE_LOST', 'x', { cause: sqlError('22021') }))).toBeNull();
  });

  it.each<[string, Error, string]>([
    ['a lease that is over', sqlError('HF001'), 'HF_LEASE_LOST'],
    ['a run of another worker', sqlError('HF002'), 'HF_LEASE_LOST'],
    ['an id of a message that is taken', sqlError('23505', { constraint: 'outbox_id' }), 'HF_MESSAGE_DUPLICATE'],
    ['a sequence of the log that is behind', sqlError('23505', { constraint: 'outbox_pkey' }), 'HF_SEQUENCE_BEHIND'],
    [
      'a sequence of messages that is behind',
      sqlError('23505', { constraint: 'saga_mail_pkey' }),
      'HF_SEQUENCE_BEHIND',
    ],
  ])('is told as what it is: %s', (_, error, code) => {
    expect(explainRefusal(error)).toMatchObject({ code });
  });

  it('that is of something else stays as it is', () => {
    const error = sqlError('23505', { constraint: 'orders_pkey' });
    expect(explainRefusal(error)).not.toMatchObject({ code: 'HF_SEQUENCE_BEHIND' });
  });
});
