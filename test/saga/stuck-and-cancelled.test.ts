/**
 * A run that was about to complete, is stuck at the compensation of what it had given up, and is then not wanted any more: by a person, or
 * by its parent. Decisions alone, without an engine.
 */
import { describe, expect, it } from 'vitest';
import type { Run } from '../../src/saga/run/run.ts';
import type { RunMessageBody } from '../../src/saga/store/store.ts';
import {
  attempt,
  call,
  callOf,
  commit,
  failedWith,
  recorded,
  REFUSED,
  runOf,
  take,
  tell,
  types,
} from './run-recorder.ts';
import { trip } from './trip-saga.ts';

const PARENT = { id: '01890a5d-ac96-774b-bcce-b302099a8058', call: 'trip' };

/** Stuck at the compensation of `charge`, which nobody knows to have happened. */
async function stuckAtCharge(): Promise<Run> {
  const run = runOf(trip, PARENT);
  const charge = await call(run, 'step', 'charge');
  run.ending = { kind: 'returned', result: undefined };
  await take(run, attempt(charge, failedWith({ permanent: true })), 1_001);
  commit(run);
  await take(run, { kind: 'compensation', call: charge, result: REFUSED }, 1_002);
  expect(run.state).toMatchObject({ phase: 'forward', stuck: { why: 'compensation', call: 'charge' } });
  commit(run);
  return run;
}

describe('a run that is stuck at what it had given up', () => {
  it.each<RunMessageBody>([{ kind: 'cancel', actor: 'ann' }, { kind: 'undo' }])(
    'attempts that compensation anew when it is to be compensated as a whole: $kind',
    async (body) => {
      const run = await stuckAtCharge();
      await tell(run, body, 1_003);
      expect(types(run)).toEqual(['undoing']);
      expect(run.intents).toMatchObject([{ kind: 'compensate', call: { id: 'charge' } }]);
      const done = { kind: 'done', output: undefined } as const;
      await take(run, { kind: 'compensation', call: callOf(run, 'charge'), result: done }, 1_004);
      expect(recorded(run).slice(1)).toEqual([{ t: 'compensated', call: 'charge' }, { t: 'undone' }]);
    },
  );

  it('asks its child once more', async () => {
    const run = runOf(trip);
    const stay = await call(run, 'child', 'stay');
    run.ending = { kind: 'returned', result: undefined };
    await take(run, { kind: 'due' }, 11_001);
    expect(types(run)).toEqual(['failed', 'compensating']);
    await tell(run, { kind: 'child', call: 'stay', outcome: 'refused' }, 11_002);
    expect(run.state.stuck).toMatchObject({ why: 'compensation', call: 'stay' });
    commit(run);
    await tell(run, { kind: 'cancel', actor: 'ann' }, 11_003);
    expect(run.flush(null).runMessages).toEqual([{ runId: stay.child, body: { kind: 'undo' } }]);
  });
});
