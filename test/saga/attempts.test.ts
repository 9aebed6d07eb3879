/**
 * One attempt of a step, and of a transaction step, without a database: what its end means when it was aborted, late or refused, and that
 * nothing commits once the run has turned back.
 */
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { HoldfastError, PermanentError } from '../../src/errors.ts';
import { BeingCompensated } from '../../src/saga/decide/request-compensation.ts';
import { saga } from '../../src/saga/definition/definition.ts';
import type { StepContext } from '../../src/saga/definition/steps.ts';
import { attemptOptions, type AttemptedPart } from '../../src/saga/engine/attempted-part.ts';
import { startAttempt, type Limits } from '../../src/saga/engine/step-attempt.ts';
import { TransactionAttempt } from '../../src/saga/engine/transaction-attempt.ts';
import { step } from '../../src/saga/kinds/step.ts';
import { transaction } from '../../src/saga/kinds/transaction.ts';
import type { AttemptResult, RunEvent } from '../../src/saga/run/run-events.ts';
import type { Run } from '../../src/saga/run/run.ts';
import { StepBrokenError, StepPrecludedError } from '../../src/saga/store/commit-error.ts';
import type { RunCommit } from '../../src/saga/store/store.ts';
import { createManualClock } from '../../src/testing/manual-clock.ts';
import { createMemorySagaStore } from '../../src/testing/saga/memory-saga-store.ts';
import { gate } from './lab.ts';
import { call, callOf, runOf } from './run-recorder.ts';

const shop = saga({
  name: 'shop',
  input: z.object({}),
  steps: { charge: step({ run: () => 'charged' }), book: transaction({ run: async () => 'booked' }) },
  async run() {},
});

/** Time limits that end when the test says so. */
function limitsByHand(): { readonly limits: Limits; readonly expire: () => void } {
  let due: (() => void)[] = [];
  const add = (_delayMs: number, onDue: () => void) => {
    due.push(onDue);
    return () => void (due = due.filter((each) => each !== onDue));
  };
  return {
    limits: { add },
    expire() {
      for (const onDue of due.splice(0)) onDue();
    },
  };
}

async function partOf(kind: 'step' | 'transaction', name: string): Promise<AttemptedPart> {
  const run = runOf(shop);
  await call(run, kind, name);
  const declared = run.step(name);
  if (declared === undefined) throw new Error(`There is no ${name}.`);
  return { run, call: callOf(run, name), step: declared, of: 'call' };
}

describe('an attempt', () => {
  async function started(fn: (context: StepContext) => unknown) {
    const { limits, expire } = limitsByHand();
    const ended: AttemptResult[] = [];
    const options = attemptOptions(await partOf('step', 'charge'), limits, 1_000);
    let late = 0;
    const attempt = startAttempt({ ...options, onLate: () => void (late += 1) }, fn, (result) => ended.push(result));
    return { attempt, expire, ended, late: () => late };
  }
  const turn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

  it('may have happened when it failed, unless it was refused for certain', async () => {
    const failing = await started(() => Promise.reject(new Error('no answer')));
    const refused = await started(() => Promise.reject(new PermanentError('no')));
    await turn();
    expect(failing.ended).toMatchObject([{ kind: 'failed', doubt: true, permanent: false }]);
    expect(refused.ended).toMatchObject([{ kind: 'failed', doubt: false, permanent: true }]);
  });

  it('whose time is up has failed in doubt, whatever it says then', async () => {
    for (const last of ['done', 'refused'] as const) {
      const answer = gate<string>();
      const { expire, ended } = await started(() => answer.promise);
      expire();
      if (last === 'done') answer.open('done');
      else answer.fail(new PermanentError('no'));
      await turn();
      expect(ended).toMatchObject([{ kind: 'failed', doubt: true, error: { code: 'HF_STEP_TIMEOUT' } }]);
    }
  });

  it('that was aborted and is done all the same, is done', async () => {
    const answer = gate<string>();
    const { attempt, ended } = await started(() => answer.promise);
    attempt.abort(new BeingCompensated('x'));
    answer.open('done');
    await turn();
    expect(ended).toEqual([{ kind: 'done', output: '"done"' }]);
  });

  it('that does not heed its end is waited for a moment, and ends once', async () => {
    for (const last of ['done', 'failed'] as const) {
      const answer = gate<string>();
      const { attempt, expire, ended, late } = await started(() => answer.promise);
      attempt.abort(new HoldfastError('HF_STOPPED', 'The worker stops.'));
      expect(ended).toEqual([]);
      expire();
      expect(ended).toMatchObject([{ kind: 'failed', doubt: true, uncounted: 'stopped' }]);
      if (last === 'done') answer.open('done');
      else answer.fail(new Error('late'));
      await turn();
      expect(ended).toHaveLength(1);
      expect(late()).toBe(last === 'done' ? 1 : 0);
    }
  });
});

describe('an attempt of a transaction', () => {
  interface Scene {
    readonly run: Run;
    readonly told: RunEvent[];
    readonly broken: unknown[];
    readonly committed: RunCommit[];
    readonly ran: () => number;
    /** What the store did is known. */
    readonly over: Promise<void>;
  }

  async function begun(
    parts: {
      readonly opens?: Promise<void>;
      readonly quiet?: (run: Run) => Promise<void>;
      readonly pass?: (point: string) => boolean;
      readonly refusal?: Error;
      readonly fn?: () => unknown;
      /** The connection breaks while the handler has it. */
      readonly breaks?: boolean;
    } = {},
  ): Promise<Scene> {
    const part = await partOf('transaction', 'book');
    const { run } = part;
    const [told, broken, committed] = [[] as RunEvent[], [] as unknown[], [] as RunCommit[]];
    const over = gate();
    let ran = 0;
    const store = createMemorySagaStore({ clock: createManualClock() });
    store.transaction = async (_worker, body) => {
      try {
        await parts.opens;
        const commit = await body({} as never);
        if (parts.refusal !== undefined) throw parts.refusal;
        committed.push(commit);
      } catch (error) {
        throw parts.breaks === true ? new StepBrokenError({ error }) : error;
      } finally {
        setImmediate(() => over.open());
      }
    };
    const options = {
      store,
      workerId: 'w',
      now: () => 2_000,
      tell: (_run: Run, event: RunEvent) => void told.push(event),
      quiet: parts.quiet ?? (async () => {}),
      pass: parts.pass ?? (() => true),
      onBroken: (error: unknown) => void broken.push(error),
    };
    const { limits } = limitsByHand();
    new TransactionAttempt(options, part, () => {}).begin(attemptOptions(part, limits, 1_000), {
      fn: () => {
        ran += 1;
        return parts.fn?.();
      },
      runner: null,
    });
    return { run, told, broken, committed, ran: () => ran, over: over.promise };
  }
  const abort = (run: Run): void => {
    for (const each of run.inFlight.values()) each(new BeingCompensated('The run is being compensated.'));
  };

  it('commits its row, and is told after that', async () => {
    const { told, committed, over } = await begun();
    await over;
    expect(committed).toHaveLength(1);
    expect(told).toMatchObject([{ kind: 'transacted', of: 'done' }]);
  });

  it('does not commit when the run turned back meanwhile', async () => {
    const { run, told, committed, over } = await begun({ quiet: async (of) => abort(of) });
    await over;
    expect(committed).toEqual([]);
    expect(run.stage).toBe('active');
    expect(told).toMatchObject([{ kind: 'attempt', result: { kind: 'failed', doubt: false } }]);
  });

  it('does not even run when it turned back before the transaction was open', async () => {
    const opens = gate();
    const { run, ran, committed, over } = await begun({ opens: opens.promise });
    abort(run);
    opens.open();
    await over;
    expect([ran(), committed.length]).toEqual([0, 0]);
  });

  it('does not commit when the run has left meanwhile, or the lease is over', async () => {
    const left = await begun({ quiet: async (of) => of.evict() });
    await left.over;
    const dead = await begun({ pass: (point) => point !== 'saga.transaction:before' });
    await dead.over;
    expect([left.committed, dead.committed]).toEqual([[], []]);
  });

  it('waits until nothing of the run is in commit', async () => {
    let looks = 0;
    const { committed, over } = await begun({
      async quiet(of) {
        looks += 1;
        // What comes meanwhile has to be committed first as well.
        if (looks === 1) of.record({ t: 'signal', name: 'go' }, 1_500);
        else of.flush(null);
      },
    });
    await over;
    expect(looks).toBe(2);
    expect(committed).toHaveLength(1);
  });

  it('has not happened when the database refused it, which is no fault of the step', async () => {
    const refusal = new HoldfastError('HF_DATABASE_UNAVAILABLE', 'gone');
    const { told, over } = await begun({ refusal });
    await over;
    expect(told).toMatchObject([{ kind: 'attempt', result: { doubt: false, uncounted: 'database' } }]);
  });

  it('whose connection broke is no fault of the step, whatever its handler made of that', async () => {
    const mistakes = [new Error('no answer'), new TypeError('rows is not there')];
    for (const error of mistakes) {
      const { told, over } = await begun({ breaks: true, fn: () => Promise.reject(error) });
      await over;
      const [event] = told;
      expect(event).toMatchObject({ kind: 'attempt', result: { doubt: false, uncounted: 'database', broken: true } });
      expect(event).not.toHaveProperty('result.bug');
    }
  });

  it('whose connection broke has failed all the same, when it says no for certain or the run turned back', async () => {
    const refused = await begun({ breaks: true, fn: () => Promise.reject(new PermanentError('no')) });
    await refused.over;
    const turned = await begun({ breaks: true, quiet: async (of) => abort(of) });
    await turned.over;
    for (const { told } of [refused, turned]) expect(told).not.toHaveProperty('0.result.uncounted');
    expect(refused.told).toMatchObject([{ result: { permanent: true } }]);
  });

  it('has its row passed over when an empty one stands in its place', async () => {
    const { run, over } = await begun({ refusal: new StepPrecludedError() });
    const before = run.n;
    await over;
    expect(run.n).toBe(before + 1);
  });

  it('breaks the worker when its lease is lost, and is told to nobody', async () => {
    const { told, broken, over } = await begun({ refusal: new HoldfastError('HF_LEASE_LOST', 'lost') });
    await over;
    expect(broken).toHaveLength(1);
    expect(told).toEqual([]);
  });
});
