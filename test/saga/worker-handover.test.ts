/**
 * Runs that would be lost between two hands: let go while something comes for them, claimed again before that is known, broken while
 * they are committed, and those whose parent or person waits for a word of them.
 */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { PermanentError, type HoldfastError } from '../../src/errors.ts';
import { message } from '../../src/message/message-type.ts';
import { saga, type AnySaga } from '../../src/saga/definition/definition.ts';
import { child } from '../../src/saga/kinds/child.ts';
import { command } from '../../src/saga/kinds/command.ts';
import { emit } from '../../src/saga/kinds/emit.ts';
import { step } from '../../src/saga/kinds/step.ts';
import { transaction } from '../../src/saga/kinds/transaction.ts';
import { gate, openLab, type Lab } from './lab.ts';
import { workerOver } from './worker-over.ts';

let lab: Lab;
beforeAll(async () => {
  lab = await openLab();
});
afterEach(() => lab.settle());
afterAll(() => lab.dispose());

const ops = { actor: 'ann', reason: 'looked it up' };

const listening = saga({
  name: 'listening',
  input: z.null(),
  signals: { word: z.string() },
  steps: {},
  run: ({ waitFor }) => waitFor('word'),
});

describe('a run that is being let go', () => {
  it.each([
    ['before the commit is made', 'before'],
    ['when it is made and not answered', 'after'],
  ] as const)('is found by a signal that comes %s', async (_when, hold) => {
    const held = gate();
    const open = gate();
    const { worker, stop } = await workerOver(lab, [listening], async (runs, go) => {
      const leaves = runs.some(
        ({ update }) => update !== null && update.release !== null && update.status === 'waiting',
      );
      if (!leaves || hold === 'after') await go();
      if (leaves) {
        held.open();
        await open.promise;
      }
      if (leaves && hold === 'before') await go();
    });
    const run = await lab.client([listening]).start(listening, null);
    await held.promise;
    await run.signal('word', 'a');
    await worker.tick();
    await worker.tick();
    open.open();
    expect(await run.result({ timeout: '20s' })).toBe('a');
    await stop();
  });
});

describe('code that has returned', () => {
  it('ends with the transaction that it left behind', async () => {
    const open = gate();
    const loose = saga({
      name: 'loose',
      input: z.null(),
      steps: {
        quick: step({ run: async () => 'quick' }),
        slow: transaction({ run: () => open.promise.then(() => 'slow') }),
      },
      run: ({ steps }) => Promise.race([steps.slow(), steps.quick()]),
    });
    const worker = await lab.worker([loose]);
    const run = await worker.sagas.start(loose, null);
    await lab.untilEvent(run.id, 'done', 'quick');
    await worker.tick();
    open.open();
    expect(await run.result({ timeout: '20s' })).toBe('quick');
  });
});

describe('a call that cannot be made', () => {
  const Ask = message('ask', { schema: z.object({ n: z.number() }) });
  const kid = saga({ name: 'kid', input: z.object({ n: z.number() }), steps: {}, run: async () => {} });
  it.each([
    ['a command', command(Ask)],
    ['a message', emit(Ask)],
    ['a child', child(kid)],
  ] as const)('%s fails, and the code goes on with that', async (_what, ask) => {
    const log: string[] = [];
    const wrong = saga({
      name: 'wrong',
      input: z.null(),
      steps: { ask: ask as never, after: step({ run: async (what: string) => void log.push(what) }) },
      async run({ steps }) {
        const asks = steps.ask as unknown as (input: unknown) => Promise<unknown>;
        try {
          await asks({ n: 'many' });
        } catch (error) {
          await steps.after((error as HoldfastError).code);
        }
      },
    });
    const worker = await lab.worker([wrong, kid]);
    const run = await worker.sagas.start(wrong, null);
    await run.result({ timeout: '20s' });
    expect(log).toEqual(['HF_PAYLOAD_INVALID']);
  });
});

describe('a pivot that a person is asked about', () => {
  const make = (pivot: () => Promise<string>, log: string[]) =>
    saga({
      name: 'asked',
      input: z.null(),
      steps: {
        first: step({ run: async () => 1, compensate: async () => void log.push('compensate first') }),
        ship: step({ run: pivot, pivot: true, retry: { attempts: 2, base: '1ms' } }),
      },
      async run({ steps }) {
        await steps.first();
        return steps.ship();
      },
    });
  const fails = async (): Promise<string> => {
    throw new Error('no answer');
  };

  it.each([
    ['done', 'completed', []],
    ['not done', 'compensated', ['compensate first']],
  ] as const)(
    'keeps a cancellation until it is settled as %s, and is not taken up over and over',
    async (as, end, compensated) => {
      const log: string[] = [];
      const asked = make(fails, log);
      const worker = await lab.worker([asked]);
      const run = await worker.sagas.start(asked, null);
      await lab.until(run.id, 'stuck');
      await lab.untilFree(run.id);
      await run.cancel();
      for (let look = 0; look < 20; look += 1) await worker.tick();
      const { rows } = await lab.test.pool.query<{ claims: number }>('SELECT claims FROM holdfast.saga_run');
      expect(rows[0]?.claims).toBeLessThanOrEqual(3);
      expect(log).toEqual([]);
      await lab.postRunMessage(run.id, { kind: 'resolve', call: 'ship', as, output: 'sent', ...ops });
      await lab.until(run.id, end);
      expect(log).toEqual(compensated);
    },
  );

  it('is not taken for a failure because a retry was refused', async () => {
    const log: string[] = [];
    let refused = false;
    const asked = make(async () => {
      if (refused) throw new PermanentError('no');
      throw new Error('no answer');
    }, log);
    const worker = await lab.worker([asked]);
    const run = await worker.sagas.start(asked, null);
    await lab.until(run.id, 'stuck');
    refused = true;
    await lab.untilFree(run.id);
    await lab.postRunMessage(run.id, { kind: 'retry', ...ops });
    await lab.untilEvent(run.id, 'retried');
    expect(await lab.stuck(run.id)).toMatchObject({ why: 'in doubt', call: 'ship' });
    expect(log).toEqual([]);
  });
});

describe('a child that is to be compensated', () => {
  const parentOf = (kid: AnySaga, fail: Promise<void>) =>
    saga({
      name: 'parent',
      input: z.null(),
      steps: { kid: child(kid as never), fail: step({ run: () => fail, retry: { attempts: 1 } }) },
      async run({ steps }) {
        await Promise.all([(steps.kid as (input: null) => Promise<unknown>)(null), steps.fail()]);
      },
    });

  it('tells its parent that its pivot has happened meanwhile', async () => {
    const began = gate();
    const happens = gate();
    const fail = gate();
    const kid = saga({
      name: 'kid',
      input: z.null(),
      steps: {
        ship: step({
          pivot: true,
          run: () => {
            began.open();
            return happens.promise;
          },
        }),
      },
      run: ({ steps }) => steps.ship(),
    });
    const parent = parentOf(kid, fail.promise);
    const worker = await lab.worker([parent, kid]);
    const run = await worker.sagas.start(parent, null);
    await began.promise;
    fail.fail(new Error('broken'));
    await lab.untilEvent(run.id, 'compensating', 'kid');
    for (let look = 0; look < 5; look += 1) await worker.tick();
    happens.open();
    expect(await lab.stuck(run.id)).toMatchObject({ why: 'compensation', call: 'kid' });
  });

  it('goes on being compensated by another worker although it had been done', async () => {
    const began = gate();
    const fail = gate();
    let tries = 0;
    const kid = saga({
      name: 'kid',
      input: z.null(),
      steps: {
        a: step({
          run: async () => 1,
          compensate: () => {
            began.open();
            tries += 1;
            return tries === 1 ? new Promise<void>(() => {}) : Promise.resolve();
          },
        }),
      },
      run: ({ steps }) => steps.a(),
    });
    const parent = parentOf(kid, fail.promise);
    const first = await lab.worker([parent, kid]);
    const run = await first.sagas.start(parent, null);
    await lab.untilEvent(run.id, 'done', 'kid');
    fail.fail(new Error('broken'));
    await began.promise;
    await lab.takeOver(first.id);
    await first.stop({ signal: AbortSignal.abort() });
    await lab.worker([parent, kid]);
    await lab.until(run.id, 'compensated');
    expect(tries).toBe(2);
  });
});
