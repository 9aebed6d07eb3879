/**
 * How large a journal is reckoned to be, and what the database is told of that: each figure once, and again only when it is another one.
 */
import { describe, expect, it } from 'vitest';
import { ATTEMPTS_KEPT } from '../../src/saga/journal/compaction.ts';
import type { JournalEvent } from '../../src/saga/journal/events.ts';
import { emptyState } from '../../src/saga/journal/state.ts';
import { JournalGauge } from '../../src/saga/run/journal-gauge.ts';

const LIMITS = { maxEvents: 100, maxJournalBytes: 10_000 };

function gaugeOf() {
  const state = emptyState();
  const gauge = new JournalGauge(state, LIMITS);
  return { state, gauge };
}

const failed = (attempt: number): JournalEvent => ({
  t: 'attempt failed',
  call: 'a',
  attempt,
  error: { name: 'Error', message: 'x' },
  retryAt: 1,
});

describe('the bytes of a journal', () => {
  it('are those of its rows, of the row that is being filled, and of what transactions wrote', () => {
    const { gauge } = gaugeOf();
    gauge.load({ n: 0, at: 1, events: [], bytes: 1_000 });
    gauge.wrote('x'.repeat(500));
    gauge.adopted('y'.repeat(2_000), false);
    expect(gauge.bytes).toBeGreaterThanOrEqual(3_500);
    expect(gauge.bytes).toBeLessThan(3_700);
  });

  it('fill a row at 4 MiB, and the next one begins with none', () => {
    const { gauge } = gaugeOf();
    gauge.wrote('x'.repeat(4 * 1024 * 1024 - 1));
    expect(gauge.rowIsFull).toBe(false);
    gauge.wrote('x');
    expect(gauge.rowIsFull).toBe(true);
    gauge.closeRow(0);
    expect(gauge.rowIsFull).toBe(false);
  });
});

describe('how full it is', () => {
  it('is told when it has reached another level, and once', () => {
    const { gauge } = gaugeOf();
    expect(gauge.isTold).toBe(true);
    expect(gauge.closeRow(0)).toBeNull();
    gauge.wrote('x'.repeat(5_000));
    expect(gauge.isTold).toBe(false);
    expect(gauge.closeRow(1)).toEqual({ growth: 50 });
    expect(gauge.isTold).toBe(true);
    expect(gauge.closeRow(2)).toBeNull();
    gauge.wrote('x'.repeat(3_000));
    expect(gauge.closeRow(3)).toEqual({ growth: 80 });
  });

  it('is not told again when it is loaded', () => {
    const { gauge } = gaugeOf();
    gauge.load({ n: 0, at: 1, events: [], bytes: 5_000 });
    gauge.loaded();
    expect(gauge.closeRow(1)).toBeNull();
  });

  it('is full for a run that is stuck for it, however little it has', () => {
    const { gauge, state } = gaugeOf();
    state.stuck = { why: 'journal full', call: null, error: { name: 'Error', message: 'x' }, of: [] };
    expect(gauge.closeRow(0)).toEqual({ growth: 100 });
  });
});

describe('signals that were taken in', () => {
  it('are told by fifties or mebibytes, and that there are none any more', () => {
    const { gauge, state } = gaugeOf();
    const keep = (count: number): void => {
      state.signals.splice(0, Infinity, ...Array.from({ length: count }, () => ({ name: 'go', payload: undefined })));
    };
    keep(49);
    expect(gauge.closeRow(0)).toBeNull();
    keep(50);
    expect(gauge.closeRow(1)).toEqual({ signals: { count: 50, bytes: 0 } });
    expect(gauge.closeRow(2)).toBeNull();
    state.signalBytes = 1024 * 1024;
    expect(gauge.closeRow(3)).toEqual({ signals: { count: 50, bytes: 1024 * 1024 } });
    keep(0);
    state.signalBytes = 0;
    expect(gauge.closeRow(4)).toEqual({ signals: { count: 0, bytes: 0 } });
    expect(gauge.closeRow(5)).toBeNull();
  });
});

describe('rows of attempts', () => {
  /** A row with these events; what is told beside it. */
  const write = (gauge: JournalGauge, n: number, events: readonly JournalEvent[]) => {
    for (const event of events) {
      gauge.wrote(JSON.stringify(event));
      gauge.noted(event);
    }
    return gauge.closeRow(n);
  };

  it('go when a later one says the same, with what they weigh', () => {
    const { gauge, state } = gaugeOf();
    state.events = 2;
    expect(write(gauge, 0, [failed(ATTEMPTS_KEPT + 1)])).toBeNull();
    const { bytes } = gauge;
    expect(write(gauge, 1, [failed(ATTEMPTS_KEPT + 2)])).toEqual({ folded: [0] });
    expect(gauge.bytes).toBe(bytes);
    expect(state.events).toBe(1);
  });

  it('stay when they say anything else', () => {
    const { gauge } = gaugeOf();
    write(gauge, 0, [failed(ATTEMPTS_KEPT + 1), { t: 'signal', name: 'go' }]);
    expect(write(gauge, 1, [failed(ATTEMPTS_KEPT + 2)])).toBeNull();
  });
});
