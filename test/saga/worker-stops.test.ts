/**
 * Workers that stop while something of theirs is under way: a claim, a commit, a lease that is over before they have signed off.
 */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { Rejection } from '../../src/errors.ts';
import { systemClock } from '../../src/runtime/clock.ts';
import { saga } from '../../src/saga/definition/definition.ts';
import { step } from '../../src/saga/kinds/step.ts';
import { eventually } from '../support/eventually.ts';
import { gate, openLab, type Lab } from './lab.ts';
import { LEASE_MS, workerOver } from './worker-over.ts';

let lab: Lab;
beforeAll(async () => {
  lab = await openLab();
});
afterEach(() => lab.settle());
afterAll(() => lab.dispose());

describe('a run that is let go by a worker that stops', () => {
  it('is begun by nobody but the next one, also when a claim that was under way has met it', async () => {
    const [began, goOn, asked, answer] = [gate(), gate(), gate(), gate()];
    const seen: string[] = [];
    const two = saga({
      name: 'two',
      input: z.null(),
      steps: {
        first: step({
          run() {
            began.open();
            return goOn.promise;
          },
        }),
        second: step({ run: () => void seen.push('second') }),
      },
      async run({ steps }) {
        await steps.first();
        await steps.second();
      },
    });
    let claiming = false;
    const { worker, stop } = await workerOver(
      lab,
      [two],
      (_runs, go) => go(),
      (go) =>
        async (...given) => {
          if (claiming) {
            asked.open();
            await answer.promise;
          }
          return go(...given);
        },
    );
    const run = await worker.sagas.start(two, null);
    await began.promise;
    claiming = true;
    worker.wake();
    await asked.promise;
    const stopped = stop();
    goOn.open();
    await lab.untilFree(run.id);
    answer.open();
    await stopped;
    expect(seen).toEqual([]);
    expect(await lab.view(run.id)).toMatchObject({ status: 'running' });
    await lab.worker([two]);
    await lab.until(run.id, 'completed');
    expect(seen).toEqual(['second']);
  });
});

describe('what has happened, and could not be recorded before its worker had stopped', () => {
  it('is compensated, although whoever tries again is refused', async () => {
    const [happened, stopped] = [gate(), gate()];
    const done: string[] = [];
    let attempts = 0;
    const booking = saga({
      name: 'booking',
      input: z.null(),
      steps: {
        book: step({
          run() {
            attempts += 1;
            if (attempts > 1) throw new Rejection('sold out');
            done.push('booked');
          },
          compensate: () => void done.push('unbooked'),
        }),
      },
      run: ({ steps }) => steps.book(),
    });
    const { worker, stop } = await workerOver(lab, [booking], async (_runs, go) => {
      if (done.length > 0) {
        happened.open();
        await stopped.promise;
      }
      await go();
    });
    const run = await worker.sagas.start(booking, null);
    await happened.promise;
    await worker.stop({ signal: AbortSignal.abort() });
    stopped.open();
    await stop();
    await lab.worker([booking]);
    await lab.until(run.id, 'compensated');
    expect(done).toEqual(['booked', 'unbooked']);
  });
});

/** A worker, its monotonic clock `ahead` by as much as is said, in whose hands the first attempt of a step waits until it may go on. */
async function bookingUnderWay() {
  const [began, goOn] = [gate(), gate()];
  const ahead = { ms: 0 };
  const attempts: number[] = [];
  const booking = saga({
    name: 'booking',
    input: z.null(),
    steps: {
      book: step({
        async run(_: null, { attempt }) {
          attempts.push(attempt);
          began.open();
          await goOn.promise;
        },
      }),
    },
    run: ({ steps }) => steps.book(null),
  });
  const clock = { ...systemClock, monotonic: () => systemClock.monotonic() + ahead.ms };
  const { worker, stop } = await workerOver(lab, [booking], (_runs, go) => go(), undefined, clock);
  const run = await worker.sagas.start(booking, null);
  await began.promise;
  return { worker, run, booking, attempts, ahead, goOn, stop };
}

describe('a worker whose lease is over by its own clock while it stops', () => {
  it('signs off all the same, and what was under way counts as lost', async () => {
    const { run, booking, attempts, ahead, goOn, stop } = await bookingUnderWay();
    const stopped = stop();
    await new Promise((resolve) => setImmediate(resolve));
    // The store has prolonged the lease, and was not heard.
    ahead.ms = LEASE_MS;
    goOn.open();
    await stopped;
    await lab.worker([booking]);
    await lab.until(run.id, 'completed');
    expect(attempts).toEqual([1, 2]);
  });

  it('signs off for the leases before as well, which were over before it was asked to stop', async () => {
    const { worker, run, booking, attempts, ahead, goOn, stop } = await bookingUnderWay();
    const first = worker.id;
    ahead.ms = LEASE_MS;
    worker.wake();
    await eventually('another session', async () => worker.id !== '' && worker.id !== first);
    await stop();
    goOn.open();
    await lab.worker([booking]);
    await lab.until(run.id, 'completed');
    expect(attempts).toEqual([1, 2]);
  });
});
