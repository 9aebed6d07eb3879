/** What happens to workers and to the database never decides how a run ends, on PostgreSQL: it spends no budget of the business. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { Rejection } from '../../src/errors.ts';
import { saga } from '../../src/saga/definition/definition.ts';
import { step } from '../../src/saga/kinds/step.ts';
import { transaction } from '../../src/saga/kinds/transaction.ts';
import type { StepContext } from '../../src/saga/definition/steps.ts';
import { createManualClock } from '../../src/testing/manual-clock.ts';
import { eventually } from '../support/eventually.ts';
import { rememberingLogger } from '../support/failing-observers.ts';
import { gate, openLab, type Lab } from './lab.ts';

let lab: Lab;
beforeAll(async () => {
  lab = await openLab();
});
afterEach(() => lab.settle());
afterAll(() => lab.dispose());

/** Settles when the signal aborts, with its reason. */
function untilAborted({ signal }: StepContext): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason as Error));
  });
}

/** A saga of one step, whose first attempts do as they are told. */
function working(attempts: readonly ((context: StepContext) => unknown)[], options: object = {}) {
  const compensated: unknown[] = [];
  const made: number[] = [];
  const work = saga({
    name: 'work',
    input: z.null(),
    steps: {
      work: step({
        async run(_: void, context) {
          made.push(context.attempt);
          await attempts[made.length - 1]?.(context);
          return 'done';
        },
        compensate: ({ outcome }) => void compensated.push(outcome),
        timeout: '10m',
        retry: { attempts: 1, base: 0 },
        ...options,
      }),
    },
    run: ({ steps }) => steps.work(),
  });
  return { work, compensated, made };
}

describe('an attempt that ends with its worker', () => {
  it('uses up neither attempts nor time when the worker is stopped', async () => {
    const began = gate();
    const { work, compensated, made } = working([
      (context) => {
        began.open();
        return untilAborted(context);
      },
    ]);
    const first = await lab.worker([work]);
    const run = await first.sagas.start(work, null);
    await began.promise;
    await lab.test.pool.query(`UPDATE holdfast.saga_journal SET at = at - interval '62 seconds'`);
    await first.stop({ signal: AbortSignal.abort() });
    await lab.worker([work]);
    expect(await lab.until(run.id, 'completed')).toMatchObject({ result: 'done' });
    expect(await lab.untilEvent(run.id, 'attempt failed', 'work')).toMatchObject({ uncounted: 'stopped' });
    expect([made, compensated]).toEqual([[1, 2], []]);
  });

  it('uses up neither when the worker is lost, and is in doubt', async () => {
    const began = gate();
    const { work, compensated } = working([
      (context) => {
        began.open();
        return untilAborted(context);
      },
      () => Promise.reject(new Rejection('no')),
    ]);
    const worker = await lab.worker([work]);
    const run = await worker.sagas.start(work, null);
    await began.promise;
    // A long time ago.
    await lab.test.pool.query(`UPDATE holdfast.saga_journal SET at = at - interval '65 seconds'`);
    await lab.takeOver(worker.id);
    await lab.worker([work]);
    await lab.until(run.id, 'compensated');
    const failed = await lab.untilEvent(run.id, 'attempt failed', 'work');
    expect(failed).toMatchObject({ uncounted: 'lost' });
    expect(failed.idle).toBeGreaterThanOrEqual(65_000);
    // The refusal is definite, and yet the attempt that was lost may have happened.
    expect(await lab.untilEvent(run.id, 'failed', 'work')).toMatchObject({ outcome: 'unknown' });
    expect(compensated).toEqual(['unknown']);
  });

  it('leaves the time between attempts as it was while no worker is there', async () => {
    const notYet = () => Promise.reject(new Error('not yet'));
    const { work, compensated, made } = working([notYet, notYet], {
      retry: { attempts: 3, base: '1m', cap: '1m', within: '2m' },
    });
    const first = await lab.worker([work], { random: () => 0.9 });
    const run = await first.sagas.start(work, null);
    await lab.untilEvent(run.id, 'attempt failed', 'work');
    await first.stop();
    // The next attempt was due an hour ago.
    await lab.test.pool.query(
      `UPDATE holdfast.saga_journal SET at = at - interval '1 hour', events = regexp_replace(events::text, '"retryAt":[0-9]+',
         '"retryAt":' || (extract(epoch FROM now() - interval '1 hour') * 1000)::bigint)::json`,
    );
    await lab.test.pool.query(`UPDATE holdfast.saga_run SET wake_at = now()`);
    await lab.worker([work]);
    expect(await lab.until(run.id, 'completed')).toMatchObject({ result: 'done' });
    expect([made, compensated]).toEqual([[1, 2, 3], []]);
  });

  it('is found out when it is the attempt that ends the workers; those beside it go on', async () => {
    let workerId = '';
    let dead = '';
    let begun = 0;
    const mixed = saga({
      name: 'mixed',
      input: z.boolean(),
      steps: {
        work: step({
          async run(kills: boolean, context) {
            begun += 1;
            // Workers are lost until those beside the killer are suspects as well.
            if (!kills) return context.attempt > 3 ? 'done' : untilAborted(context);
            // A commit under way may hold it up.
            const taken = workerId;
            for (let gone = false; !gone;)
              gone = await lab.takeOver(taken).then(
                () => true,
                () => false,
              );
            dead = taken;
            return untilAborted(context);
          },
          retry: { attempts: 1, base: 0 },
        }),
      },
      run: ({ input, steps }) => steps.work(input),
    });
    const worker = await lab.worker([mixed], {
      crashPoint() {
        workerId = worker.id;
        if (workerId === dead) throw new Error('killed');
      },
    });
    const beside = await Promise.all(Array.from({ length: 10 }, () => worker.sagas.start(mixed, false)));
    await eventually('all to be under way', () => Promise.resolve(begun === 10));
    const killer = await worker.sagas.start(mixed, true);
    expect(await lab.stuck(killer.id)).toMatchObject({ why: 'kills workers', call: 'work' });
    for (const run of beside) expect(await lab.until(run.id, 'completed')).toMatchObject({ result: 'done' });
  });
});

describe('a transaction that the database rolls back by itself', () => {
  it('is made again, however often, and the run is not compensated', async () => {
    let attempts = 0;
    const contended = saga({
      name: 'contended',
      input: z.null(),
      steps: {
        book: transaction({
          async run(_: void, { tx }) {
            attempts += 1;
            await tx.query(`INSERT INTO effect (what) VALUES ('booked')`);
            if (attempts < 9) await tx.query(`DO $$ BEGIN RAISE EXCEPTION 'conflict' USING ERRCODE = '40001'; END $$`);
            return 'booked';
          },
          compensate: () => {},
          retry: { attempts: 1 },
        }),
      },
      run: ({ steps }) => steps.book(),
    });
    const worker = await lab.worker([contended]);
    const run = await worker.sagas.start(contended, null);
    expect(await run.result({ timeout: '30s' })).toBe('booked');
    expect(attempts).toBe(9);
    expect((await lab.test.pool.query('SELECT what FROM effect')).rows).toEqual([{ what: 'booked' }]);
  });

  it('only at its COMMIT is made again as well', async () => {
    // As under SERIALIZABLE; a sequence counts also what is rolled back.
    await lab.test.pool.query(`
      CREATE SEQUENCE commits;
      CREATE FUNCTION refuse_commit() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN
        IF nextval('public.commits') < 4 THEN RAISE EXCEPTION 'conflict' USING ERRCODE = '40001'; END IF;
        RETURN NULL;
      END $$;
      CREATE CONSTRAINT TRIGGER at_commit AFTER INSERT ON effect DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION refuse_commit()`);
    const late = saga({
      name: 'late',
      input: z.null(),
      steps: {
        book: transaction({
          run: (_: void, { tx }) => tx.query(`INSERT INTO effect (what) VALUES ('booked')`).then(() => 'booked'),
          retry: { attempts: 1 },
        }),
      },
      run: ({ steps }) => steps.book(),
    });
    const worker = await lab.worker([late]);
    try {
      const run = await worker.sagas.start(late, null);
      expect(await run.result({ timeout: '30s' })).toBe('booked');
      expect((await lab.test.pool.query('SELECT what FROM effect')).rows).toEqual([{ what: 'booked' }]);
    } finally {
      await lab.test.pool.query('DROP TRIGGER at_commit ON effect');
    }
  });

  it('counts what it says against the step', async () => {
    const wrong = saga({
      name: 'wrong',
      input: z.null(),
      steps: {
        divide: transaction({ run: (_: void, { tx }) => tx.query('SELECT 1 / 0'), retry: { attempts: 2 } }),
      },
      run: ({ steps }) => steps.divide().then(() => null),
    });
    const worker = await lab.worker([wrong]);
    const run = await worker.sagas.start(wrong, null);
    await expect(run.result({ timeout: '30s' })).rejects.toMatchObject({ code: 'HF_SAGA_UNDONE' });
    expect(await lab.untilEvent(run.id, 'failed', 'divide')).toMatchObject({ attempts: 2 });
  });
});

describe('the deadline of a step', () => {
  it('holds over all its attempts and whatever else takes time', async () => {
    const clock = createManualClock(Date.now());
    const began = gate();
    const { work, compensated } = working(
      [
        (context) => {
          began.open();
          return untilAborted(context);
        },
      ],
      { deadline: '1m', timeout: '10m' },
    );
    const worker = await lab.worker([work], { clock });
    const run = await worker.sagas.start(work, null);
    await began.promise;
    await clock.advance('1m');
    await lab.ticking(worker, lab.until(run.id, 'compensated'));
    expect(compensated).toEqual(['unknown']);
    expect(await lab.untilEvent(run.id, 'failed', 'work')).toMatchObject({ error: { code: 'HF_STEP_TIMEOUT' } });
  });

  it('passes while the step waits for its next attempt, too', async () => {
    const { work, made } = working([() => Promise.reject(new Error('not yet'))], {
      deadline: '50ms',
      retry: { attempts: 3, base: '1h', cap: '1h', within: '1d' },
    });
    const worker = await lab.worker([work], { random: () => 0.5 });
    const run = await worker.sagas.start(work, null);
    await lab.until(run.id, 'compensated');
    expect(made).toEqual([1]);
  });
});

describe('an open breaker', () => {
  it('lets one attempt through at a time, and spends nothing of the others', async () => {
    const clock = createManualClock(Date.now());
    let down = true;
    let calls = 0;
    const shared = saga({
      name: 'shared',
      input: z.null(),
      steps: {
        call: step({
          run() {
            calls += 1;
            if (down) throw new Error('503');
            return 'done';
          },
          breaker: 'far',
          retry: { attempts: 4, base: 0, cap: 0, within: '3s' },
        }),
      },
      run: ({ steps }) => steps.call(),
    });
    const worker = await lab.worker([shared], { clock });
    const runs = await Promise.all(Array.from({ length: 20 }, () => worker.sagas.start(shared, null)));
    for (const run of runs) await lab.untilEvent(run.id, 'attempt failed', 'call');
    const before = calls;
    // Three times it is half open: one call each.
    for (const round of [1, 2, 3]) {
      await clock.advance('5s');
      await eventually('a call to be let through', async () => {
        await worker.tick();
        return calls >= before + round;
      });
      await worker.tick();
      expect(calls).toBe(before + round);
    }
    down = false;
    const results = Promise.all(runs.map((run) => run.result()));
    let over = false;
    void results.finally(() => (over = true)).catch(() => {});
    while (!over) {
      await clock.advance('1s');
      await worker.tick();
    }
    expect(new Set(await results)).toEqual(new Set(['done']));
  });
});

describe('verify', () => {
  it('that fails is asked again, and each time the log says so', async () => {
    const log = rememberingLogger();
    let asked = 0;
    const doubtful = saga({
      name: 'doubtful',
      input: z.null(),
      steps: {
        pay: step({
          run: (): string => {
            throw new Error('connection reset');
          },
          verify() {
            asked += 1;
            if (asked < 3) throw new Error('connection reset');
            return { happened: true, output: 'paid' } as const;
          },
          retry: { attempts: 1 },
          pivot: true,
        }),
        take: step({
          run: (): string => {
            throw new Error('connection reset');
          },
          verify() {
            asked += 1;
            if (asked < 6) throw new Error('connection reset');
            return { happened: false } as const;
          },
          compensate: () => Promise.reject(new Error('there is nothing')),
          retry: { attempts: 1 },
        }),
      },
      async run({ steps }) {
        await steps.take().catch(() => 'taken by others');
        return steps.pay();
      },
    });
    const worker = await lab.worker([doubtful], { log });
    const run = await worker.sagas.start(doubtful, null);
    expect(await run.result({ timeout: '30s' })).toBe('paid');
    expect(asked).toBe(6);
    const told = log.lines.filter(({ message }) => message === 'verify failed, and is asked again');
    expect(told.map(({ fields: { call, attempts } }) => [call, attempts])).toEqual([
      ['pay', 1],
      ['pay', 2],
      ['take', 1],
      ['take', 2],
    ]);
    expect(told[0]?.fields).toMatchObject({ run: run.id, err: { message: 'connection reset' } });
  });
});
