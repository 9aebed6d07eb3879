/** The way back, on PostgreSQL: order, doubt, giving up, what people decide, and changed declarations. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { PermanentError, Rejection } from '../../src/errors.ts';
import { message } from '../../src/message/message-type.ts';
import { saga } from '../../src/saga/definition/definition.ts';
import { command } from '../../src/saga/kinds/command.ts';
import { step } from '../../src/saga/kinds/step.ts';
import { transaction } from '../../src/saga/kinds/transaction.ts';
import { gate, openLab, type Lab } from './lab.ts';

let lab: Lab;
beforeAll(async () => {
  lab = await openLab();
});
afterEach(() => lab.settle());
afterAll(() => lab.dispose());

const compensated = { code: 'HF_SAGA_UNDONE' };
const ops = { actor: 'ann', reason: 'looked it up' };
const fails = step({
  run: (): Promise<void> => {
    throw new Rejection('no');
  },
});

describe('undoing', () => {
  it('goes back in the reverse order of start, whatever the order of the ends', async () => {
    const log: string[] = [];
    const slow = gate();
    const of = (name: string, run: () => unknown): ReturnType<typeof step<void, unknown>> =>
      step<void, unknown>({ run, compensate: ({ outcome }) => void log.push(`${name} ${outcome}`) });
    const order = saga({
      name: 'order',
      input: z.null(),
      steps: { a: of('a', () => slow.promise), b: of('b', () => slow.open()), c: of('c', () => 1), fails },
      async run({ steps }) {
        await Promise.all([steps.a(), steps.b()]);
        await steps.c();
        await steps.fails();
      },
    });
    const worker = await lab.worker([order]);
    const run = await worker.sagas.start(order, null);
    await expect(run.result({ timeout: '20s' })).rejects.toMatchObject({
      ...compensated,
      details: { reason: 'failed' },
    });
    expect(log).toEqual(['c done', 'b done', 'a done']);
  });

  it('settles siblings in flight before anything is compensated', async () => {
    const log: string[] = [];
    const inFlight = gate();
    const aborted = gate();
    const siblings = saga({
      name: 'siblings',
      input: z.null(),
      steps: {
        slow: step({
          async run(_: void, { signal }) {
            signal.addEventListener('abort', () => aborted.open());
            await inFlight.promise;
            log.push('slow is done');
            return 7;
          },
          compensate: ({ outcome, output }) => void log.push(`compensate slow ${outcome} ${output}`),
        }),
        fails,
      },
      run: ({ steps }) => Promise.all([steps.slow(), steps.fails()]),
    });
    const worker = await lab.worker([siblings]);
    const run = await worker.sagas.start(siblings, null);
    await aborted.promise;
    await lab.untilEvent(run.id, 'undoing');
    expect(log).toEqual([]);
    inFlight.open();
    await expect(run.result({ timeout: '20s' })).rejects.toMatchObject(compensated);
    expect(log).toEqual(['slow is done', 'compensate slow done 7']);
  });

  it.each([
    ['that it happened', async () => ({ happened: true as const, output: 5 }), ['compensate done 5']],
    ['that it did not', async () => ({ happened: false as const }), []],
    ['nothing', () => Promise.reject(new Error('away')), ['compensate unknown undefined']],
    ['what makes no sense', async () => 'yes' as never, ['compensate unknown undefined']],
  ])('asks verify about a step in doubt, which says %s', async (_, verify, expected) => {
    const log: string[] = [];
    const doubtful = saga({
      name: 'doubtful',
      input: z.null(),
      steps: {
        pay: step({
          run: async (): Promise<number> => {
            throw new Error('the line broke');
          },
          retry: { attempts: 2 },
          verify,
          compensate: ({ outcome, output }) => void log.push(`compensate ${outcome} ${output}`),
        }),
      },
      run: ({ steps }) => steps.pay(),
    });
    const worker = await lab.worker([doubtful]);
    const run = await worker.sagas.start(doubtful, null);
    await expect(run.result({ timeout: '20s' })).rejects.toMatchObject(compensated);
    expect(log).toEqual(expected);
  });

  it('compensates nothing that has failed for sure', async () => {
    let compensation = 0;
    const sure = saga({
      name: 'sure',
      input: z.null(),
      steps: {
        pay: step({
          run: (): never => {
            throw new PermanentError('no such card');
          },
          compensate: () => void (compensation += 1),
        }),
        book: transaction({
          run: async (_: void, { tx }): Promise<void> => {
            await tx.query(`INSERT INTO effect (what) VALUES ('booked')`);
            throw new Error('after all not');
          },
          retry: { attempts: 2 },
          compensate: () => void (compensation += 1),
        }),
      },
      run: ({ steps }) => Promise.allSettled([steps.pay(), steps.book()]).then(() => Promise.reject(new Error('both'))),
    });
    const worker = await lab.worker([sure]);
    const run = await worker.sagas.start(sure, null);
    await expect(run.result({ timeout: '20s' })).rejects.toMatchObject(compensated);
    expect(compensation).toBe(0);
    expect((await lab.test.pool.query('SELECT 1 FROM effect')).rows).toEqual([]);
  });

  it('commits a transaction compensation together with its record', async () => {
    let tries = 0;
    const booked = saga({
      name: 'booked',
      input: z.null(),
      steps: {
        book: transaction({
          run: async (_: void, { tx }) => void (await tx.query(`INSERT INTO effect (what) VALUES ('booked')`)),
          compensate: async (_, { tx }) => {
            await tx.query(`INSERT INTO effect (what) VALUES ('unbooked')`);
            tries += 1;
            if (tries < 3) throw new Error('not yet');
          },
        }),
        fails,
      },
      async run({ steps }) {
        await steps.book();
        await steps.fails();
      },
    });
    const worker = await lab.worker([booked]);
    const run = await worker.sagas.start(booked, null);
    await expect(run.result({ timeout: '20s' })).rejects.toMatchObject(compensated);
    const { rows } = await lab.test.pool.query<{ what: string }>('SELECT what FROM effect ORDER BY id');
    expect(rows.map(({ what }) => what)).toEqual(['booked', 'unbooked']);
    expect(tries).toBe(3);
  });
});

describe('a compensation that gives up', () => {
  let broken = true;
  let tries = 0;
  const stubborn = saga({
    name: 'stubborn',
    input: z.null(),
    steps: {
      first: step({ run: async () => 1, compensate: () => {} }),
      second: step({
        run: async () => 2,
        compensate() {
          tries += 1;
          if (broken) throw new Error('still broken');
        },
        compensation: { retry: { attempts: 2 } },
      }),
      fails,
    },
    async run({ steps }) {
      await steps.first();
      await steps.second();
      await steps.fails();
    },
  });

  async function untilStuck(): Promise<{ id: string; result: () => Promise<unknown> }> {
    broken = true;
    tries = 0;
    const worker = await lab.worker([stubborn]);
    const run = await worker.sagas.start(stubborn, null);
    expect(await lab.stuck(run.id)).toMatchObject({ why: 'compensation', call: 'second' });
    expect(tries).toBe(2);
    await lab.untilFree(run.id);
    return { id: run.id, result: () => run.result({ timeout: '20s' }) };
  }

  it('is tried again with all its attempts', async () => {
    const { id, result } = await untilStuck();
    await lab.postRunMessage(id, { kind: 'retry', ...ops });
    await lab.untilEvent(id, 'retried');
    await lab.untilFree(id);
    expect(await lab.stuck(id)).toMatchObject({ why: 'compensation', call: 'second' });
    expect(tries).toBe(4);
    broken = false;
    await lab.postRunMessage(id, { kind: 'retry', ...ops });
    await lab.until(id, 'compensated');
    await expect(result()).rejects.toMatchObject(compensated);
    expect((await lab.story(id)).slice(-4)).toEqual([
      'compensated second',
      'compensating first',
      'compensated first',
      'undone',
    ]);
  });

  it.each([
    ['is skipped', { kind: 'skip', call: 'second', ...ops } as const, 'skipped second'],
    [
      'is resolved by hand',
      { kind: 'resolve', call: 'second', as: 'compensated', ...ops } as const,
      'compensated second',
    ],
  ])('%s, and the rest is compensated', async (_, body, event) => {
    const { id, result } = await untilStuck();
    await lab.postRunMessage(id, body);
    await expect(lab.until(id, 'compensated')).resolves.toBeDefined();
    await expect(result()).rejects.toMatchObject(compensated);
    expect((await lab.story(id)).slice(-4)).toEqual([event, 'compensating first', 'compensated first', 'undone']);
  });

  it('is resolved with the run as a whole', async () => {
    const { id } = await untilStuck();
    await lab.postRunMessage(id, { kind: 'resolve', call: '*', as: 'compensated', ...ops });
    await lab.until(id, 'compensated');
    expect((await lab.story(id)).slice(-2)).toEqual(['resolved *', 'undone']);
  });

  it('drops what is said about another call', async () => {
    const { id } = await untilStuck();
    await lab.postRunMessage(id, { kind: 'skip', call: 'first', ...ops });
    await lab.postRunMessage(id, { kind: 'skip', call: 'second', ...ops });
    await lab.until(id, 'compensated');
    expect(await lab.story(id)).not.toContain('skipped first');
  });
});

describe('what a run that completes had given up', () => {
  let broken = true;
  const kept = saga({
    name: 'kept',
    input: z.null(),
    steps: {
      maybe: step({
        run: (): Promise<void> => Promise.reject(new Error('lost')),
        retry: { attempts: 1 },
        compensate() {
          if (broken) throw new PermanentError('cannot');
        },
      }),
    },
    async run({ steps }) {
      await steps.maybe().catch(() => {});
      return 'all the same';
    },
  });

  it.each([
    ['retried', { kind: 'retry', ...ops } as const],
    ['skipped', { kind: 'skip', call: 'maybe', ...ops } as const],
    ['resolved', { kind: 'resolve', call: 'maybe', as: 'compensated', ...ops } as const],
  ])('is compensated first; stuck there, it is %s, and the run completes', async (_, body) => {
    broken = true;
    const worker = await lab.worker([kept]);
    const run = await worker.sagas.start(kept, null);
    expect(await lab.stuck(run.id)).toMatchObject({ why: 'compensation', call: 'maybe' });
    await lab.untilFree(run.id);
    broken = false;
    await lab.postRunMessage(run.id, body);
    await lab.until(run.id, 'completed');
    expect(await run.result({ timeout: '20s' })).toBe('all the same');
  });
});

describe('with other declarations than before', () => {
  const make = (declared: boolean, compensate: () => void | Promise<void>) =>
    saga({
      name: 'changing',
      input: z.null(),
      signals: { go: z.null() },
      steps: declared ? { pay: step({ run: async () => 1, compensate }) } : {},
      async run({ steps, waitFor }) {
        await (steps as { pay: () => Promise<number> }).pay();
        await waitFor('go');
      },
    });

  it('names the step that is not there any more, and goes on once it is', async () => {
    const log: string[] = [];
    const old = make(true, () => void log.push('undone'));
    const first = await lab.worker([old]);
    const run = await first.sagas.start(old, null);
    await lab.untilEvent(run.id, 'called', 'wait:go#1');
    await run.cancel();
    await first.stop();
    if ((await lab.view(run.id)).status !== 'compensated') {
      const second = await lab.worker([make(false, () => {})]);
      expect(await lab.stuck(run.id)).toMatchObject({ why: 'undefined step', call: 'pay' });
      await second.stop();
      await lab.worker([old]);
      await lab.postRunMessage(run.id, { kind: 'retry', ...ops });
    }
    await lab.until(run.id, 'compensated');
    expect(log).toEqual(['undone']);
  });

  it('names it also when its compensation was under way', async () => {
    const began = gate();
    const old = make(true, async () => {
      began.open();
      await new Promise(() => {});
    });
    const first = await lab.worker([old]);
    const run = await first.sagas.start(old, null);
    await lab.untilEvent(run.id, 'called', 'wait:go#1');
    await run.cancel();
    await began.promise;
    await lab.takeOver(first.id);
    await first.stop({ signal: AbortSignal.abort() });
    const second = await lab.worker([make(false, () => {})]);
    expect(await lab.stuck(run.id)).toMatchObject({ why: 'undefined step', call: 'pay' });
    await second.stop();
    await lab.worker([make(true, () => {})]);
    await lab.postRunMessage(run.id, { kind: 'retry', ...ops });
    await lab.until(run.id, 'compensated');
  });

  it('lives with a compensating message that cannot be made any more', async () => {
    const Pay = message('pay', { schema: z.string() });
    const Refund = message('refund', { schema: z.string() });
    const made = (payload: () => string) =>
      saga({
        name: 'sending',
        input: z.null(),
        steps: {
          pay: command(Pay, {
            timeout: '1h',
            compensate: { message: Refund, payload },
            compensation: { timeout: '1ms' },
          }),
          other: step({ run: async () => {} }),
        },
        run: ({ steps, input }) => (input === null ? steps.pay('o-1') : steps.other()),
      });
    let broken = false;
    const sending = made(() => {
      if (broken) throw new Error('gone');
      return 'o-1';
    });
    const lives = saga({
      name: 'lives',
      input: z.null(),
      steps: { a: step({ run: async () => 1 }) },
      run: ({ steps }) => steps.a(),
    });
    const worker = await lab.worker([sending, lives]);
    const run = await worker.sagas.start(sending, null);
    await lab.untilEvent(run.id, 'called', 'pay');
    broken = true;
    await run.cancel();
    expect(await lab.stuck(run.id)).toMatchObject({ why: 'compensation', call: 'pay' });
    const { id } = worker;
    const other = await worker.sagas.start(lives, null);
    expect(await other.result({ timeout: '20s' })).toBe(1);
    expect(worker.id).toBe(id);
    broken = false;
    await lab.postRunMessage(run.id, { kind: 'retry', ...ops });
    await lab.untilEvent(run.id, 'compensation failed', 'pay');
    // Sent, and not answered yet; and once again what cannot be made.
    broken = true;
    await lab.stuck(run.id);
    expect(worker.id).toBe(id);
  });
});
