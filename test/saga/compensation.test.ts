import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { JournalEvent } from '../../src/saga/journal/events.ts';
import { emptyState, type RunState } from '../../src/saga/journal/state.ts';
import { apply } from '../../src/saga/state/fold.ts';
import { step } from '../../src/saga/kinds/step.ts';
import type { StepDefinition } from '../../src/saga/definition/steps.ts';
import { isAnythingAbandoned, nextCompensation } from '../../src/saga/journal/compensation.ts';

const plain = step({ run: () => {} });
const undoable = step({ run: () => {}, compensate: () => {} });
const verified = step({ run: () => {}, compensate: () => {}, verify: () => ({ happened: false }) });
const declared: Readonly<Record<string, StepDefinition>> = { plain, undoable, verified };
const stepOf = (name: string): StepDefinition | undefined => declared[name];
const error = { name: 'Error', message: 'x' };

const OUTCOMES = ['open', 'done', 'failed', 'in doubt', 'degraded', 'degraded in doubt'] as const;
type Outcome = (typeof OUTCOMES)[number];
const someCall = fc.record({
  step: fc.constantFrom('plain', 'undoable', 'verified'),
  outcome: fc.constantFrom(...OUTCOMES),
  verdict: fc.constantFrom('done', 'not done', 'cannot say'),
});
type SomeCall = typeof someCall extends fc.Arbitrary<infer Call> ? Call : never;

function ended(call: string, outcome: Outcome): JournalEvent[] {
  if (outcome === 'open') return [];
  if (outcome === 'done') return [{ t: 'done', call }];
  if (outcome === 'degraded') return [{ t: 'done', call, degraded: error }];
  if (outcome === 'degraded in doubt') return [{ t: 'done', call, degraded: error, doubt: true }];
  return [{ t: 'failed', call, attempts: 1, error, outcome: outcome === 'failed' ? 'definite' : 'unknown' }];
}

/** Carries out what is decided, as the engine does; resolves with the calls that were compensated, in their order. */
function compensation(state: RunState, calls: readonly SomeCall[], scope: 'all' | 'abandoned'): string[] {
  const compensated: string[] = [];
  for (let moves = 0; moves < 10 * calls.length + 10; moves += 1) {
    const move = nextCompensation(state, stepOf, scope);
    if (move.kind === 'finished') return compensated;
    if (move.kind === 'settle')
      for (const { id } of move.calls)
        apply(state, { t: 'failed', call: id, attempts: 1, error, outcome: 'unknown' }, 0);
    else if (move.kind === 'verify') {
      const verdict = calls[Number(move.call.id)]?.verdict;
      if (verdict === 'done' || verdict === 'not done')
        apply(state, { t: 'verified', call: move.call.id, outcome: verdict }, 0);
      else move.call.unverifiable = true;
    } else if (move.kind === 'compensate') {
      compensated.push(move.call.id);
      apply(state, { t: 'compensating', call: move.call.id, round: move.round }, 0);
      expect(nextCompensation(state, stepOf, scope)).toMatchObject({ kind: 'under way', call: { id: move.call.id } });
      apply(state, { t: 'compensated', call: move.call.id }, 0);
    } else throw new Error(`There is nothing to do for ${move.kind}.`);
  }
  throw new Error('It does not end.');
}

function stateOf(calls: readonly SomeCall[], order: readonly number[]): RunState {
  const state = emptyState();
  for (const [id, call] of calls.entries())
    apply(state, { t: 'called', call: String(id), kind: 'step', step: call.step }, 0);
  for (const id of order) for (const event of ended(String(id), calls[id]?.outcome ?? 'open')) apply(state, event, 0);
  return state;
}

const scenes = fc.array(someCall, { maxLength: 8 }).chain((calls) =>
  fc.record({
    calls: fc.constant(calls),
    order: fc.shuffledSubarray([...calls.keys()], { minLength: calls.length }),
  }),
);

describe('what is compensated', () => {
  it('is all that happened or may have, once each, in the reverse order of start, and nothing else', () => {
    fc.assert(
      fc.property(scenes, ({ calls, order }) => {
        const expected = calls.flatMap(({ step: name, outcome, verdict }, id) => {
          if (name === 'plain' || outcome === 'failed' || outcome === 'degraded') return [];
          const doubt = outcome !== 'done';
          return name === 'verified' && doubt && verdict === 'not done' ? [] : [String(id)];
        });
        expect(compensation(stateOf(calls, order), calls, 'all')).toEqual(expected.toReversed());
      }),
    );
  });

  it('of a run that completes is what it was told had failed, and nothing that it counts on', () => {
    fc.assert(
      fc.property(scenes, ({ calls, order }) => {
        const settled = calls.map((call) => (call.outcome === 'open' ? { ...call, outcome: 'done' as const } : call));
        const expected = settled.flatMap(({ step: name, outcome, verdict }, id) => {
          if (name === 'plain' || !outcome.includes('in doubt')) return [];
          return name === 'verified' && verdict === 'not done' ? [] : [String(id)];
        });
        const state = stateOf(settled, order);
        // What lets a run complete at once must not pass over anything.
        if (!isAnythingAbandoned(state)) expect(nextCompensation(state, stepOf, 'abandoned').kind).toBe('finished');
        expect(compensation(state, settled, 'abandoned')).toEqual(expected.toReversed());
      }),
    );
  });

  it('is the same after any interruption: the journal says it all', () => {
    fc.assert(
      fc.property(scenes, fc.nat({ max: 20 }), ({ calls, order }, cut) => {
        const whole = compensation(stateOf(calls, order), calls, 'all');
        const state = stateOf(calls, order);
        const done = whole.slice(0, cut);
        for (const [id, call] of calls.entries())
          if (call.outcome === 'open')
            apply(state, { t: 'failed', call: String(id), attempts: 1, error, outcome: 'unknown' }, 0);
        for (const id of done) {
          apply(state, { t: 'compensating', call: id, round: 1 }, 0);
          apply(state, { t: 'compensated', call: id }, 0);
        }
        expect([...done, ...compensation(state, calls, 'all')]).toEqual(whole);
      }),
    );
  });

  it('is never taken for compensated because it is declared no longer, or without what compensates it', () => {
    for (const declaredNow of [undefined, plain]) {
      const state = emptyState();
      apply(state, { t: 'called', call: '0', kind: 'step', step: 'undoable', undoable: true }, 0);
      apply(state, { t: 'done', call: '0' }, 0);
      expect(nextCompensation(state, () => declaredNow)).toMatchObject({ kind: 'undefined', call: { id: '0' } });
      apply(state, { t: 'compensating', call: '0', round: 1 }, 0);
      expect(nextCompensation(state, () => declaredNow)).toMatchObject({ kind: 'undefined', call: { id: '0' } });
      expect(nextCompensation(state, stepOf)).toMatchObject({ kind: 'under way', call: { id: '0' } });
    }
  });

  it('is compensated once more when a late reply says that it happened', () => {
    const state = stateOf([{ step: 'undoable', outcome: 'in doubt', verdict: 'cannot say' }], [0]);
    const call = { step: 'undoable', outcome: 'in doubt', verdict: 'cannot say' } as const;
    expect(compensation(state, [call], 'all')).toEqual(['0']);
    apply(state, { t: 'late reply', call: '0', outcome: 'done', output: 1 }, 0);
    expect(nextCompensation(state, stepOf)).toMatchObject({ kind: 'compensate', round: 2 });
    expect(compensation(state, [call], 'all')).toEqual(['0']);
  });
});
