/**
 * What may have happened is not forgotten: by the attempt after it, by a retry, by a cancellation that comes between, or by the end of the
 * run. Decisions alone, without an engine.
 */
import { describe, expect, it } from 'vitest';
import { afterwards, goesOnByItself } from '../../src/saga/decide/afterwards.ts';
import { collectCalls } from '../../src/saga/decide/calls.ts';
import { tryComplete } from '../../src/saga/decide/completion.ts';
import { isReadAnswer } from '../../src/saga/decide/handed.ts';
import { reissueCalls } from '../../src/saga/decide/reissue.ts';
import type { CallState } from '../../src/saga/journal/state.ts';
import { HandedReply } from '../../src/saga/run/handed-reply.ts';
import type { Run } from '../../src/saga/run/run.ts';
import {
  asks,
  attempt,
  call,
  callOf,
  commit,
  context,
  failedWith,
  messageOf,
  recorded,
  REFUSED,
  runOf,
  take,
  tell,
  types,
} from './run-recorder.ts';
import { trip } from './trip-saga.ts';

const PARENT = { id: '01890a5d-ac96-774b-bcce-b302099a8058', call: 'trip' };
const cancelled = (run: Run, now: number): Promise<void> => tell(run, { kind: 'cancel', actor: 'ann' }, now);
const rejected = (name: string) => ({ kind: 'reply', call: name, to: 'command', outcome: 'rejected' }) as const;
const done = (name: string) => ({ kind: 'reply', call: name, to: 'command', outcome: 'done' }) as const;

/** Whatever waits is told, one after the other. */
async function settle(run: Run, now: number): Promise<void> {
  for (let event = run.runEvents.shift(); event !== undefined; event = run.runEvents.shift())
    await take(run, event, now);
}

describe('an attempt that may have happened', () => {
  it('makes the call doubtful, although the last one was refused for certain', async () => {
    const run = runOf(trip);
    const charge = await call(run, 'step', 'charge');
    await take(run, attempt(charge, failedWith()), 1_001);
    await take(run, attempt(charge, REFUSED), 1_002);
    expect(recorded(run).at(-1)).toMatchObject({ t: 'failed', call: 'charge', outcome: 'unknown' });
  });

  it('is compensated, although the one that is under way when the run is cancelled fails for certain', async () => {
    const run = runOf(trip);
    const charge = await call(run, 'step', 'charge');
    await take(run, attempt(charge, failedWith()), 1_001);
    run.inFlight.set('charge', () => {});
    charge.retryAt = null;
    await cancelled(run, 1_002);
    expect(types(run)).toEqual(['attempt failed', 'undoing']);
    run.inFlight.delete('charge');
    await take(run, attempt(charge, REFUSED), 1_003);
    expect(recorded(run).slice(2)).toMatchObject([
      { t: 'failed', call: 'charge', outcome: 'unknown' },
      { t: 'compensating', call: 'charge' },
    ]);
  });

  it.each(['attempts', 'a retry by a person'])('is compensated when the next one has not begun: %s', async (what) => {
    const run = runOf(trip);
    const charge = await call(run, 'step', 'charge');
    await take(run, attempt(charge, failedWith()), 1_001);
    if (what !== 'attempts') {
      run.recordStuck({ why: 'kills workers', call: charge, error: { name: 'Error', message: 'x' } }, 1_001);
      run.record({ t: 'retried', actor: 'ann' }, 1_001);
      expect(charge.attempts).toBe(0);
    }
    charge.retryAt = null;
    run.intents = [{ kind: 'attempt', call: charge }];
    await cancelled(run, 1_001);
    expect(recorded(run).slice(-2)).toMatchObject([
      { t: 'failed', call: 'charge', outcome: 'unknown' },
      { t: 'compensating', call: 'charge' },
    ]);
  });

  it('is one that has no outcome when the run is cancelled; of a transaction nothing has happened then', async () => {
    const run = runOf(trip);
    const [charge, note] = [await call(run, 'step', 'charge'), await call(run, 'transaction', 'note')];
    await cancelled(run, 1_001);
    expect(charge).toMatchObject({ outcome: 'failed', doubt: true });
    expect(note).toMatchObject({ outcome: 'failed', doubt: false });
  });

  it('is waited for, and not compensated while it is under way', async () => {
    const run = runOf(trip);
    const charge = await call(run, 'step', 'charge');
    let aborted = 0;
    run.inFlight.set('charge', () => void (aborted += 1));
    await cancelled(run, 1_001);
    expect(aborted).toBe(1);
    expect(charge.outcome).toBe('open');
    run.inFlight.delete('charge');
    // Its end is known, and has not been taken in.
    run.runEvents.push(attempt(charge, 'done'));
    await afterwards(run, context(1_002));
    expect(charge.outcome).toBe('open');
    await settle(run, 1_002);
    expect(recorded(run).slice(1)).toMatchObject([
      { t: 'done', call: 'charge' },
      { t: 'compensating', call: 'charge' },
    ]);
  });

  it('ends a call once', async () => {
    const run = runOf(trip);
    const charge = await call(run, 'step', 'charge');
    await take(run, attempt(charge, REFUSED), 1_001);
    await take(run, attempt(charge, 'done'), 1_002);
    expect(types(run)).toEqual(['failed']);
  });

  it('is told of a call for which a fallback stands in', async () => {
    const run = runOf(trip);
    const seat = await call(run, 'step', 'seat');
    await take(run, attempt(seat, failedWith()), 1_001);
    const [intent] = run.intents;
    if (intent?.kind !== 'fallback') throw new Error('Nobody stands in.');
    const result = { kind: 'done', output: '"none"' } as const;
    await take(run, { kind: 'fallback', call: seat, failure: intent.failure, result }, 1_002);
    expect(recorded(run).at(-1)).toMatchObject({ t: 'done', call: 'seat', degraded: { message: 'down' }, doubt: true });
  });
});

describe('the whole time of a step', () => {
  it('ends it, and not before it is up', async () => {
    const run = runOf(trip);
    const slow = await call(run, 'step', 'slow');
    await take(run, attempt(slow, failedWith()), 1_001);
    slow.retryAt = 60_000;
    commit(run);
    await take(run, { kind: 'due' }, 5_999);
    expect(recorded(run)).toEqual([]);
    await take(run, { kind: 'due' }, 6_000);
    expect(recorded(run)).toMatchObject([{ t: 'failed', call: 'slow', outcome: 'unknown' }]);
  });

  it('is up for an attempt that fails then: it is not made again', async () => {
    const run = runOf(trip);
    await take(run, attempt(await call(run, 'step', 'slow'), failedWith()), 6_000);
    expect(recorded(run)).toMatchObject([{ t: 'failed', call: 'slow', outcome: 'unknown' }]);
  });
});

describe('what nobody has answered', () => {
  it('may have happened: a command, and a child that is not done in time', async () => {
    const run = runOf(trip);
    await call(run, 'command', 'reserve');
    await call(run, 'child', 'stay');
    await take(run, { kind: 'due' }, 11_000);
    await settle(run, 11_000);
    expect(recorded(run)).toMatchObject([
      { t: 'failed', call: 'reserve', outcome: 'unknown' },
      { t: 'failed', call: 'stay', outcome: 'unknown' },
    ]);
  });

  it('is told in time only: a timer is not told before what had come before it is known', async () => {
    const run = runOf(trip);
    await collectCalls(run, [asks('sleep', 'sleep', { waitMs: 5, input: '5' })], context(1_000));
    commit(run);
    run.messagesKnownAt = 1_004;
    await take(run, { kind: 'due' }, 1_010);
    expect(recorded(run)).toEqual([]);
    run.messagesKnownAt = 1_005;
    await take(run, { kind: 'due' }, 1_004);
    expect(recorded(run)).toEqual([]);
    await take(run, { kind: 'due' }, 1_005);
    expect(types(run)).toEqual(['done']);
  });
});

describe('a run whose code has returned', () => {
  async function returned(outcome: 'in doubt' | 'refused'): Promise<Run> {
    const run = runOf(trip);
    const charge = await call(run, 'step', 'charge');
    run.ending = { kind: 'returned', result: undefined };
    const last = outcome === 'refused' ? REFUSED : failedWith({ permanent: true });
    await take(run, attempt(charge, last), 1_001);
    return run;
  }

  it('compensates what it was told had failed before it completes', async () => {
    expect(types(await returned('refused'))).toEqual(['failed', 'completed']);
    const run = await returned('in doubt');
    expect(types(run)).toEqual(['failed', 'compensating']);
    const result = { kind: 'done', output: undefined } as const;
    await take(run, { kind: 'compensation', call: callOf(run, 'charge'), result }, 1_002);
    expect(types(run)).toEqual(['failed', 'compensating', 'compensated', 'completed']);
  });

  it('compensates what came to light before it could complete', async () => {
    const run = runOf(trip);
    await call(run, 'command', 'reserve');
    await tell(run, rejected('reserve'), 1_001);
    run.record({ t: 'late reply', call: 'reserve', outcome: 'done' }, 1_002);
    expect(callOf(run, 'reserve')).toMatchObject({ outcome: 'done', doubt: false, givenUp: true });
    run.ending = { kind: 'returned', result: undefined };
    await afterwards(run, context(1_002));
    expect(types(run).at(-1)).toBe('compensating');
  });

  it('waits for its steps, and for a cancellation that has come', async () => {
    const run = runOf(trip);
    const charge = await call(run, 'step', 'charge');
    run.ending = { kind: 'returned', result: undefined };
    await afterwards(run, context(1_001));
    expect(types(run)).toEqual([]);
    run.runEvents.push(messageOf({ kind: 'cancel' }, 1_001));
    await take(run, attempt(charge, 'done'), 1_001);
    tryComplete(run, context(1_001));
    expect(run.state.phase).toBe('forward');
    await settle(run, 1_002);
    expect(run.state.phase).toBe('compensating');
  });
});

describe('a reply that comes after the end of the run', () => {
  async function ended(gaveUp: boolean): Promise<Run> {
    const run = runOf(trip);
    await call(run, 'command', 'reserve');
    if (gaveUp) await tell(run, rejected('reserve'), 1_001);
    else await tell(run, done('reserve'), 1_001);
    run.ending = { kind: 'returned', result: undefined };
    await afterwards(run, context(1_001));
    expect(run.state.phase).toBe('completed');
    commit(run);
    return run;
  }

  it('has that compensated which the run was told had failed', async () => {
    const run = await ended(true);
    await tell(run, done('reserve'), 2_000);
    expect(recorded(run)).toMatchObject([
      { t: 'late reply', outcome: 'done' },
      { t: 'compensating', call: 'reserve', round: 1 },
    ]);
    expect(run.flush(null).messages).toHaveLength(1);
  });

  it('goes on by itself for that, and compensates nothing that the run counts on', async () => {
    const run = await ended(true);
    callOf(run, 'reserve').lateSuccess = true;
    expect(goesOnByItself(run)).toBe(true);
    const other = await ended(false);
    await tell(other, done('reserve'), 2_000);
    expect(recorded(other)).toEqual([]);
  });

  it('is compensated once more where a compensation came before it', async () => {
    const run = runOf(trip);
    await call(run, 'command', 'reserve');
    await cancelled(run, 1_001);
    await tell(run, { kind: 'reply', call: 'reserve', to: 'compensation', outcome: 'done' }, 1_002);
    expect(types(run).slice(-2)).toEqual(['compensated', 'undone']);
    commit(run);
    await tell(run, done('reserve'), 2_000);
    expect(recorded(run)).toMatchObject([{ t: 'late reply' }, { t: 'compensating', call: 'reserve', round: 2 }]);
  });
});

describe('a call that a person has tried again', () => {
  async function stuck(outcome: 'in doubt' | 'refused'): Promise<{ readonly run: Run; readonly reserve: CallState }> {
    const run = runOf(trip);
    const reserve = await call(run, 'command', 'reserve');
    if (outcome === 'refused') await tell(run, rejected('reserve'), 1_001);
    else await take(run, { kind: 'due' }, 11_000);
    run.state.pivoted = true;
    run.ending = { kind: 'threw', error: new Error('no'), of: ['reserve'] };
    await afterwards(run, context(11_001));
    expect(run.state.stuck?.why).toBe('forward');
    return { run, reserve };
  }

  it('has another name only where it is known not to have happened', async () => {
    for (const [outcome, round] of [
      ['in doubt', 1],
      ['refused', 2],
    ] as const) {
      const { run } = await stuck(outcome);
      expect((await reissueCalls(run, context(12_000))).map(({ anew }) => anew)).toMatchObject([
        { call: 'reserve', round },
      ]);
    }
  });

  it('is not ended by an answer to the one before', async () => {
    const { run, reserve } = await stuck('refused');
    await tell(run, { kind: 'retry', actor: 'ann' }, 12_000);
    expect(reserve).toMatchObject({ outcome: 'open', round: 2 });
    const events = recorded(run).length;
    await tell(run, done('reserve'), 12_001);
    expect(recorded(run)).toHaveLength(events);
    await tell(run, done('reserve!2'), 12_002);
    expect(recorded(run).at(-1)).toMatchObject({ t: 'done', call: 'reserve' });
  });
});

describe('a late refusal', () => {
  it('does not end a compensation that is under way', () => {
    const run = runOf(trip);
    const error = { name: 'Error', message: 'x' };
    for (const event of [
      { t: 'called', call: 'reserve', kind: 'command', step: 'reserve', undoable: true },
      { t: 'failed', call: 'reserve', attempts: 1, error, outcome: 'unknown' },
      { t: 'undoing', reason: 'cancelled' },
      { t: 'compensating', call: 'reserve', round: 1 },
      { t: 'late reply', call: 'reserve', outcome: 'rejected' },
    ] as const)
      run.record(event, 1_000);
    expect(callOf(run, 'reserve')).toMatchObject({ doubt: true, compensation: { state: 'open' } });
  });
});

describe('a reply that is handed in', () => {
  it('is taken, unless it has gone by the store meanwhile', async () => {
    for (const gone of [false, true]) {
      const run = runOf(trip);
      await call(run, 'command', 'reserve');
      const reply = new HandedReply(run.id, 1_001, done('reserve'), 10);
      if (gone) reply.settle(false);
      await take(run, { kind: 'message', runMessage: reply }, 1_001);
      expect(types(run)).toEqual(gone ? [] : ['done']);
    }
  });

  it('may be recorded when it could be read, or there was nothing to read', () => {
    const error = { name: 'Error', message: 'x' };
    expect([null, { kind: 'read', output: '1' } as const].map(isReadAnswer)).toEqual([true, true]);
    expect(isReadAnswer({ kind: 'unreadable', error })).toBe(false);
  });
});

describe('signals', () => {
  it('with the same id count once', async () => {
    const run = runOf(trip);
    for (const id of ['a', 'a', 'b']) await tell(run, { kind: 'signal', name: 'go', payload: 'now', id }, 1_001);
    expect(types(run).filter((t) => t === 'signal')).toHaveLength(2);
  });

  it('are for one wait each, the oldest first', async () => {
    const run = runOf(trip);
    for (const id of ['wait:go#1', 'wait:go#2'])
      await collectCalls(run, [asks('wait', 'go', { id, input: undefined })], context(1_000));
    for (const payload of ['first', 'second']) await tell(run, { kind: 'signal', name: 'go', payload }, 1_001);
    await settle(run, 1_001);
    expect(recorded(run).filter(({ t }) => t === 'done')).toMatchObject([
      { call: 'wait:go#1', output: 'first' },
      { call: 'wait:go#2', output: 'second' },
    ]);
  });
});

describe('a parent', () => {
  it('is told of the end of its child, and lets its own children end', async () => {
    const run = runOf(trip, PARENT);
    const stay = await call(run, 'child', 'stay');
    await tell(run, { kind: 'child', call: 'stay', outcome: 'done', output: 'room' }, 1_001);
    run.ending = { kind: 'returned', result: '"home"' };
    await afterwards(run, context(1_001));
    expect(types(run).at(-1)).toBe('held');
    const told = { kind: 'child', call: 'trip', outcome: 'done', output: 'home' };
    expect(run.flush(null).runMessages).toEqual([{ runId: PARENT.id, body: told }]);
    // What is held waits for its parent: a cancellation comes too late.
    await cancelled(run, 1_002);
    expect(recorded(run)).toMatchObject([{ t: 'refused', what: 'cancel' }]);
    await tell(run, { kind: 'release' }, 1_003);
    expect(types(run).at(-1)).toBe('completed');
    expect(run.flush(null).runMessages).toEqual([{ runId: stay.child, body: { kind: 'release' } }]);
  });

  it('is told by a child that it takes back, now or once more, that it is compensated', async () => {
    const run = runOf(trip, PARENT);
    const told = { kind: 'child', call: 'trip', outcome: 'compensated' };
    await tell(run, { kind: 'undo' }, 1_001);
    expect(run.state.phase).toBe('compensated');
    expect(run.flush(null).runMessages).toMatchObject([{ runId: PARENT.id, body: told }]);
    await tell(run, { kind: 'undo' }, 1_002);
    expect(run.flush(null).runMessages).toMatchObject([{ runId: PARENT.id, body: told }]);
  });
});
