/**
 * What a run leaves behind when it leaves memory, and when it may: attempts that nobody will hear of are in doubt, and rows of its journal
 * go only when others say the same. Pure decisions.
 */
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { handBackRow } from '../../src/saga/decide/hand-back.ts';
import { releaseOf } from '../../src/saga/decide/release.ts';
import { collectCalls } from '../../src/saga/decide/calls.ts';
import { saga } from '../../src/saga/definition/definition.ts';
import { Compaction, compactionKey } from '../../src/saga/journal/compaction.ts';
import { step } from '../../src/saga/kinds/step.ts';
import { transaction } from '../../src/saga/kinds/transaction.ts';
import type { Run } from '../../src/saga/run/run.ts';
import { asks, attempt, call, context, failedWith, runOf, take } from './run-recorder.ts';

const shop = saga({
  name: 'shop',
  input: z.object({}),
  steps: {
    charge: step({ run: () => 'charged', retry: { attempts: 5, base: 1_000 } }),
    book: transaction({ run: async () => 'booked' }),
  },
  async run() {},
});
const handedBack = (run: Run, refused: ReturnType<Run['flush']> | null = null): readonly unknown[] => {
  const row = handBackRow(run, refused, null, 2_000);
  return row === null ? [] : (JSON.parse(row.events) as unknown[]);
};

describe('a run that cannot go on here', () => {
  it('leaves the attempt that is under way in doubt, with its number; of a transaction nothing has happened', async () => {
    const run = runOf(shop);
    await call(run, 'step', 'charge');
    await call(run, 'transaction', 'book');
    run.inFlight.set('charge', () => {});
    run.inFlight.set('book', () => {});
    expect(handedBack(run)).toMatchObject([{ t: 'attempt failed', call: 'charge', attempt: 1, uncounted: 'stopped' }]);
  });

  it('leaves the one in doubt whose end it has not taken in, or could not record', async () => {
    const run = runOf(shop);
    const charge = await call(run, 'step', 'charge');
    run.runEvents.push(attempt(charge, 'done'));
    expect(handedBack(run)).toMatchObject([{ call: 'charge', attempt: 1 }]);
    run.runEvents.length = 0;
    await take(run, attempt(charge, failedWith()), 1_001);
    expect(handedBack(run)).toMatchObject([{ call: 'charge', attempt: 1 }]);
    expect(handedBack(run, run.flush(null))).toMatchObject([{ call: 'charge', attempt: 1 }]);
  });

  it('says nothing of what is not known to have been called, nor of what has not begun', async () => {
    const run = runOf(shop);
    await collectCalls(run, [asks('step', 'charge')], context(1_000));
    expect(handedBack(run)).toEqual([]);
    const refused = run.flush(null);
    run.inFlight.set('charge', () => {});
    expect(handedBack(run, refused)).toEqual([]);
    run.inFlight.delete('charge');
    expect(handedBack(run)).toEqual([]);
  });
});

describe('a run leaves memory', () => {
  const released = (run: Run, parts: { readonly draining?: boolean; readonly full?: boolean } = {}) =>
    releaseOf(run, { now: 2_000, draining: false, full: false, ...parts });

  it('not while an attempt of it is under way, whatever it leaves for', async () => {
    for (const why of ['another code', 'stuck', 'stale', 'draining'] as const) {
      const run = runOf(shop);
      const charge = await call(run, 'step', 'charge');
      run.inFlight.set('charge', () => {});
      if (why === 'another code') run.handedBack = 'code';
      if (why === 'stuck') run.recordStuck({ why: 'code', call: charge, error: { name: 'E', message: 'm' } }, 1_001);
      if (why === 'stale') run.stale = true;
      expect(released(run, { draining: why === 'draining' })).toBeNull();
      run.inFlight.delete('charge');
      expect(released(run, { draining: why === 'draining' })).not.toBeNull();
    }
  });

  it('to be taken up when the next thing is due, and not before a long wait', async () => {
    const run = runOf(shop);
    const charge = await call(run, 'step', 'charge');
    charge.retryAt = 11_999;
    expect(released(run)).toBeNull();
    expect(released(run, { full: true })).toEqual({ wakeAt: 11_999 });
    charge.retryAt = 12_000;
    expect(released(run)).toEqual({ wakeAt: 12_000 });
  });

  it('not while it has a cancellation to answer that is in no journal', async () => {
    const run = runOf(shop);
    const charge = await call(run, 'step', 'charge');
    charge.retryAt = 60_000;
    run.pendingCompensation = { reason: 'cancelled', error: undefined, actor: undefined, runMessage: null };
    expect(released(run)).toBeNull();
  });
});

describe('a row of a journal goes', () => {
  const key = (t: 'attempt failed' | 'compensation failed', name: string, count: number) =>
    compactionKey({ t, call: name, attempt: count } as never);
  const failed = (name: string, count = 11) => key('attempt failed', name, count);

  it('once a later attempt of the same call is recorded, but for the first ten', () => {
    expect([failed('a', 10), failed('a', 11)]).toEqual([null, 'attempt failed a']);
    const compaction = new Compaction();
    expect(compaction.add(1, [failed('a')], 10)).toEqual([]);
    expect(compaction.add(2, [failed('a', 12)], 10)).toEqual([{ n: 1, events: 1, bytes: 10 }]);
    expect(compaction.add(3, [failed('b')], 10)).toEqual([]);
  });

  it('not while it says anything else, or is the last to speak of another call', () => {
    const compaction = new Compaction();
    compaction.add(1, [failed('a'), null], 10);
    expect(compaction.add(2, [failed('a', 12), failed('b')], 10)).toEqual([]);
    expect(compaction.add(3, [failed('a', 13)], 10)).toEqual([]);
    expect(compaction.add(4, [failed('b', 12)], 10)).toEqual([{ n: 2, events: 2, bytes: 10 }]);
  });

  it('not for an attempt of the compensation of its call', () => {
    const compaction = new Compaction();
    compaction.add(1, [failed('a')], 10);
    expect(compaction.add(2, [key('compensation failed', 'a', 11)], 10)).toEqual([]);
  });
});
