/**
 * A run that does not fit the code of its worker: whether it is left to another worker, is stuck, or goes on with a child of another version.
 */
import { describe, expect, it } from 'vitest';
import { silentLogger } from '../../src/runtime/log.ts';
import { Mismatches } from '../../src/saga/engine/mismatches.ts';
import type { Mismatch } from '../../src/saga/run/run-events.ts';
import type { Run } from '../../src/saga/run/run.ts';
import type { WorkerStore } from '../../src/saga/store/store.ts';
import { call, recorded, runOf } from './run-recorder.ts';
import { trip } from './trip-saga.ts';

const MISMATCH: Mismatch = { why: 'non-determinism', call: null, error: { name: 'Error', message: 'x' } };
const settled = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

/** Of a store that says so of what others offer. */
function mismatchesOf({ elsewhere = false, childGoesOn = false, error = null as Error | null } = {}) {
  const seen = { asked: 0, decided: 0, givenBack: [] as unknown[] };
  let holds = true;
  const answer = async (value: boolean): Promise<boolean> => {
    seen.asked += 1;
    if (error !== null) throw error;
    return value;
  };
  const store = {
    offeredElsewhere: () => answer(elsewhere),
    goesOn: () => answer(childGoesOn),
  } as unknown as WorkerStore;
  const mismatches = new Mismatches({
    store,
    workerId: 'w',
    codeOf: () => '0f3a',
    log: silentLogger,
    now: () => 2_000,
    holds: () => holds,
    onDecided: () => void (seen.decided += 1),
    giveBack: (_run, failure) => void seen.givenBack.push(failure),
  });
  const decide = async (run: Run): Promise<void> => {
    mismatches.decide(run);
    await settled();
  };
  return { decide, seen, mismatches, leave: () => (holds = false) };
}

function misfitting(more: Partial<Mismatch> = {}): Run {
  const run = runOf(trip);
  run.setMismatch({ ...MISMATCH, ...more });
  return run;
}

describe('a run that does not fit', () => {
  it('is left to another worker that offers other code, with the name of this one', async () => {
    const { decide, seen } = mismatchesOf({ elsewhere: true });
    const run = misfitting();
    await decide(run);
    expect(run).toMatchObject({ handedBack: '0f3a', stuckNow: false });
    expect(seen).toMatchObject({ asked: 1, decided: 1 });
    await decide(run);
    expect(seen.asked).toBe(1);
  });

  it('is stuck when nobody else offers it', async () => {
    const { decide, seen } = mismatchesOf();
    const run = misfitting();
    await decide(run);
    expect(recorded(run).at(-1)).toMatchObject({ t: 'stuck', why: 'non-determinism' });
    expect(run).toMatchObject({ handedBack: null, mismatch: null });
    expect(seen.decided).toBe(1);
  });

  it('is given back when the store cannot say, and looked at anew after that', async () => {
    const error = new Error('away');
    const { decide, seen } = mismatchesOf({ error });
    const run = misfitting();
    await decide(run);
    expect(seen).toMatchObject({ decided: 0, givenBack: [error] });
    await decide(run);
    expect(seen.asked).toBe(2);
  });

  it('is asked about once at a time, and not decided when it has left meanwhile', async () => {
    const { mismatches, seen, leave } = mismatchesOf();
    const run = misfitting();
    mismatches.decide(run);
    mismatches.decide(run);
    leave();
    await settled();
    expect(seen).toMatchObject({ asked: 1, decided: 0, givenBack: [] });
    expect(run.state.stuck).toBeNull();
  });
});

describe('a child of another version', () => {
  it('is no mismatch while any worker goes on with it, and is not asked about again', async () => {
    const { decide, seen } = mismatchesOf({ childGoesOn: true, elsewhere: true });
    const run = runOf(trip);
    const stay = await call(run, 'child', 'stay');
    run.setMismatch({ ...MISMATCH, call: stay, child: 'c-1' });
    await decide(run);
    expect(run).toMatchObject({ mismatch: null, handedBack: null, stuckNow: false });
    expect(run.lookedAfter.has('stay')).toBe(true);
    expect(seen.decided).toBe(1);
  });

  it('that nobody goes on with makes its parent stuck, whoever has the parent’s own version', async () => {
    const { decide } = mismatchesOf({ elsewhere: true });
    const run = misfitting({ child: 'c-1' });
    await decide(run);
    expect(run).toMatchObject({ handedBack: null, stuckNow: true });
  });
});
