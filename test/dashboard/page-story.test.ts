/** A run as the page draws it: in columns, and as lines over time. */
import { describe, expect, it } from 'vitest';
import { columnsOfDeclaration, columnsOfRun, partsOfBar, rowsOfRun } from '../../src/dashboard/page/app/story.ts';
import type { WireTimeline } from '../../src/dashboard/page/app/wire.ts';
import { called, compensated, completed, done, parallel, row, skipped, stuck, view } from '../cli/sample-runs.ts';
import { timelineOf } from './sample-pages.ts';

const shape = (timeline: WireTimeline): readonly unknown[] =>
  columnsOfRun(timeline).map((column) =>
    column.t === 'gap'
      ? column
      : column.boxes.map(({ call, look, back }) =>
          [call, look?.word, ...(back === null ? [] : [back.look?.word])].join(' '),
        ),
  );

describe('columns', () => {
  it('stand one behind the other for calls one after the other', () => {
    expect(shape(timelineOf(completed))).toEqual([['charge done'], ['reserve done'], ['ship done'], ['confirm done']]);
  });

  it('hold what ran together', () => {
    expect(shape(timelineOf(parallel))).toEqual([['flight done', 'hotel done', 'car waiting']]);
  });

  it('have the way back under the calls that it belongs to', () => {
    expect(shape(timelineOf(compensated))).toEqual([['charge done compensated', 'reserve failed', 'notify done']]);
    expect(shape(timelineOf(stuck))).toEqual([
      ['reserve done to compensate'],
      ['charge done gave up'],
      ['ship failed'],
    ]);
  });

  it('are left out in the middle when there are very many', () => {
    const events = Array.from({ length: 300 }, (_, index) => [called(`step:${index}`), done(`step:${index}`)]);
    const long = view(
      'running',
      events.map((each, index) => row(index, index * 10, ...each)),
      5_000,
    );
    const columns = columnsOfRun(timelineOf(long));
    expect(columns).toHaveLength(41);
    expect(columns[20]).toEqual({ t: 'gap', calls: 260 });
  });

  it('of a declaration follow its order', () => {
    const budget = { attempts: 5, withinMs: null, timeoutMs: 30_000 };
    const base = { topic: null, child: null, budget };
    const columns = columnsOfDeclaration({
      name: 'transfer',
      version: 1,
      deadlineMs: null,
      concurrency: null,
      signals: [],
      steps: [
        { name: 'debit', kind: 'transaction', pivot: false, compensated: true, ...base },
        { name: 'credit', kind: 'transaction', pivot: true, compensated: false, ...base },
      ],
    });
    expect(
      columns.map((column) =>
        column.t === 'calls' ? column.boxes.map(({ back, pivot }) => [back !== null, pivot]) : [],
      ),
    ).toEqual([[[true, false]], [[false, true]]]);
  });
});

describe('lines', () => {
  it('go forward, turn, and go back, with what people did between', () => {
    const lines = rowsOfRun(timelineOf(skipped)).map((each) =>
      each.t === 'call' ? each.call.call : each.t === 'back' ? `back ${each.compensation.call}` : each.t,
    );
    expect(lines).toEqual(['reserve', 'charge', 'ship', 'turn', 'back charge', 'note', 'note', 'note', 'back reserve']);
  });

  it('say where the pivot was passed', () => {
    expect(rowsOfRun(timelineOf(completed)).map(({ t }) => t)).toEqual(['call', 'call', 'call', 'pivot', 'call']);
  });

  it('end with what is still to be compensated', () => {
    expect(rowsOfRun(timelineOf(stuck)).at(-1)).toEqual({ t: 'remaining', call: 'reserve' });
  });
});

describe('bars', () => {
  const tried = (attempt: number, at: number, retryAt: number | null) => ({
    attempt,
    at,
    retryAt,
    error: { name: 'Error', message: 'x' },
    uncounted: null,
  });
  const parts = (till: number, ...failedAttempts: readonly ReturnType<typeof tried>[]) =>
    partsOfBar({ startedAt: 0, failedAttempts }, till).map(({ t, from, to, failed }) => [
      t,
      from,
      to,
      ...(failed === null ? [] : [failed.attempt]),
    ]);

  it('are whole when nothing failed', () => {
    expect(parts(50)).toEqual([['attempt', 0, 50]]);
    expect(parts(0)).toEqual([['attempt', 0, 0]]);
  });

  it('show each attempt, and the waits between them', () => {
    expect(parts(50, tried(1, 10, 30), tried(2, 35, 40))).toEqual([
      ['attempt', 0, 10, 1],
      ['pause', 10, 30],
      ['attempt', 30, 35, 2],
      ['pause', 35, 40],
      ['attempt', 40, 50],
    ]);
    // It waits still.
    expect(parts(20, tried(1, 10, 30))).toEqual([
      ['attempt', 0, 10, 1],
      ['pause', 10, 20],
    ]);
    // It gave up.
    expect(parts(10, tried(1, 10, null))).toEqual([['attempt', 0, 10, 1]]);
  });

  it('never go backwards, whatever the clocks of the workers said', () => {
    expect(parts(20, tried(1, 15, 5), tried(2, 12, 40))).toEqual([
      ['attempt', 0, 15, 1],
      ['attempt', 15, 15, 2],
      ['pause', 15, 20],
    ]);
  });
});
