/** Attempts of steps, on PostgreSQL: how many, when, how long, and what stands in for them. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { Rejection } from '../../src/errors.ts';
import { saga } from '../../src/saga/definition/definition.ts';
import { step } from '../../src/saga/kinds/step.ts';
import { createManualClock } from '../../src/testing/manual-clock.ts';
import { eventually } from '../support/eventually.ts';
import { gate, openLab, type Lab } from './lab.ts';

let lab: Lab;
beforeAll(async () => {
  lab = await openLab();
});
afterEach(() => lab.settle());
afterAll(() => lab.dispose());

describe('attempts', () => {
  it('are counted on in another worker', async () => {
    const seen: number[] = [];
    let dead = false;
    const flaky = saga({
      name: 'flaky',
      input: z.null(),
      steps: {
        work: step({
          run(_: void, { attempt }) {
            seen.push(attempt);
            throw new Error('again');
          },
          retry: { attempts: 4, base: '1ms' },
        }),
      },
      run: ({ steps }) => steps.work(),
    });
    const died = gate();
    const first = await lab.worker([flaky], {
      crashPoint(point) {
        if (point !== 'saga.step:before' || seen.length < 2 || dead) return;
        dead = true;
        died.open();
        throw new Error('killed');
      },
    });
    const { id } = first;
    const run = await first.sagas.start(flaky, null);
    await died.promise;
    await lab.takeOver(id);
    await expect(run.result({ timeout: '20s' })).rejects.toMatchObject({ code: 'HF_SAGA_UNDONE' });
    // The third was lost with its worker: it may have happened, and uses up none of the four.
    expect(seen).toEqual([1, 2, 4, 5]);
    expect(await lab.untilEvent(run.id, 'failed', 'work')).toMatchObject({ attempts: 5, outcome: 'unknown' });
  });

  it('wait on the clock of the store', async () => {
    const clock = createManualClock(Date.now());
    const attempts: number[] = [];
    const failed = gate();
    const slow = saga({
      name: 'slow',
      input: z.null(),
      steps: {
        work: step({
          run(_: void, { attempt }) {
            attempts.push(attempt);
            if (attempt === 2) return 'done';
            failed.open();
            throw new Error('not yet');
          },
          retry: { attempts: 3, base: '5m', cap: '5m', within: '1h' },
        }),
      },
      run: ({ steps }) => steps.work(),
    });
    const worker = await lab.worker([slow], { clock, random: () => 0.5, waiting: 1 });
    const run = await worker.sagas.start(slow, null);
    await failed.promise;
    const put = await lab.untilEvent(run.id, 'attempt failed', 'work');
    await lab.untilFree(run.id);
    const { rows } = await lab.test.pool.query<{ in_ms: number; left: number }>(
      `SELECT (extract(epoch FROM wake_at) * 1000)::float8 AS in_ms, extract(epoch FROM wake_at - now())::float8 AS left
       FROM holdfast.saga_run WHERE id = $1`,
      [run.id],
    );
    expect(rows[0]?.in_ms).toBe(put.retryAt);
    expect(rows[0]?.left).toBeGreaterThan(60);
    await worker.tick();
    expect(attempts).toEqual([1]);
    await lab.test.pool.query('UPDATE holdfast.saga_run SET wake_at = now()');
    await worker.tick();
    // Claimed too early, it waits on: what counts is in the journal.
    await lab.untilFree(run.id);
    expect(attempts).toEqual([1]);
    await clock.advance('3m');
    await lab.test.pool.query('UPDATE holdfast.saga_run SET wake_at = now()');
    await worker.tick();
    expect(await lab.until(run.id, 'completed')).toMatchObject({ result: 'done' });
  });

  it('are not made again after a refusal', async () => {
    let attempts = 0;
    const refusing = saga({
      name: 'refusing',
      input: z.null(),
      steps: {
        work: step({
          run() {
            attempts += 1;
            throw new Rejection('no');
          },
        }),
      },
      run: ({ steps }) => steps.work(),
    });
    const worker = await lab.worker([refusing]);
    const run = await worker.sagas.start(refusing, null);
    await expect(run.result({ timeout: '20s' })).rejects.toMatchObject({ cause: { code: 'HF_REJECTED' } });
    expect(attempts).toBe(1);
  });

  it('that hang are aborted, end in doubt, and are not heard of again', async () => {
    const clock = createManualClock(Date.now());
    const late = gate<string>();
    const began = gate();
    const reasons: unknown[] = [];
    const compensated: unknown[] = [];
    const hanging = saga({
      name: 'hanging',
      input: z.null(),
      steps: {
        work: step({
          run(_: void, { signal }) {
            signal.addEventListener('abort', () => reasons.push((signal.reason as { code: string }).code));
            began.open();
            return late.promise;
          },
          timeout: '1m',
          retry: { attempts: 1 },
          compensate: ({ outcome, output }) => void compensated.push([outcome, output]),
        }),
      },
      run: ({ steps }) => steps.work(),
    });
    const worker = await lab.worker([hanging], { clock });
    const run = await worker.sagas.start(hanging, null);
    await began.promise;
    await clock.advance('59s');
    expect(reasons).toEqual([]);
    await clock.advance('1s');
    expect(reasons).toEqual(['HF_STEP_TIMEOUT']);
    late.open('too late');
    const view = await lab.until(run.id, 'compensated');
    expect(view).toMatchObject({ error: { code: 'HF_STEP_TIMEOUT' } });
    expect(compensated).toEqual([['unknown', undefined]]);
  });

  it('that gave up are stood in for by a fallback, and compensated all the same when the run is', async () => {
    const compensated: unknown[] = [];
    const degrading = saga({
      name: 'degrading',
      input: z.boolean(),
      steps: {
        work: step({
          run: (): Promise<string> => Promise.reject(new Error('away')),
          retry: { attempts: 2 },
          fallback: (_: void, error) => `instead of: ${error.message}`,
          compensate: ({ outcome }) => void compensated.push(outcome),
        }),
        fails: step({
          run: (): void => {
            throw new Rejection('no');
          },
        }),
      },
      async run({ input, steps }) {
        const got = await steps.work();
        if (input) await steps.fails();
        return got;
      },
    });
    const worker = await lab.worker([degrading]);
    const kept = await worker.sagas.start(degrading, false);
    expect(await kept.result({ timeout: '20s' })).toContain('away');
    expect(await lab.untilEvent(kept.id, 'done', 'work')).toMatchObject({ doubt: true, degraded: { message: 'away' } });
    const failed = await worker.sagas.start(degrading, true);
    await expect(failed.result({ timeout: '20s' })).rejects.toMatchObject({ code: 'HF_SAGA_UNDONE' });
    expect(compensated).toEqual(['unknown', 'unknown']);
  });

  it('are not burnt while a breaker is open', async () => {
    const clock = createManualClock(Date.now());
    const attempts = new Map<string, number>();
    let away = true;
    const guarded = saga({
      name: 'guarded',
      input: z.string(),
      steps: {
        work: step({
          run(who: string, { attempt }) {
            attempts.set(who, attempt);
            if (away) throw new Error('away');
            return attempt;
          },
          retry: { attempts: 10, base: '1ms' },
          breaker: 'far',
        }),
      },
      run: ({ input, steps }) => steps.work(input),
    });
    const worker = await lab.worker([guarded], { clock });
    const first = await worker.sagas.start(guarded, 'first');
    // Five failures in a row open it.
    await eventually('five attempts to have failed', async () => {
      await worker.tick();
      return (await lab.events(first.id)).filter((event) => event.t === 'attempt failed').length >= 5;
    });
    const second = await worker.sagas.start(guarded, 'second');
    await lab.untilEvent(second.id, 'called', 'work');
    await worker.tick();
    await worker.tick();
    expect(attempts.has('second')).toBe(false);
    expect(worker.openBreakers).toEqual([{ name: 'far', openMs: expect.any(Number) as number }]);
    // What it holds up has not begun, and nobody need doubt that when it is not wanted any more.
    const third = await worker.sagas.start(guarded, 'third');
    await lab.untilEvent(third.id, 'called', 'work');
    await worker.tick();
    await third.cancel();
    await eventually('the third to be compensated', async () => {
      await worker.tick();
      return (await lab.view(third.id)).status === 'compensated';
    });
    expect(await lab.untilEvent(third.id, 'failed', 'work')).toMatchObject({ outcome: 'definite' });
    away = false;
    await eventually('both to be completed', async () => {
      await clock.advance('3s');
      await worker.tick();
      const views = await Promise.all([first, second].map(({ id }) => lab.view(id)));
      return views.every(({ status }) => status === 'completed');
    });
    expect((await lab.view(second.id)).result).toBe(1);
    expect((await lab.view(first.id)).result).toBeLessThan(8);
    expect(worker.openBreakers).toEqual([]);
  });
});
