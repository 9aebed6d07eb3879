/**
 * The judge of sagas is judged: a history without fault passes, and each way of breaking one is found and named.
 */
import { describe, expect, it } from 'vitest';
import type { JournalEvent } from '../../src/saga/journal/events.ts';
import { sagaBreaches, type SagaExpectations } from '../support/faults/saga-checker.ts';
import type { RowEffect, SagaFacts, StoredRow } from '../support/faults/saga-facts.ts';
import type { OutsideEntry } from '../support/faults/saga-outside.ts';

const RUN = '0197a3c2-5b1e-7cc3-98c4-dc0c0c07398f';
const error = { name: 'Error', message: 'no' };

const started: JournalEvent = { t: 'started', input: {} };
const called = (call: string, kind: 'step' | 'transaction' = 'step'): JournalEvent => ({
  t: 'called',
  call,
  kind,
  step: call,
});
const done = (call: string): JournalEvent => ({ t: 'done', call });
const failed = (call: string, outcome: 'definite' | 'unknown'): JournalEvent => ({
  t: 'failed',
  call,
  attempts: 1,
  error,
  outcome,
});
const revoked: JournalEvent = { t: 'undoing', reason: 'failed' };
const compensating = (call: string): JournalEvent => ({ t: 'compensating', call, round: 1 });
const compensated = (call: string): JournalEvent => ({ t: 'compensated', call });
const completed: JournalEvent = { t: 'completed' };
const takenBack: JournalEvent = { t: 'undone' };

/** One row an event, a second apart, stored ten milliseconds after its time. */
function rows(
  events: readonly JournalEvent[],
  change: (row: StoredRow) => Partial<StoredRow> = () => ({}),
): StoredRow[] {
  return events.map((event, n) => {
    const row: StoredRow = { n, at: n * 1_000, storedAt: n * 1_000 + 10, holder: 'alive', events: [event] };
    return { ...row, ...change(row) };
  });
}

function entry(what: 'do' | 'compensate', call: string, given: Partial<OutsideEntry> = {}): OutsideEntry {
  const key = `${RUN}:${call}${what === 'compensate' ? ':undo' : ''}`;
  return { by: 'w', what, run: RUN, call, key, amount: 1, attempt: 1, token: 1, at: 1_000_000, ...given };
}

const effect = (what: 'do' | 'compensate', call: string): RowEffect => ({ what, run: RUN, call, amount: 1 });

interface Story {
  readonly status?: 'completed' | 'compensated' | 'stuck' | 'running';
  readonly journal: readonly StoredRow[];
  readonly effects?: readonly RowEffect[];
  readonly outside?: readonly OutsideEntry[];
  readonly rest?: Partial<SagaFacts>;
}

function judge(
  { status = 'completed', journal, effects = [], outside = [], rest = {} }: Story,
  expectations: SagaExpectations = {},
): string {
  const reason = status === 'compensated' ? 'failed' : null;
  const facts: SagaFacts = {
    runs: [{ id: RUN, status, reason, held: false, journal }],
    effects,
    outside,
    messages: [],
    tampered: [],
    mismatches: [],
    unfinished: [],
    ...rest,
  };
  return sagaBreaches(facts, expectations).join('\n');
}

const forth = [started, called('debit', 'transaction'), done('debit'), called('gift'), done('gift')];
const effects = [effect('do', 'debit')];
const outside = [entry('do', 'gift')];
const back = [
  revoked,
  compensating('gift'),
  compensated('gift'),
  compensating('debit'),
  compensated('debit'),
  takenBack,
];
const whole = { journal: rows([...forth, completed]), effects, outside };
const reverted = {
  status: 'compensated',
  journal: rows([...forth, ...back]),
  effects: [...effects, effect('compensate', 'debit')],
  outside: [...outside, entry('compensate', 'gift')],
} as const;

/** The debit fails twelve times before it is done; the eleventh failure, row 12, was taken out by the twelfth. */
const tried = rows([
  ...forth.slice(0, 2),
  ...Array.from({ length: 12 }, (_, at): JournalEvent => ({
    t: 'attempt failed',
    call: 'debit',
    attempt: at + 1,
    error,
    retryAt: 0,
  })),
  ...forth.slice(2),
  completed,
]);
const without = (n: number): Story => ({
  ...whole,
  journal: tried.filter((row) => row.n !== n),
  rest: { tampered: tried.filter((row) => row.n === n).map(({ events }) => ({ act: 'DELETE', run: RUN, n, events })) },
});

describe('passes', () => {
  it('a journal without the eleventh failure of a call, where the twelfth stands', () => {
    expect(judge(without(12))).not.toMatch(/I(?!9)\d/);
  });
  it('a run that has been compensated, with what was repeated under its key', () => {
    expect(
      judge({
        ...reverted,
        outside: [entry('do', 'gift'), entry('do', 'gift', { attempt: 2 }), entry('compensate', 'gift')],
      }),
    ).toBe('');
  });
  it('what came from a worker that had been replaced', () => {
    const late = [
      entry('do', 'gift', { token: 2 }),
      entry('compensate', 'gift', { token: 2 }),
      entry('do', 'gift', { key: 'x', token: 1 }),
    ];
    expect(judge({ ...reverted, outside: late })).toBe('');
  });
  it('a step in doubt that never happened, and was compensated all the same', () => {
    const journal = rows([
      started,
      called('gift'),
      failed('gift', 'unknown'),
      revoked,
      compensating('gift'),
      compensated('gift'),
      takenBack,
    ]);
    expect(judge({ status: 'compensated', journal, outside: [entry('compensate', 'gift')] })).toBe('');
  });
});

const broken: readonly { name: string; breach: RegExp; story: Story; expectations?: SagaExpectations }[] = (
  [
    ['a start that is gone', /I5/, whole, { started: ['another'] }],
    ['a start that was rolled back', /I2.*rolled back/, whole, { rolledBack: [RUN] }],
    ['a run that is not there', /I2.*not there/, { ...whole, rest: { runs: [] } }],
    ['a run that has not ended', /I13/, { ...whole, rest: { unfinished: ['run'] } }],
    ['a run that is stuck', /I6.*stuck/, { journal: rows(forth), status: 'stuck' }],
    ['a run that should be stuck', /I6.*should be stuck/, whole, { stuck: [RUN] }],
    ['an end that the journal does not have', /I6.*not at an end/, { ...whole, journal: rows(forth) }],
    ['an open call at the end', /I6.*is open/, { journal: rows([started, called('gift'), completed]), outside }],
    ['a gap in the journal', /I10.*row 2/, { ...whole, journal: whole.journal.filter(({ n }) => n !== 1) }],
    [
      'a second outcome',
      /I10.*gift was done/,
      { ...whole, journal: rows([...forth, failed('gift', 'definite'), completed]) },
    ],
    ['a row that is gone, of one of the first failures', /I10: DELETE of row 11/, without(11)],
    ['a row that is gone, of the last failure', /I10: DELETE of row 13/, without(13)],
    [
      'a row that was changed',
      /I10: UPDATE/,
      { ...whole, rest: { tampered: [{ act: 'UPDATE', run: RUN, n: 1, events: [] }] } },
    ],
    ['a history that the code does not repeat', /I10: misfit/, { ...whole, rest: { mismatches: ['misfit'] } }],
    [
      'something after the end',
      /I10.*after the end/,
      { ...whole, journal: rows([...forth, completed, called('tip')]) },
    ],
    [
      'time that goes back',
      /I10.*older/,
      { ...whole, journal: rows([...forth, completed], ({ n }) => (n === 3 ? { at: 0 } : {})) },
    ],
    [
      'a row under a lost lease',
      /I11/,
      { ...whole, journal: rows([...forth, completed], ({ n }) => (n === 3 ? { holder: 'gone' } : {})) },
    ],
    [
      'a row ahead of time',
      /I12.*ahead/,
      { ...whole, journal: rows([...forth, completed], ({ n }) => (n === 3 ? { storedAt: 2_900 } : {})) },
    ],
    [
      'a sleep that was too short',
      /I12.*early/,
      {
        ...whole,
        journal: rows([
          ...forth,
          { t: 'called', call: 'sleep#1', kind: 'sleep', step: 'sleep', until: 7_000 },
          done('sleep#1'),
          completed,
        ]),
      },
    ],
    [
      'a retry before its time',
      /I12.*attempt 2/,
      {
        ...whole,
        journal: rows([
          ...forth.slice(0, 4),
          { t: 'attempt failed', call: 'gift', attempt: 1, error, retryAt: 2_000_000 },
          done('gift'),
          completed,
        ]),
        outside: [entry('do', 'gift'), entry('do', 'gift', { attempt: 2 })],
      },
    ],
    [
      'a signal that two waits took',
      /I12.*took a signal/,
      {
        ...whole,
        journal: rows([
          ...forth,
          { t: 'called', call: 'wait:answer#1', kind: 'wait', step: 'answer' },
          { t: 'called', call: 'wait:answer#2', kind: 'wait', step: 'answer' },
          { t: 'signal', name: 'answer', payload: 1 },
          { t: 'done', call: 'wait:answer#1', output: 1 },
          { t: 'done', call: 'wait:answer#2', output: 1 },
          completed,
        ]),
      },
    ],
    [
      'a deadline that came early',
      /I12.*deadline/,
      {
        ...reverted,
        journal: rows([
          { t: 'started', input: {}, deadlineAt: 1_000_000 },
          ...forth.slice(1),
          { t: 'undoing', reason: 'timed out' },
          ...back.slice(1),
        ]),
      },
    ],
    ['an effect that is missing', /I7: gift is done, and has no effect/, { ...whole, outside: [] }],
    ['a double row', /I7.*2 times/, { ...whole, effects: [...effects, ...effects] }],
    [
      'a double effect under two keys',
      /I7.*2 keys/,
      { ...whole, outside: [...outside, entry('do', 'gift', { key: 'other' })] },
    ],
    [
      'an effect of a call that nobody made',
      /I7.*no such call/,
      { ...whole, outside: [...outside, entry('do', 'tip')] },
    ],
    ['an effect that nobody took back', /I8.*took back/, { ...reverted, outside }],
    [
      'an effect after its compensation',
      /I8.*after its compensation/,
      {
        ...reverted,
        journal: rows([
          started,
          called('gift'),
          failed('gift', 'unknown'),
          revoked,
          compensating('gift'),
          compensated('gift'),
          takenBack,
        ]),
        effects: [],
        outside: [entry('compensate', 'gift'), entry('do', 'gift')],
      },
    ],
    [
      'a step in doubt that was not compensated',
      /I8.*may have happened/,
      {
        status: 'compensated',
        journal: rows([started, called('gift'), failed('gift', 'unknown'), revoked, takenBack]),
      },
    ],
    [
      'a compensation of what has not happened',
      /I7.*has not happened/,
      {
        status: 'compensated',
        journal: rows([
          started,
          called('gift'),
          failed('gift', 'definite'),
          revoked,
          compensating('gift'),
          compensated('gift'),
          takenBack,
        ]),
      },
    ],
    [
      'compensations in the order of starts',
      /I7.*started before it/,
      {
        ...reverted,
        journal: rows([
          ...forth,
          revoked,
          compensating('debit'),
          compensated('debit'),
          compensating('gift'),
          compensated('gift'),
          takenBack,
        ]),
      },
    ],
    [
      'two compensations at once',
      /I7.*still is/,
      {
        ...reverted,
        journal: rows([
          ...forth,
          revoked,
          compensating('gift'),
          compensating('debit'),
          compensated('gift'),
          compensated('debit'),
          takenBack,
        ]),
      },
    ],
    [
      'undoing behind the pivot',
      /I7.*behind its pivot/,
      {
        ...reverted,
        journal: rows([...forth, called('book', 'transaction'), done('book'), ...back]),
      },
    ],
    ['sums that are not the same', /I9: charge/, whole],
  ] as readonly (readonly [string, RegExp, Story, SagaExpectations?])[]
).map(([name, breach, story, expectations = {}]) => ({ name, breach, story, expectations }));

describe('finds', () => {
  it.each(broken)('$name', ({ breach, story, expectations }) => {
    expect(judge(story, expectations)).toMatch(breach);
  });
  it('nothing but sums amiss in the story that the broken ones are made of', () => {
    // Nothing was charged or reserved in it, as a run that completes must.
    expect(judge(whole)).toBe(
      'I9: charge comes to 0, the runs that completed to 1\nI9: reserve comes to 0, the runs that completed to 1',
    );
    expect(judge(reverted)).toBe('');
  });
});
