/** A run as the page draws it: in columns, and as lines over time. */
import { describe, expect, it } from 'vitest';
import { columnsOfDeclaration, columnsOfRun, rowsOfRun } from '../../src/dashboard/page/app/story.ts';
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
    const base = { topic: null, child: null };
    const columns = columnsOfDeclaration({
      name: 'transfer',
      version: 1,
      deadlineMs: null,
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
