/**
 * Pivots, without an engine: before one a run can be compensated, behind it there is only forward, and while nobody knows whether it has
 * happened neither is decided.
 */
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { message } from '../../src/message/message-type.ts';
import { afterwards } from '../../src/saga/decide/afterwards.ts';
import { collectCalls } from '../../src/saga/decide/calls.ts';
import { saga } from '../../src/saga/definition/definition.ts';
import { nextCompensation } from '../../src/saga/journal/compensation.ts';
import type { JournalEvent } from '../../src/saga/journal/events.ts';
import { command } from '../../src/saga/kinds/command.ts';
import { takeIntents } from '../../src/saga/engine/commit-queue.ts';
import { step } from '../../src/saga/kinds/step.ts';
import type { Run } from '../../src/saga/run/run.ts';
import { apply } from '../../src/saga/state/fold.ts';
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

const HOUR = 3_600_000;
const Ship = message('ship', { schema: z.object({ id: z.string() }) });
const retry = { attempts: 2, base: 1_000, within: '1h' } as const;

const shop = saga({
  name: 'shop',
  input: z.object({}),
  steps: {
    reserve: step({ run: () => 'reserved', compensate: () => {}, retry }),
    pay: step({ pivot: true, run: () => 'paid', retry }),
    payVerified: step({ pivot: true, run: () => 'paid', verify: () => ({ happened: false }), retry }),
    ship: command(Ship, { pivot: true, timeout: '10s', retry: { attempts: 1 } }),
    pack: step({ run: () => 'packed', retry }),
    rate: step({ run: () => 'rated', fallback: () => 'rated', retry }),
  },
  async run() {},
});

/** A run whose reservation is done. */
async function reserved(parent: { readonly id: string; readonly call: string } | null = null): Promise<Run> {
  const run = runOf(shop, parent);
  await take(run, attempt(await call(run, 'step', 'reserve'), 'done'), 1_000);
  return run;
}

/** One that has paid. */
async function paid(parent: { readonly id: string; readonly call: string } | null = null): Promise<Run> {
  const run = await reserved(parent);
  await take(run, attempt(await call(run, 'step', 'pay'), 'done'), 1_000);
  expect(run.state.pivoted).toBe(true);
  run.flush(null);
  return run;
}

const PARENT = { id: '01890a5d-ac96-774b-bcce-b302099a8058', call: 'shop' };

describe('behind a pivot', () => {
  it('a step has no cap, neither of attempts nor of time', async () => {
    const run = await paid();
    const pack = await call(run, 'step', 'pack');
    for (let count = 1; count <= 4; count += 1) await take(run, attempt(pack, failedWith()), 1_000 + count);
    await take(run, attempt(pack, failedWith()), 1_000 + 2 * HOUR);
    expect(new Set(types(run))).toEqual(new Set(['attempt failed']));
    expect(pack).toMatchObject({ outcome: 'open', attempts: 5 });
  });

  it('has one where something may stand in for it, and everything has before it', async () => {
    const behind = await paid();
    const rate = await call(behind, 'step', 'rate');
    for (let count = 1; count <= 2; count += 1) await take(behind, attempt(rate, failedWith()), 1_000 + count);
    expect(behind.intents).toMatchObject([{ kind: 'fallback' }]);
    const before = await reserved();
    const pack = await call(before, 'step', 'pack');
    for (let count = 1; count <= 2; count += 1) await take(before, attempt(pack, failedWith()), 1_000 + count);
    expect(pack.outcome).toBe('failed');
  });

  it('a cancellation and a deadline come too late', async () => {
    const run = await paid();
    run.state.deadlineAt = 5_000;
    await tell(run, { kind: 'cancel', actor: 'ann' }, 2_000);
    expect(recorded(run)).toMatchObject([{ t: 'refused', what: 'cancel', actor: 'ann' }]);
    commit(run);
    await take(run, { kind: 'due' }, 6_000);
    expect(recorded(run)).toMatchObject([{ t: 'refused', what: 'deadline' }]);
    expect(run.state.phase).toBe('forward');
  });

  it('a child is not taken back, and its parent is told so', async () => {
    const run = await paid(PARENT);
    await tell(run, { kind: 'undo' }, 2_000);
    expect(run.state.phase).toBe('forward');
    expect(run.flush(null).runMessages).toEqual([
      { runId: PARENT.id, body: { kind: 'child', call: 'shop', outcome: 'refused' } },
    ]);
  });

  it('an error of the code is for a person, and nothing is compensated', async () => {
    const run = await paid();
    const pack = await call(run, 'step', 'pack');
    run.ending = { kind: 'threw', error: new Error('no'), of: ['pack'] };
    run.state.open.length = 0;
    pack.outcome = 'failed';
    await afterwards(run, context(2_000));
    expect(recorded(run)).toMatchObject([{ t: 'stuck', why: 'forward' }]);
  });
});

describe('a cancellation while a pivot is under way', () => {
  const cancelled = (run: Run): Promise<void> => tell(run, { kind: 'cancel', actor: 'ann' }, 1_001);
  const waits = (run: Run): void => {
    expect(run.state.phase).toBe('forward');
    expect(run.pendingCompensation).not.toBeNull();
  };

  it('waits, whatever else ends, and takes effect when the pivot was refused', async () => {
    const run = await reserved();
    await call(run, 'command', 'ship');
    const pack = await call(run, 'step', 'pack');
    await cancelled(run);
    waits(run);
    await take(run, attempt(pack, 'done'), 2_001);
    waits(run);
    await tell(run, { kind: 'reply', call: 'ship', to: 'command', outcome: 'rejected' }, 2_002);
    expect(run.pendingCompensation).toBeNull();
    expect(run.state).toMatchObject({ phase: 'compensating', reason: 'cancelled' });
    expect(callOf(run, 'reserve').compensation?.state).toBe('open');
  });

  it('is refused when the pivot is done', async () => {
    const run = await reserved();
    await call(run, 'command', 'ship');
    await cancelled(run);
    await tell(run, { kind: 'reply', call: 'ship', to: 'command', outcome: 'done' }, 2_002);
    expect(recorded(run).at(-1)).toMatchObject({ t: 'refused', what: 'cancel', actor: 'ann' });
    expect(run.state.phase).toBe('forward');
  });

  it('waits for one between two attempts, of which the first may have happened', async () => {
    const run = await reserved();
    const pay = await call(run, 'step', 'pay');
    await take(run, attempt(pay, failedWith()), 1_001);
    await cancelled(run);
    waits(run);
  });

  it('waits for one whose end is known and not taken in', async () => {
    const run = await reserved();
    const pay = await call(run, 'step', 'pay');
    run.runEvents.push(attempt(pay, 'done'));
    await cancelled(run);
    waits(run);
    for (const event of run.runEvents.splice(0)) await take(run, event, 2_001);
    expect(recorded(run).at(-1)).toMatchObject({ t: 'refused', what: 'cancel' });
  });

  it.each(['code', 'non-determinism'] as const)(
    'waits for one that was under way in a worker that was lost, where the run is stuck for another reason: %s',
    async (why) => {
      const stuckBesidePay = async (): Promise<Run> => {
        const run = await reserved();
        await call(run, 'step', 'pay');
        const pack = why === 'code' ? await call(run, 'step', 'pack') : null;
        run.recordStuck({ why, call: pack, error: { name: 'TypeError', message: 'x' } }, 1_001);
        commit(run);
        return run;
      };
      const lost = await stuckBesidePay();
      lost.lost = 1;
      await cancelled(lost);
      waits(lost);
      // One that was let go in good order has nothing under way.
      const left = await stuckBesidePay();
      await cancelled(left);
      expect(left.state.phase).toBe('compensating');
    },
  );

  it('does not wait for one that has not begun', async () => {
    const run = await reserved();
    const pay = await call(run, 'step', 'pay');
    run.intents.push({ kind: 'attempt', call: pay });
    await cancelled(run);
    expect(recorded(run)).toMatchObject([
      { t: 'undoing', reason: 'cancelled' },
      { t: 'failed', call: 'pay', outcome: 'definite' },
      { t: 'compensating', call: 'reserve' },
    ]);
  });

  it('does not wait for one that is to begin when its commit is back, or that a circuit breaker holds up', async () => {
    const run = await reserved();
    commit(run);
    await collectCalls(run, [asks('step', 'pay')], context(1_000));
    run.flush(null);
    expect(takeIntents(run)).toMatchObject([{ kind: 'attempt', call: { id: 'pay' } }]);
    await cancelled(run);
    expect(recorded(run)).toMatchObject([
      { t: 'undoing', reason: 'cancelled' },
      { t: 'failed', call: 'pay', outcome: 'definite' },
      { t: 'compensating', call: 'reserve' },
    ]);
  });

  it('is told to the code that comes to a pivot, before that begins', async () => {
    const run = await reserved();
    run.runEvents.push(messageOf({ kind: 'cancel' }, 1_500));
    await collectCalls(run, [asks('step', 'pay')], context(1_500));
    expect(run.state.calls.has('pay')).toBe(false);
    expect(run.state.phase).toBe('compensating');
  });

  it('that the store alone knows of is met by a guard in the row of the call', async () => {
    const guarded = async (name: string): Promise<boolean> => {
      const run = await reserved();
      commit(run);
      await collectCalls(run, [asks('step', name)], context(1_000));
      return run.flush(null).update?.guarded === true;
    };
    expect(await guarded('pay')).toBe(true);
    expect(await guarded('pack')).toBe(false);
  });
});

describe('a pivot that nobody knows to have happened', () => {
  async function givenUp(name: 'pay' | 'payVerified'): Promise<Run> {
    const run = await reserved();
    const pay = await call(run, 'step', name);
    for (let count = 1; count <= 2; count += 1) await take(run, attempt(pay, failedWith()), 1_000 + count);
    return run;
  }

  it('is for a person, or for verify() where there is one, and is never taken for one that failed', async () => {
    const run = await givenUp('pay');
    expect(run.state.stuck).toMatchObject({ why: 'in doubt', call: 'pay' });
    const asked = await givenUp('payVerified');
    expect(asked.state.stuck).toBeNull();
    expect(asked.intents).toMatchObject([{ kind: 'verify', call: { id: 'payVerified' } }]);
    for (const each of [run, asked]) expect(types(each)).not.toContain('failed');
  });

  it('may have happened although its last attempt was refused for certain', async () => {
    const run = await reserved();
    const pay = await call(run, 'step', 'pay');
    await take(run, attempt(pay, failedWith()), 1_001);
    await take(run, attempt(pay, REFUSED), 1_002);
    expect(run.state.stuck).toMatchObject({ why: 'in doubt', call: 'pay' });
  });

  it('makes a cancellation come too late until that is resolved', async () => {
    const run = await givenUp('pay');
    await tell(run, { kind: 'cancel', actor: 'ann' }, 2_000);
    expect(recorded(run).at(-1)).toMatchObject({ t: 'refused', what: 'cancel' });
    expect(run.state.stuck).toMatchObject({ why: 'in doubt' });
  });

  it('is settled by what verify() says', async () => {
    for (const happened of [true, false]) {
      const run = await givenUp('payVerified');
      const result = { happened, output: undefined };
      await take(run, { kind: 'verified', call: callOf(run, 'payVerified'), result }, 2_000);
      expect(recorded(run).at(-1)).toMatchObject(happened ? { t: 'done' } : { t: 'failed', outcome: 'definite' });
      expect(run.state.pivoted).toBe(happened);
    }
  });
});

describe('on the way back', () => {
  const error = { name: 'Error', message: 'x' };
  function wayBack(name: 'pay' | 'payVerified', ...more: readonly JournalEvent[]): Run {
    const run = runOf(shop);
    const events: readonly JournalEvent[] = [
      { t: 'called', call: 'reserve', kind: 'step', step: 'reserve', undoable: true },
      { t: 'done', call: 'reserve' },
      { t: 'called', call: name, kind: 'step', step: name, pivot: true },
      { t: 'failed', call: name, attempts: 1, error, outcome: 'unknown' },
      { t: 'undoing', reason: 'cancelled' },
      ...more,
    ];
    for (const event of events) apply(run.state, event, 1_000);
    return run;
  }
  const next = (run: Run) => nextCompensation(run.state, (name) => run.step(name));

  it('a pivot in doubt is asked about before anything in front of it is compensated', () => {
    expect(next(wayBack('pay'))).toMatchObject({ kind: 'in doubt', call: { id: 'pay' } });
    expect(next(wayBack('payVerified'))).toMatchObject({ kind: 'verify', call: { id: 'payVerified' } });
  });

  it('nothing in front of one that turns out to have happened is compensated behind its back', async () => {
    const run = wayBack('payVerified', { t: 'verified', call: 'payVerified', outcome: 'done' });
    expect(next(run)).toMatchObject({ kind: 'pivoted', call: { id: 'payVerified' } });
    await afterwards(run, context(2_000));
    expect(run.state.stuck).toMatchObject({ why: 'forward', call: 'payVerified' });
    expect(callOf(run, 'reserve').compensation).toBeNull();
  });

  it('what is in front of one that has not happened is', () => {
    const run = wayBack('payVerified', { t: 'verified', call: 'payVerified', outcome: 'not done' });
    expect(next(run)).toMatchObject({ kind: 'compensate', call: { id: 'reserve' } });
  });

  it('one that was given up and has happened is left as it is when the run completes', () => {
    const run = runOf(shop);
    const events: readonly JournalEvent[] = [
      { t: 'called', call: 'pay', kind: 'step', step: 'pay', pivot: true },
      { t: 'failed', call: 'pay', attempts: 1, error, outcome: 'unknown' },
      { t: 'verified', call: 'pay', outcome: 'done' },
    ];
    for (const event of events) apply(run.state, event, 1_000);
    expect(nextCompensation(run.state, (name) => run.step(name), 'abandoned')).toEqual({ kind: 'finished' });
  });
});
