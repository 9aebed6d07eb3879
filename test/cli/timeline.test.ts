/** Runs drawn as timelines: what an operator reads. */
import { describe, expect, it } from 'vitest';
import { createStyle } from '../../src/cli/output/style.ts';
import { formatTimeline, type TimelineView } from '../../src/cli/output/timeline.ts';
import { errorText } from '../../src/cli/output/timeline-lines.ts';
import { formatHistory } from '../../src/cli/verbs/saga.ts';
import { adviseStuck } from '../../src/operations/sagas/saga-advice.ts';
import { foldTimeline } from '../../src/operations/sagas/saga-timeline.ts';
import type { JournalEvent } from '../../src/saga/journal/events.ts';
import * as samples from './sample-runs.ts';

const { called, done, row, view } = samples;
const plain = createStyle(false);
const draw = (run: TimelineView, width = 100) => formatTimeline(run, { style: plain, width });
const text = (...lines: readonly string[]) => lines.join('\n');

describe('a run as a timeline', () => {
  it('goes forward, past its pivot', () => {
    expect(draw(samples.completed)).toBe(
      text(
        'place-order@1  0199f3a0-7b1c-7cc0-9d7e-3a4b5c6d7e8f',
        'completed in 560 ms · started 2026-01-02 03:04:05Z',
        'key o-1 · past its pivot',
        '',
        '    AT      CALL     KIND                  TOOK  OUTCOME',
        '  +0ms    ✔ charge   step                120 ms  done',
        '+120ms    ✔ reserve  command             420 ms  done',
        '+540ms    ✔ ship     transaction, pivot   20 ms  done',
        '+560ms    ✔ confirm  emit                  0 ms  done',
        '',
        'result  {"paymentId":"p-1"}',
      ),
    );
  });

  it('holds together what is under way together', () => {
    expect(draw(samples.parallel)).toBe(
      text(
        'place-order@1  0199f3a0-7b1c-7cc0-9d7e-3a4b5c6d7e8f',
        'running · started 2026-01-02 03:04:05Z (2.3 s ago)',
        'key o-1 · on worker-1 · deadline 2026-01-02 04:04:05Z (in 59m 58s)',
        '',
        '  AT      CALL    KIND       TOOK      OUTCOME',
        '+0ms  ┌ ✔ flight  step     800 ms      done',
        '+0ms  ├ ✔ hotel   step      1.9 s  ×2  done',
        '+0ms  └ … car     command  2.3 s…      waits for its reply, until 2026-01-02 03:04:35Z (in 28 s)',
      ),
    );
  });

  it('tells why it was compensated, and what was', () => {
    expect(draw(samples.compensated)).toBe(
      text(
        'place-order@1  0199f3a0-7b1c-7cc0-9d7e-3a4b5c6d7e8f',
        'compensated (failed) in 2.1 s · started 2026-01-02 03:04:05Z',
        'key o-1',
        '',
        '    AT      CALL     KIND          TOOK      OUTCOME',
        '  +0ms  ┌ ✔ charge   step        180 ms      done',
        '  +0ms  ├ ✘ reserve  command     950 ms      rejected: sold out',
        '  +0ms  └ ✔ notify   step         90 ms      done',
        '',
        '+955ms    ↶ compensated because it failed: rejected: sold out',
        '+955ms    ↶ charge   compensate   1.1 s  ×2  compensated',
      ),
    );
  });

  it('tells what is in doubt, what is tried again, and what is left to do', () => {
    expect(draw(samples.inDoubt)).toBe(
      text(
        'place-order@1  0199f3a0-7b1c-7cc0-9d7e-3a4b5c6d7e8f',
        'compensating (failed) · started 2026-01-02 03:04:05Z (11 s ago)',
        'key o-1',
        '',
        '    AT      CALL     KIND           TOOK      OUTCOME',
        '  +0ms    ✔ reserve  command      310 ms      done',
        '+310ms    ? charge   step           10 s  ×2  in doubt, it may have happened: HF_STEP_TIMEOUT: The',
        '                                              attempt did not finish within 5 s.',
        '',
        '  +11s    ↶ to be compensated because it failed: HF_STEP_TIMEOUT: The attempt did not finish within…',
        '  +11s    ↻ charge   compensate  465 ms…      tried again in 2.0 s, after: connect ECONNREFUSED',
        '                                              10.0.0.7:443',
        '          · reserve  compensate               still to be compensated',
      ),
    );
  });

  it('tells what it waits for, and until when', () => {
    expect(draw(samples.waiting)).toBe(
      text(
        'approve-expense@1  0199f3a0-7b1c-7cc0-9d7e-3a4b5c6d7e8f',
        'waiting · started 2026-01-02 03:04:05Z (1d 2h ago)',
        'key o-1',
        '',
        '   AT      CALL             KIND           TOOK  OUTCOME',
        ' +0ms    ✔ submit           transaction   15 ms  done',
        '+15ms  ┌ … wait:approved#1  wait         1d 2h…  waits for the signal approved, until 2026-01-05',
        '       │                                         03:04:05Z (in 1d 22h)',
        '+15ms  └ ✔ sleep#1          sleep            1d  done',
        '  +1d    ✔ remind:1         emit           0 ms  done',
        '  +1d    … sleep#2          sleep           2h…  sleeps until 2026-01-04 03:04:05Z (in 22h)',
      ),
    );
  });

  it('says what to do about a compensation that gave up', () => {
    expect(draw(samples.stuck)).toBe(
      text(
        'place-order@1  0199f3a0-7b1c-7cc0-9d7e-3a4b5c6d7e8f',
        'STUCK (cancelled) · started 2026-01-02 03:04:05Z (1h ago)',
        'key o-1',
        '',
        '    AT      CALL     KIND          TOOK       OUTCOME',
        '  +0ms    ✔ reserve  command     310 ms       done',
        '+310ms    ✔ charge   step        170 ms       done',
        '+480ms    ✘ ship     command     920 ms       rejected: sold out',
        '',
        '+900ms    ↶ to be compensated because anna@desk cancelled it',
        ' +1.4s    ✘ charge   compensate  395 ms  ×20  STUCK, gave up: no such payment',
        '          · reserve  compensate               still to be compensated',
        '',
        '■ STUCK for 59m 58s. Compensating charge gave up. no such payment',
        '  → mend the cause, then try again:',
        '      holdfast saga retry 0199f3a0-7b1c-7cc0-9d7e-3a4b5c6d7e8f',
        '    or compensated by hand:',
        "      holdfast saga resolve 0199f3a0-7b1c-7cc0-9d7e-3a4b5c6d7e8f charge --as compensated --reason '…'",
        '    or leave compensating charge out:',
        "      holdfast saga skip 0199f3a0-7b1c-7cc0-9d7e-3a4b5c6d7e8f charge --reason '…'",
      ),
    );
  });

  it('keeps who did what by hand', () => {
    expect(draw(samples.skipped)).toBe(
      text(
        'place-order@1  0199f3a0-7b1c-7cc0-9d7e-3a4b5c6d7e8f',
        'compensated (cancelled) in 6m 41s · started 2026-01-02 03:04:05Z',
        'key o-1',
        '',
        '     AT      CALL     KIND          TOOK  OUTCOME',
        '   +0ms    ✔ reserve  command     310 ms  done',
        ' +310ms    ✔ charge   step        170 ms  done',
        ' +480ms    ✘ ship     command     920 ms  rejected: sold out',
        '',
        ' +900ms    ↶ compensated because anna@desk cancelled it',
        '  +1.4s    ⊘ charge   compensate          skipped by bert@desk: refunded over the phone, voucher',
        '                                          7731',
        '  +1.8s    ■ stuck: no such payment',
        '    +5m    ↻ tried again by anna@desk: payments are back',
        ' +5m 1s    ■ stuck: no such payment',
        '+6m 40s    ↶ reserve  compensate   1.0 s  compensated',
      ),
    );
  });

  it('says what to do about code that no longer fits', () => {
    expect(draw(samples.changedCode)).toBe(
      text(
        'place-order@1  0199f3a0-7b1c-7cc0-9d7e-3a4b5c6d7e8f',
        'STUCK · started 2026-01-02 03:04:05Z (1h ago)',
        'key o-1 · lost 1 worker',
        '',
        '   AT      CALL    KIND  TOOK  OUTCOME',
        ' +0ms    ‖ charge  step        halted',
        '+90ms    ! taken over from a worker that was lost',
        '',
        '■ STUCK for 1h. The code of the saga no longer does what the journal says it did.',
        '  HF_NON_DETERMINISM: The code calls charge where the journal has reserve.',
        '  → deploy code that fits (changed code wants a new version), then try again:',
        '      holdfast saga retry 0199f3a0-7b1c-7cc0-9d7e-3a4b5c6d7e8f',
        '    or have it compensated:',
        "      holdfast saga cancel 0199f3a0-7b1c-7cc0-9d7e-3a4b5c6d7e8f --reason '…'",
      ),
    );
  });

  it('keeps to the width it is given, and to the same words with colours', () => {
    for (const each of [samples.completed, samples.parallel, samples.inDoubt, samples.waiting, samples.skipped]) {
      for (const width of [80, 100, Infinity]) {
        const lines = draw(each, width).split('\n');
        expect(lines.filter((line) => line.length > Math.min(width, 100))).toEqual([]);
      }
      const coloured = formatTimeline(each, { style: createStyle(true), width: 100 });
      // eslint-disable-next-line no-control-regex
      expect(coloured.replaceAll(/\u001B\[\d+m/g, '')).toBe(draw(each));
    }
  });

  it('lets no text of a run take over the terminal', () => {
    const error = { name: 'Error', message: 'a\u001B[2J\nb' };
    const rows = [
      row(0, 0, called('charge')),
      row(1, 5, { t: 'failed', call: 'charge', attempts: 1, error, outcome: 'definite' }),
    ];
    // eslint-disable-next-line no-control-regex
    expect(draw(view('running', rows, 10, { key: 'k\u001B[1m' }))).not.toMatch(/\u001B/);
  });
});

describe('the fold of a journal', () => {
  const fold = (run: TimelineView, undoable?: (step: string) => boolean) =>
    foldTimeline({ status: run.run.status, rows: run.rows, now: run.now, undoable });

  it('knows what is still to be compensated, the next first, and leaves out what declares no compensation', () => {
    const rows = [
      row(0, 0, called('reserve', 'command')),
      row(1, 1, done('reserve'), called('note', 'emit'), done('note'), called('charge')),
      row(2, 2, done('charge'), called('ship')),
      row(3, 3, { t: 'failed', call: 'ship', attempts: 1, error: { name: 'Error', message: 'x' }, outcome: 'unknown' }),
      row(4, 4, { t: 'undoing', reason: 'failed' }),
    ];
    const run = view('compensating', rows, 5);
    expect(fold(run).remaining).toEqual(['ship', 'charge', 'note', 'reserve']);
    expect(fold(run, (step) => step !== 'note').remaining).toEqual(['ship', 'charge', 'reserve']);
    // What was passed over on the way back has none.
    const later = [...rows, row(5, 6, { t: 'compensating', call: 'charge', round: 1 })];
    expect(fold(view('compensating', later, 7)).remaining).toEqual(['note', 'reserve']);
    const verified = [...rows, row(5, 6, { t: 'verified', call: 'ship', outcome: 'not done' })];
    expect(fold(view('compensating', verified, 7)).remaining).toEqual(['charge', 'note', 'reserve']);
    expect(fold(samples.compensated).remaining).toEqual([]);
  });

  it('counts rounds of a compensation that a late reply made necessary again', () => {
    const rows = [
      row(0, 0, called('reserve', 'command')),
      row(1, 1, { t: 'undoing', reason: 'timed out' }, { t: 'compensating', call: 'reserve', round: 1 }),
      row(2, 2, { t: 'compensated', call: 'reserve' }),
      row(
        3,
        3,
        { t: 'late reply', call: 'reserve', outcome: 'done' },
        { t: 'compensating', call: 'reserve', round: 2 },
      ),
      row(4, 4, { t: 'compensated', call: 'reserve' }, { t: 'undone' }),
    ];
    expect(fold(view('compensated', rows, 5)).compensations).toMatchObject([
      { round: 1, state: 'compensated' },
      { round: 2, state: 'compensated' },
    ]);
    expect(draw(view('compensated', rows, 5))).toMatch(/compensated \(round 2\)/);
  });

  it('tells what a newer version has written, and does not fail at it', () => {
    const written = (event: object) => event as JournalEvent;
    const rows = [
      row(0, 0, { t: 'started', input: 1 }, written({ ...called('batch'), kind: 'map' })),
      row(1, 5, written({ t: 'paused', by: 'ada' }), written({ t: 'shrunk', call: 'batch', payload: 'secret' })),
      row(2, 8, written({ t: 'attempt failed', call: 'batch', attempt: 1, error: { name: 'E', message: 'x' } })),
      row(3, 9, written({ t: 'retried', actor: 'ada', anew: [{ call: 'batch' }] })),
      row(4, 10, called('charge'), written({ t: 'stuck', why: 'moon', error: { name: 'E', message: 'x' } })),
    ];
    for (const status of ['running', 'waiting', 'compensating', 'completed', 'compensated', 'stuck'] as const) {
      const run = view(status, rows, 20);
      expect(fold(run).calls.map(({ call }) => call)).toEqual(['batch', 'charge']);
      expect(
        fold(run)
          .notes.slice(0, 2)
          .map(({ event }) => event),
      ).toEqual([
        { t: 'unknown', name: 'paused', call: null },
        { t: 'unknown', name: 'shrunk', call: 'batch' },
      ]);
      expect(draw(run)).toMatch(/paused, which this version does not know/);
      expect(draw(run)).toMatch(/batch: shrunk, which/);
    }
    expect(draw(view('stuck', rows, 20))).toMatch(/Why is not known to this version/);
    expect(fold(view('running', rows.slice(0, 1), 20)).calls).toMatchObject([{ kind: 'map', state: 'waiting' }]);
  });

  it('keeps when each attempt failed, and when the next one was to begin', () => {
    const error = { name: 'Error', message: 'x', code: 'EPIPE', stack: 'at y', details: { card: '4111' } };
    const said = { name: 'Error', message: 'x', code: 'EPIPE' };
    const failed = (attempt: number, retryAt: number, more: object = {}): JournalEvent => ({
      t: 'attempt failed',
      call: 'pay',
      attempt,
      error,
      retryAt: samples.T0 + retryAt,
      ...more,
    });
    const rows = [
      row(0, 0, called('pay', 'step', { pivot: true })),
      row(1, 10, failed(1, 30)),
      row(2, 40, failed(1, 45, { uncounted: 'lost' })),
      row(3, 60, { t: 'failed', call: 'pay', attempts: 2, error, outcome: 'definite' }),
      row(4, 61, { t: 'stuck', why: 'forward', call: 'pay', error }),
      row(5, 90, { t: 'retried', actor: 'ada', anew: [{ call: 'pay' }] }),
    ];
    const at = (ms: number) => samples.T0 + ms;
    expect(fold(view('running', rows, 99)).calls[0]?.failedAttempts).toEqual([
      { attempt: 1, at: at(10), error: said, retryAt: at(30), uncounted: null },
      { attempt: 1, at: at(40), error: said, retryAt: at(45), uncounted: 'lost' },
      { attempt: 2, at: at(60), error: said, retryAt: at(90), uncounted: null },
    ]);
    const stuck = fold(samples.stuck).compensations[0];
    expect(stuck?.failedAttempts.at(-1)).toMatchObject({ attempt: 20, retryAt: null });
    const again = [...samples.stuck.rows, row(7, 9_000, { t: 'retried', actor: 'ada' })];
    expect(fold(view('compensating', again, 9_000)).compensations[0]?.failedAttempts.at(-1)).toMatchObject({
      attempt: 20,
      retryAt: at(9_000),
    });
  });

  it('keeps what was resolved by hand, also on the way forward', () => {
    const error = { name: 'Error', message: 'x' };
    const by = { actor: 'anna', reason: 'asked the bank' };
    const rows = [
      row(0, 0, called('pay', 'step', { pivot: true })),
      row(1, 1, { t: 'stuck', why: 'in doubt', call: 'pay', error }),
      row(2, 2, { t: 'resolved', call: 'pay', as: 'done', ...by }, done('pay', { id: 1 })),
    ];
    expect(fold(view('running', rows, 5)).calls).toMatchObject([{ state: 'done', resolved: { as: 'done', ...by } }]);
    expect(draw(view('running', rows, 5))).toMatch(/✔ pay.*done, says anna: asked the bank/);
    const compensated = [
      ...samples.stuck.rows,
      row(7, 9_000, { t: 'resolved', call: 'charge', as: 'compensated', ...by }, { t: 'compensated', call: 'charge' }),
    ];
    expect(fold(view('compensating', compensated, 9_000)).compensations).toMatchObject([
      { state: 'resolved', byHand: by },
    ]);
  });

  it('bears journals of nothing, and of calls it never saw begin', () => {
    expect(fold(view('pending', [], 5))).toMatchObject({ calls: [], remaining: [], stuck: null });
    expect(draw(view('pending', [], 5))).toMatch(/Nothing has been called yet/);
    const rows = [
      row(
        0,
        0,
        done('ghost'),
        { t: 'compensated', call: 'ghost' },
        { t: 'late reply', call: 'ghost', outcome: 'done' },
      ),
    ];
    expect(fold(view('running', rows, 5)).compensations).toMatchObject([{ call: 'ghost', kind: null }]);
  });
});

describe('advice for stuck runs', () => {
  it.each([
    ['compensation', 'charge', [/saga retry/, /--as compensated/, /saga skip/]],
    ['forward', null, [/saga retry/, /resolve \S+ --as done/]],
    ['code', null, [/saga retry/, /saga cancel/]],
    ['code', 'pay', [/saga retry/, /resolve \S+ pay --as done/]],
    ['in doubt', 'pay', [/resolve \S+ pay --as done/, /--as not-done/]],
    ['kills workers', null, [/saga retry/, /saga cancel/]],
    ['non-determinism', null, [/saga retry/, /saga cancel/]],
    ['outside await', null, [/saga retry/, /saga cancel/]],
    ['undefined step', 'charge', [/saga retry/, /saga skip/]],
  ] as const)('%s', (why, call, wanted) => {
    const { meaning, ways } = adviseStuck(samples.RUN_ID, why, call);
    expect(meaning).toMatch(/\.$/);
    for (const each of wanted) expect(ways.map(({ command }) => command).join('\n')).toMatch(each);
  });

  it('quotes calls for the shell', () => {
    expect(adviseStuck('ID', 'in doubt', "pay:o'1").ways[0]?.command).toContain(String.raw`'pay:o'\''1'`);
  });
});

describe('texts', () => {
  it('of errors', () => {
    expect(errorText({ name: 'Error', message: 'no' })).toBe('no');
    expect(errorText({ name: 'SoldOut', message: 'none left' })).toBe('SoldOut: none left');
    expect(errorText({ name: 'Rejection', message: 'no', code: 'HF_REJECTED' })).toBe('rejected: no');
    expect(errorText({ name: 'X', message: '', code: 'HF_STEP_LOST' })).toBe('HF_STEP_LOST');
  });

  it('of a history', () => {
    expect(formatHistory(samples.changedCode.rows, plain)).toBe(
      text(
        '0    +0 ms  started  {"input":{"order":"o-1"}}',
        '            called charge  {"kind":"step","step":"charge"}',
        '1   +90 ms  recovered  {"lost":1}',
        '2  +100 ms  stuck  {"why":"non-determinism","error":{"name":"HoldfastError","message":"The code calls charge where the journal has reserve.","code":"HF_NON_DETERMINISM"}}',
      ),
    );
  });
});
