/** Whether an attempt may begin now: behind a breaker that is open one alone, and of what may kill its worker a few, announced before. */
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { saga } from '../../src/saga/definition/definition.ts';
import { createAdmission, type Admitted } from '../../src/saga/engine/admission.ts';
import { newSpent, type Spent } from '../../src/saga/journal/budget.ts';
import type { AttemptResult } from '../../src/saga/run/run-events.ts';
import { turn } from '../../src/saga/replay/turn.ts';
import type { Run } from '../../src/saga/run/run.ts';
import { createManualClock } from '../../src/testing/manual-clock.ts';
import { failedWith, runOf } from './run-recorder.ts';

const plain = saga({ name: 'plain', input: z.object({}), steps: {}, async run() {} });
const DONE: AttemptResult = { kind: 'done', output: undefined };
const lost = (times: number, trying = false): Spent => ({ ...newSpent(0), lost: times, trying });

function door() {
  const clock = createManualClock();
  const admission = createAdmission({ clock, random: () => 0 });
  const ask = (run: Run, breaker: string | null = 'bank', spent: Spent = newSpent(0)): Admitted =>
    admission.ask(run, 'charge', spent, breaker);
  /** One that begins, is under way for a moment, and ends so. */
  const attempt = async (run: Run, result: AttemptResult): Promise<void> => {
    const admitted = begun(ask(run));
    run.inFlight.set('charge', () => {});
    run.inFlight.delete('charge');
    admitted.ended(result);
    await turn();
  };
  const open = async (): Promise<void> => {
    for (let failures = 0; failures < 5; failures += 1) await attempt(runOf(plain), failedWith());
  };
  return { clock, ask, attempt, open };
}

function begun(admitted: Admitted): Extract<Admitted, { kind: 'begin' }> {
  if (admitted.kind !== 'begin') throw new Error(`It is to ${admitted.kind}.`);
  return admitted;
}

describe('behind a breaker', () => {
  it('five failures in a row keep all others from beginning, until its time is over', async () => {
    const { clock, ask, open } = door();
    await open();
    expect(ask(runOf(plain))).toMatchObject({ kind: 'wait', ms: 5_000 });
    expect(ask(runOf(plain), 'post')).toMatchObject({ kind: 'begin' });
    expect(ask(runOf(plain), null)).toMatchObject({ kind: 'begin' });
    await clock.advance('5s');
    expect(ask(runOf(plain))).toMatchObject({ kind: 'begin' });
  });

  it('a definite no, and what was stopped with its worker, say nothing against the other side', async () => {
    const { ask, attempt } = door();
    for (let tries = 0; tries < 6; tries += 1) {
      await attempt(runOf(plain), failedWith({ permanent: true, doubt: false }));
      await attempt(runOf(plain), failedWith({ uncounted: 'stopped' }));
    }
    expect(ask(runOf(plain))).toMatchObject({ kind: 'begin' });
  });

  it('what was stopped with its worker says nothing for it, either', async () => {
    const { ask, attempt } = door();
    for (let failures = 0; failures < 4; failures += 1) await attempt(runOf(plain), failedWith());
    await attempt(runOf(plain), failedWith({ uncounted: 'stopped' }));
    await attempt(runOf(plain), failedWith());
    expect(ask(runOf(plain))).toMatchObject({ kind: 'wait' });
  });

  it('one alone is let through, and all others when it is done', async () => {
    const { clock, ask, open } = door();
    await open();
    await clock.advance('5s');
    const [first, second] = [runOf(plain), runOf(plain)];
    const probe = begun(ask(first));
    first.inFlight.set('charge', () => {});
    expect(ask(second)).toMatchObject({ kind: 'wait', ms: 500 });
    // However long it takes.
    await clock.advance('1m');
    expect(ask(second)).toMatchObject({ kind: 'wait' });
    first.inFlight.delete('charge');
    probe.ended(DONE);
    await turn();
    expect(ask(second)).toMatchObject({ kind: 'begin' });
    expect(ask(runOf(plain))).toMatchObject({ kind: 'begin' });
  });

  it('one that fails keeps it open, and what was begun before the outage does not close it', async () => {
    const { clock, ask, open } = door();
    const old = begun(ask(runOf(plain)));
    await open();
    await clock.advance('5s');
    const first = runOf(plain);
    const probe = begun(ask(first));
    first.inFlight.set('charge', () => {});
    old.ended(DONE);
    await turn();
    expect(ask(runOf(plain))).toMatchObject({ kind: 'wait', ms: 500 });
    probe.ended(failedWith());
    await turn();
    expect(ask(runOf(plain))).toMatchObject({ kind: 'wait', ms: 5_000 });
  });

  it('one that was let through and never begins does not keep it open', async () => {
    const { clock, ask, open } = door();
    await open();
    await clock.advance('5s');
    begun(ask(runOf(plain)));
    expect(ask(runOf(plain))).toMatchObject({ kind: 'wait' });
    await clock.advance('10s');
    expect(ask(runOf(plain))).toMatchObject({ kind: 'begin' });
  });
});

describe('an attempt that may kill its worker', () => {
  it('is announced before it begins, and others are not', () => {
    const { ask } = door();
    expect(ask(runOf(plain), null, lost(2))).toMatchObject({ kind: 'begin' });
    const run = runOf(plain);
    expect(ask(run, null, lost(3))).toEqual({ kind: 'announce' });
    expect(ask(run, null, lost(3, true))).toMatchObject({ kind: 'begin' });
  });

  it('has seven others beside it at first, and none when it was lost once more', async () => {
    const { ask } = door();
    const under: Run[] = [];
    const announce = (spent: Spent): string => {
      const run = runOf(plain);
      const { kind } = ask(run, null, spent);
      if (kind === 'announce') under.push(run);
      return kind;
    };
    expect(Array.from({ length: 9 }, () => announce(lost(3)))).toEqual([...Array(8).fill('announce'), 'wait']);
    expect(announce(lost(4))).toBe('wait');
    for (const run of under.splice(0)) begun(ask(run, null, lost(3, true))).ended(DONE);
    expect(announce(lost(4))).toBe('announce');
    // Beside the one that is alone nobody else, however harmless.
    expect(announce(lost(3))).toBe('wait');
  });
});
