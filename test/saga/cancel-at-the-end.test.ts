/** A cancellation that comes while the end of its run stands in a row that is not committed yet. Decisions alone, without an engine. */
import { expect, it } from 'vitest';
import { attempt, call, messageOf, runOf, take, types } from './run-recorder.ts';
import { trip } from './trip-saga.ts';

const PARENT = { id: '01890a5d-ac96-774b-bcce-b302099a8058', call: 'trip' };

it.each([null, PARENT])(
  'what the store has let in before the end of a run is committed cancels it: parent %j',
  async (parent) => {
    const run = runOf(trip, parent);
    const charge = await call(run, 'step', 'charge');
    run.ending = { kind: 'returned', result: undefined };
    await take(run, attempt(charge, 'done'), 1_001);
    const ends = parent === null ? 'completed' : 'held';
    expect(types(run)).toEqual(['done', ends]);
    await take(run, messageOf({ kind: 'cancel', actor: 'ann' }, 1_001), 1_001);
    // The end waits for the word of the store, and the cancellation for whoever takes the run up.
    expect([run.takesNothing, run.runEvents.length, types(run)]).toEqual([true, 1, ['done', ends]]);
    expect(run.flush(null)).toMatchObject({ runMessagesDone: [], update: { guarded: true } });
    // When it is committed all the same, it is too late.
    for (const event of run.runEvents.splice(0)) await take(run, event, 1_002);
    expect(types(run)).toEqual(['refused']);
  },
);
