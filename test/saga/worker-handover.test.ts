/**
 * Runs that would be lost between two hands: let go while something comes for them, claimed again before that is known, broken while
 * they are committed, and those whose parent or person waits for a word of them.
 */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { PermanentError, Rejection, type HoldfastError } from '../../src/errors.ts';
import { message } from '../../src/message/message-type.ts';
import { DEFAULT_MAX_BYTES } from '../../src/outbox/prepare.ts';
import type { TransactionHandle } from '../../src/postgres/executor.ts';
import { noCrash } from '../../src/runtime/crash-point.ts';
import { silentLogger } from '../../src/runtime/log.ts';
import { noopMetrics } from '../../src/runtime/metrics.ts';
import { systemClock } from '../../src/runtime/clock.ts';
import { createRegistry, saga, type AnySaga } from '../../src/saga/definition/definition.ts';
import { createPostgresClientStore } from '../../src/saga/store/postgres/postgres-client-store.ts';
import { createPostgresWorkerStore } from '../../src/saga/store/postgres/postgres-worker-store.ts';
import { child } from '../../src/saga/kinds/child.ts';
import { command } from '../../src/saga/kinds/command.ts';
import { emit } from '../../src/saga/kinds/emit.ts';
import { step } from '../../src/saga/kinds/step.ts';
import { transaction } from '../../src/saga/kinds/transaction.ts';
import type { RunCommit, WorkerStore } from '../../src/saga/store/store.ts';
import { DEFAULT_JOURNAL_LIMITS } from '../../src/saga/journal/growth.ts';
import { DEFAULT_REPLY_TOPIC } from '../../src/saga/protocol/wire.ts';
import { createWorkerCore, type WorkerOn } from '../../src/saga/worker/worker-core.ts';
import { gate, openLab, type Lab } from './lab.ts';

let lab: Lab;
beforeAll(async () => {
  lab = await openLab();
});
afterEach(() => lab.settle());
afterAll(() => lab.dispose());

const ops = { actor: 'ann', reason: 'looked it up' };

/** A worker whose commits go through `commit`, and its claims through `claim`. */
async function workerOver(
  sagas: readonly AnySaga[],
  commit: (runs: readonly RunCommit[], go: () => Promise<void>) => Promise<void>,
  claim: (go: WorkerStore['claim']) => WorkerStore['claim'] = (go) => go,
): Promise<{ readonly worker: WorkerOn<TransactionHandle>; readonly stop: () => Promise<void> }> {
  const inner = createPostgresWorkerStore({ database: lab.database });
  const store: WorkerStore = {
    ...inner,
    commit: (workerId, runs) => commit(runs, () => inner.commit(workerId, runs)),
    claim: claim((workerId, wanted) => inner.claim(workerId, wanted)),
  };
  const worker = createWorkerCore<TransactionHandle>({
    store,
    clientStore: createPostgresClientStore({ database: lab.database }),
    registry: createRegistry(sagas, 'test'),
    name: 'test',
    leaseMs: 3_600_000,
    concurrency: 100,
    mostWaiting: 0,
    settings: { maxBytes: DEFAULT_MAX_BYTES, replyTo: DEFAULT_REPLY_TOPIC, ...DEFAULT_JOURNAL_LIMITS },
    clock: systemClock,
    random: () => 0,
    log: silentLogger,
    metrics: noopMetrics,
    crashPoint: noCrash,
    idlePollMs: 20,
    setAsleep: async () => false,
  });
  await worker.start();
  return {
    worker,
    async stop() {
      await worker.stop({ signal: AbortSignal.timeout(5_000) });
      await inner.close();
    },
  };
}

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
    const { worker, stop } = await workerOver([listening], async (runs, go) => {
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
    const { worker, stop } = await workerOver([booking], async (_runs, go) => {
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
