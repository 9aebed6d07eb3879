/**
 * A run in memory between two commits: what it is when one was refused, when it only waits, and when nothing may be told to it.
 */
import { describe, expect, it } from 'vitest';
import { asks, attempt, call, commit, context, messageOf, recorded, runOf, take } from './run-recorder.ts';
import { collectCalls } from '../../src/saga/decide/calls.ts';
import { trip } from './trip-saga.ts';

const ERROR = { name: 'Error', message: 'x' };

describe('a commit that was refused', () => {
  it('leaves the run with what the database has: its status, its pivot and the number of its next row', async () => {
    const run = runOf(trip);
    commit(run);
    const before = { status: run.status, n: run.n, stored: run.stored };
    await collectCalls(run, [asks('step', 'charge')], context(1_000));
    run.recordStuck({ why: 'code', call: null, error: ERROR }, 1_000);
    expect(run.flush(null)).toMatchObject({ journal: { n: before.n }, update: { status: 'stuck' } });
    expect(run).toMatchObject({ status: 'stuck', n: before.n + 1 });
    run.commitRefused();
    expect({ status: run.status, n: run.n, stored: run.stored }).toEqual(before);
  });
});

describe('a run', () => {
  it('is idle when no attempt is under way or about to begin, no transaction, and nothing waits to be told', async () => {
    const run = runOf(trip);
    await call(run, 'command', 'reserve');
    expect(run.idle).toBe(true);
    expect(run.wantedStatus).toBe('waiting');
    run.runEvents.push(messageOf({ kind: 'undo' }, 1_000));
    expect(run.idle).toBe(false);
    run.runEvents.pop();
    run.inFlight.set('charge', () => {});
    expect(run.idle).toBe(false);
    run.inFlight.delete('charge');
    run.enter('transacting');
    expect(run.idle).toBe(false);
  });

  it('takes nothing in while its row is closed or full, while it does not fit its code, or a transaction writes for it', () => {
    const run = runOf(trip);
    expect(run.takesNothing).toBe(false);
    run.closeRow();
    expect(run.takesNothing).toBe(true);
    commit(run);
    expect(run.takesNothing).toBe(false);
    run.record({ t: 'signal', name: 'go', payload: 'x'.repeat(4 * 1024 * 1024) }, 1_000);
    expect(run.takesNothing).toBe(true);
    commit(run);
    run.enter('transacting');
    expect(run.takesNothing).toBe(true);
    run.endWrite();
    run.setMismatch({ why: 'non-determinism', call: null, error: ERROR });
    expect(run.takesNothing).toBe(true);
  });

  it('has the row of a transaction counted, and writes the next one behind it', async () => {
    const run = runOf(trip);
    const note = await call(run, 'transaction', 'note');
    const { n } = run;
    run.adopt({ event: 'done', call: note, output: '"noted"', at: 5_000 });
    expect(run.n).toBe(n + 1);
    expect(note).toMatchObject({ outcome: 'done', output: '"noted"' });
    run.record({ t: 'signal', name: 'go' }, 2_000);
    expect(run.flush(null).journal).toMatchObject({ n: n + 1, at: 5_000 });
  });

  it('of which an end is told twice records it once', async () => {
    const run = runOf(trip);
    const charge = await call(run, 'step', 'charge');
    await take(run, attempt(charge, 'done'), 1_001);
    await take(run, attempt(charge, 'done'), 1_002);
    expect(recorded(run).filter(({ t }) => t === 'done')).toHaveLength(1);
  });
});
