/**
 * The fold of a journal, where what one event says depends on another: what a run is stuck at, what a person settled, and what was told once.
 */
import { describe, expect, it } from 'vitest';
import type { JournalEvent } from '../../src/saga/journal/events.ts';
import { emptyState, type RunState } from '../../src/saga/journal/state.ts';
import { apply } from '../../src/saga/state/fold.ts';
import { takenBack } from '../../src/saga/state/retried.ts';

const ERROR = { name: 'Error', message: 'x' };
const called = (call: string, more: object = {}): JournalEvent => ({
  t: 'called',
  call,
  kind: 'step',
  step: call,
  ...more,
});
const failed = (call: string): JournalEvent => ({ t: 'failed', call, attempts: 1, error: ERROR, outcome: 'unknown' });

/** Each event is a row of its own, a second after the one before. */
function fold(...events: readonly JournalEvent[]): RunState {
  const state = emptyState();
  for (const [at, event] of events.entries()) apply(state, event, 1_000 * (at + 1));
  return state;
}

describe('a run that is stuck', () => {
  const compensating = [called('a'), called('b'), { t: 'undoing', reason: 'failed' }] as const;
  const gaveUp = { t: 'stuck', why: 'compensation', call: 'b', error: ERROR } as const;

  it('goes on when what it is stuck at is compensated after all, and not for the compensation of another call', () => {
    const begun = [{ t: 'compensating', call: 'b', round: 1 }, gaveUp] as const;
    expect(fold(...compensating, ...begun, { t: 'compensated', call: 'a' }).stuck).toMatchObject({ call: 'b' });
    expect(fold(...compensating, ...begun, { t: 'compensated', call: 'b' }).stuck).toBeNull();
  });

  it('for something else than a compensation is not freed by one', () => {
    const doubt = { ...gaveUp, why: 'in doubt' } as const;
    expect(fold(...compensating, doubt, { t: 'compensated', call: 'b' }).stuck).toMatchObject({ why: 'in doubt' });
  });

  it.each(['done', 'not done', 'compensated'] as const)('at a call that a person settles as %s goes on', (as) => {
    const by = { actor: 'ann', reason: 'looked' };
    const state = fold(...compensating, gaveUp, { t: 'resolved', call: 'b', as, ...by });
    expect(state.stuck).toBeNull();
    expect(state.calls.get('b')?.compensation?.state).toBe(as === 'compensated' ? 'done' : undefined);
  });
});

describe('what came', () => {
  it('with an id is known by it, under its name alone', () => {
    const state = fold({ t: 'signal', name: 'go', id: '1' }, { t: 'signal', name: 'go' });
    expect(state.signalIds?.size).toBe(1);
  });

  it('too late is kept, and a deadline is not told a second time', () => {
    const late = (what: 'deadline' | 'cancel'): JournalEvent => ({ t: 'refused', what });
    expect(fold(late('cancel'))).toMatchObject({ deadlineRefused: false, refused: [{ what: 'cancel' }] });
    expect(fold(late('deadline'))).toMatchObject({ deadlineRefused: true, refused: [{ what: 'deadline' }] });
  });
});

describe('workers that were lost', () => {
  it('are accounted for when the run is taken up, and not when it is only tried', () => {
    expect(fold({ t: 'recovered', lost: 3, alone: true }).lost).toBe(0);
    expect(fold({ t: 'recovered', lost: 3 }).lost).toBe(3);
  });
});

describe('a retry by a person', () => {
  const stuckAt = (call: string): JournalEvent => ({ t: 'stuck', why: 'code', call, error: ERROR });

  it('gives a call all of its attempts, and of its whole time what was left when it got stuck', () => {
    const attempt = { t: 'attempt failed', call: 'a', attempt: 2, error: ERROR, retryAt: 9_000 } as const;
    const state = fold(called('a', { until: 61_000 }), attempt, stuckAt('a'), { t: 'retried', actor: 'ann' });
    expect(state.calls.get('a')).toMatchObject({ attempts: 0, calledAt: 4_000, until: 64_000, doubt: true });
  });

  it('takes the failure back that it names, which the code is then told no more, and no other one', () => {
    const [first, second] = [failed('a'), failed('b')];
    const retried: JournalEvent = { t: 'retried', actor: 'ann', anew: [{ call: 'b' }] };
    const journal = [called('a'), first, called('b'), second, called('c'), retried];
    const rows = journal.map((event, n) => ({ n, at: 1_000 * n, events: [event] }));
    const { failures, calls } = takenBack(rows);
    expect([...failures]).toEqual([second]);
    expect([...calls]).toEqual([journal[4]]);
  });

  it('of a call that failed twice takes the last failure back, and not the one before an earlier retry as well', () => {
    const [first, second] = [failed('a'), failed('a')];
    const anew: JournalEvent = { t: 'retried', actor: 'ann', anew: [{ call: 'a' }] };
    const rows = [called('a'), first, second, anew].map((event, n) => ({ n, at: n, events: [event] }));
    expect([...takenBack(rows).failures]).toEqual([second]);
  });
});
