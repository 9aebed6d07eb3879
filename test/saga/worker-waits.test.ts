/** Waits, memory, cancellation and deadlines, on PostgreSQL. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { message } from '../../src/message/message-type.ts';
import { saga } from '../../src/saga/definition/definition.ts';
import { command } from '../../src/saga/kinds/command.ts';
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

const compensated = (reason: string) => ({ code: 'HF_SAGA_UNDONE', details: { reason } });

describe.each([
  ['kept in memory', 1_000],
  ['out of memory', 0],
])('a wait %s', (_, waiting) => {
  it('ends with its time', async () => {
    const sleepy = saga({
      name: 'sleepy',
      input: z.null(),
      signals: { word: z.string() },
      steps: {},
      async run({ sleep, sleepUntil, waitFor, now }) {
        const began = now().getTime();
        await sleep('30ms');
        await sleepUntil(new Date(began + 60));
        await sleepUntil(new Date(0));
        const nothing = await waitFor('word', { timeout: '20ms' });
        return { nothing, slept: now().getTime() - began >= 80 };
      },
    });
    const worker = await lab.worker([sleepy], { waiting });
    const run = await worker.sagas.start(sleepy, null);
    expect(await run.result({ timeout: '20s' })).toEqual({ nothing: null, slept: true });
  });

  it('ends with its signal, whether that came before or after', async () => {
    const listening = saga({
      name: 'listening',
      input: z.null(),
      signals: { word: z.string(), go: z.null() },
      steps: {},
      async run({ waitFor }) {
        await waitFor('go');
        return [await waitFor('word', { timeout: '1h' }), await waitFor('word'), await waitFor('word')];
      },
    });
    const worker = await lab.worker([listening], { waiting });
    const run = await worker.sagas.start(listening, null);
    await run.signal('word', 'a', { id: '1' });
    await run.signal('word', 'a again', { id: '1' });
    await run.signal('word', 'b');
    await lab.untilEvent(run.id, 'signal');
    await run.signal('go', null);
    await lab.untilEvent(run.id, 'called', 'wait:word#3');
    await lab.database
      .transaction(async (tx) => {
        await run.signal('word', 'never', { tx });
        throw new Error('rolled back');
      })
      .catch(() => {});
    await lab.database.transaction((tx) => run.signal('word', 'c', { tx }));
    expect(await run.result({ timeout: '20s' })).toEqual(['a', 'b', 'c']);
  });
});

it('every wait leaves memory where none may stay', async () => {
  const waits = saga({
    name: 'waits',
    input: z.null(),
    signals: { go: z.null() },
    steps: {},
    run: ({ waitFor }) => waitFor('go'),
  });
  const worker = await lab.worker([waits], { waiting: 0, concurrency: 2 });
  const runs = await Promise.all(Array.from({ length: 6 }, () => worker.sagas.start(waits, null)));
  for (const { id } of runs) await lab.untilFree(id);
  // The database knows it a moment before the worker does.
  const { inMemory, waiting } = await eventually('the worker to let go', () =>
    Promise.resolve(worker.progress.inMemory === 0 && worker.progress),
  );
  expect({ inMemory, waiting }).toEqual({ inMemory: 0, waiting: 0 });
  for (const run of runs) await run.signal('go', null);
  for (const run of runs) await run.result({ timeout: '20s' });
});

describe.each(['cancel', 'deadline'] as const)('%s', (how) => {
  const reason = how === 'cancel' ? 'cancelled' : 'timed out';
  const log: string[] = [];
  let began = gate();
  const flow = saga({
    name: `flow-${how}`,
    input: z.enum(['step', 'wait', 'behind']),
    signals: { go: z.null() },
    steps: {
      first: step({ run: () => {}, compensate: () => void log.push('compensate first') }),
      hang: step({
        run: (_: void, { signal }) =>
          new Promise<void>((_resolve, reject) => {
            signal.addEventListener('abort', () => reject(signal.reason as Error));
            began.open();
          }),
        // Longer than the deadline: the clock that is moved past both would else meet attempt after attempt, as many as were
        // committed meanwhile, and with the last of them the step fails.
        timeout: '1h',
        compensate: ({ outcome }) => void log.push(`compensate hang ${outcome}`),
      }),
      pivot: step({ run: () => {}, pivot: true }),
    },
    async run({ input, steps, waitFor }) {
      await steps.first();
      if (input === 'step') await steps.hang();
      if (input === 'behind') await steps.pivot();
      await waitFor('go');
      return 'through';
    },
  });

  async function started(input: 'step' | 'wait' | 'behind') {
    log.length = 0;
    began = gate();
    const clock = createManualClock(Date.now());
    const worker = await lab.worker([flow], how === 'deadline' ? { clock } : {});
    const sagas = lab.client([flow]);
    const { id } = await sagas.start(flow, input, how === 'deadline' ? { deadline: '10m' } : {});
    await worker.tick();
    const run = sagas.handle(flow, id);
    const strike = async (): Promise<unknown> => {
      if (how === 'cancel') return run.cancel({ reason: 'changed my mind', actor: 'ann' });
      await clock.advance('11m');
      await lab.test.pool.query('UPDATE holdfast.saga_run SET wake_at = now() WHERE worker IS NULL');
      await worker.tick();
    };
    const ticking = <T>(promise: Promise<T>): Promise<T> => lab.ticking(worker, promise);
    return { run, strike, ticking };
  }

  it('before the first step: nothing is begun that need not be', async () => {
    log.length = 0;
    const run = await lab.client([flow]).start(flow, 'wait', how === 'deadline' ? { deadline: '1ms' } : {});
    if (how === 'cancel') await run.cancel();
    await lab.worker([flow]);
    await expect(run.result({ timeout: '20s' })).rejects.toMatchObject(compensated(reason));
    expect(log).toEqual([]);
    // A cancellation is taken before the code is run at all; a deadline, when the first step would begin.
    const story = await lab.story(run.id);
    expect(story.filter((event) => event !== 'called first' && event !== 'failed first')).toEqual([
      'undoing',
      'undone',
    ]);
  });

  it('during a step, which is aborted and in doubt', async () => {
    const { run, strike, ticking } = await started('step');
    await began.promise;
    await strike();
    await expect(ticking(run.result({ timeout: '20s' }))).rejects.toMatchObject(compensated(reason));
    expect(log).toEqual(['compensate hang unknown', 'compensate first']);
  });

  it('during a wait', async () => {
    const { run, strike, ticking } = await started('wait');
    await lab.untilEvent(run.id, 'called', 'wait:go#1');
    await strike();
    await expect(ticking(run.result({ timeout: '20s' }))).rejects.toMatchObject(compensated(reason));
    expect(log).toEqual(['compensate first']);
    await expect(run.signal('go', null)).rejects.toMatchObject({ code: 'HF_SAGA_FINISHED' });
  });

  it('behind the pivot is refused', async () => {
    const { run, strike, ticking } = await started('behind');
    await lab.untilEvent(run.id, 'called', 'wait:go#1');
    if (how === 'cancel') await expect(strike()).rejects.toMatchObject({ code: 'HF_SAGA_PIVOTED' });
    else {
      await strike();
      await ticking(lab.untilEvent(run.id, 'refused'));
    }
    await run.signal('go', null);
    expect(await ticking(run.result({ timeout: '20s' }))).toBe('through');
    expect(log).toEqual([]);
  });

  it('a second time changes nothing', async () => {
    const { run, strike, ticking } = await started('wait');
    await lab.untilEvent(run.id, 'called', 'wait:go#1');
    await strike();
    await run.cancel().catch(() => {});
    await expect(ticking(run.result({ timeout: '20s' }))).rejects.toMatchObject(compensated(reason));
    expect((await lab.story(run.id)).filter((event) => event === 'undoing')).toHaveLength(1);
  });
});

describe('a cancellation while the pivot is in flight', () => {
  const Ask = message('ask', { schema: z.string() });
  const asking = saga({
    name: 'asking',
    input: z.null(),
    signals: { go: z.null() },
    steps: { first: step({ run: () => {}, compensate: () => {} }), ask: command(Ask, { pivot: true, timeout: '1h' }) },
    async run({ steps, waitFor }) {
      await steps.first();
      await steps.ask('x');
      await waitFor('go');
      return 'through';
    },
  });

  it.each([
    ['done', 1_000],
    ['rejected', 1_000],
    ['done', 0],
    ['rejected', 0],
  ] as const)('waits for its outcome (%s), with %i waiting runs in memory', async (outcome, waiting) => {
    const worker = await lab.worker([asking], { waiting });
    const run = await worker.sagas.start(asking, null);
    await lab.untilEvent(run.id, 'called', 'ask');
    await run.cancel({ actor: 'ann' });
    await worker.tick();
    await worker.tick();
    const before = worker.progress.commits;
    for (let n = 0; n < 20; n += 1) await worker.tick();
    // It is not taken up and let go over and over.
    expect(worker.progress.commits - before).toBeLessThan(3);
    expect(await lab.story(run.id)).not.toContain('undoing');
    await lab.postRunMessage(run.id, { kind: 'reply', call: 'ask', to: 'command', outcome });
    if (outcome === 'rejected') {
      await expect(run.result({ timeout: '20s' })).rejects.toMatchObject(compensated('cancelled'));
      return;
    }
    expect(await lab.untilEvent(run.id, 'refused')).toMatchObject({ what: 'cancel', actor: 'ann' });
    await run.signal('go', null);
    expect(await run.result({ timeout: '20s' })).toBe('through');
  });
});

describe('what a signal costs a run with a long journal', () => {
  const STEPS = 300;
  const looping = (timeout: '9s' | '1h') =>
    saga({
      name: 'looping',
      input: z.null(),
      signals: { go: z.number() },
      steps: { page: step({ run: (page: number) => page }) },
      async run({ steps, waitFor }) {
        let told = 0;
        for (let page = 0; page < STEPS; page += 1) await steps.page(page, { id: `p${page}` });
        for (let round = 0; round < 3; round += 1) {
          told += (await waitFor('go', { timeout })) ?? 0;
          await steps.page(told, { id: `told${round}` });
        }
        return told;
      },
    });
  async function claimsOf(timeout: '9s' | '1h', waiting: number): Promise<number> {
    const of = looping(timeout);
    const worker = await lab.worker([of], { waiting });
    const run = await worker.sagas.start(of, null);
    for (const round of [1, 2, 3]) {
      await lab.untilEvent(run.id, 'called', `wait:go#${round}`);
      if (timeout === '1h') await lab.untilFree(run.id);
      await run.signal('go', round);
    }
    expect(await run.result({ timeout: '60s' })).toBe(6);
    const { rows } = await lab.test.pool.query<{ claims: number }>('SELECT claims FROM holdfast.saga_run');
    return rows[0]?.claims ?? 0;
  }

  it('is nothing that grows with the journal while it is in memory: it is not read again', async () => {
    expect(await claimsOf('9s', 1_000)).toBe(1);
  });

  it('is one reading of it when it had left memory', async () => {
    expect(await claimsOf('1h', 0)).toBe(4);
  });
});
