/** Children, code that does not fit, versions, takeovers and limits, on PostgreSQL. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { PermanentError } from '../../src/errors.ts';
import { saga, type AnySaga } from '../../src/saga/definition/definition.ts';
import { child } from '../../src/saga/kinds/child.ts';
import { step } from '../../src/saga/kinds/step.ts';
import { transaction } from '../../src/saga/kinds/transaction.ts';
import { eventually } from '../support/eventually.ts';
import { gate, openLab, type Lab } from './lab.ts';

let lab: Lab;
beforeAll(async () => {
  lab = await openLab();
});
afterEach(() => lab.settle());
afterAll(() => lab.dispose());

const ops = { actor: 'ann', reason: 'looked it up' };
const compensated = { code: 'HF_SAGA_UNDONE' };

describe('code that does not fit its journal', () => {
  const log: string[] = [];
  let others = gate();
  const steps = {
    a: step({ run: (n: number) => n, compensate: ({ output }) => void log.push(`compensate a ${output}`) }),
    b: step({ run: (n: number) => n, compensate: ({ output }) => void log.push(`compensate b ${output}`) }),
  };
  type Calls = { a: (n: number) => Promise<number>; b: (n: number) => Promise<number> };
  const make = (run: (calls: Calls) => Promise<unknown>) =>
    saga({
      name: 'shifting',
      input: z.null(),
      signals: { go: z.null() },
      steps,
      async run({ steps: calls, waitFor }) {
        const result = await run(calls);
        await waitFor('go');
        return result;
      },
    });
  const old = make(async ({ a, b }) => [await a(1), await b(2)]);

  async function under(code: AnySaga): Promise<{ id: string; message: string; stop: () => Promise<void> }> {
    log.length = 0;
    const first = await lab.worker([old]);
    const run = await first.sagas.start(old, null);
    await lab.untilEvent(run.id, 'called', 'wait:go#1');
    await first.stop();
    const second = await lab.worker([code]);
    await run.signal('go', null);
    const { why, message } = await lab.stuck(run.id);
    expect(why).toBe('non-determinism');
    await lab.untilFree(run.id);
    return { id: run.id, message, stop: () => second.stop() };
  }

  it.each<[string, AnySaga, string]>([
    [
      'in another order',
      make(async ({ a, b }) => [await b(2), await a(1)]),
      'has the call a (step) with 1; the code calls b (step) with 2',
    ],
    [
      'with another input',
      make(async ({ a, b }) => [await a(7), await b(2)]),
      'has the call a with the input 1; the code calls it with 7',
    ],
    [
      'without one',
      make(async ({ a }) => [await a(1)]),
      'has the call b (step) with 2; the code calls wait:go#1 (wait)',
    ],
    [
      'at the same time',
      make(({ a, b }) => Promise.all([b(2), a(1)])),
      'has the call a (step) with 1; the code calls b (step) with 2',
    ],
    [
      'not at all',
      make(() => Promise.reject(new Error('x'))),
      'has the call a (step) with 1; the code throws there: Error: x',
    ],
  ])('that calls %s is stuck with both sides, and goes on with fitting code', async (_, code, both) => {
    const { id, message, stop } = await under(code);
    expect(message).toContain(both);
    await lab.postRunMessage(id, { kind: 'retry', ...ops });
    await lab.untilEvent(id, 'retried');
    await eventually(
      'the second time it is found',
      async () => {
        return (await lab.story(id)).filter((event) => event === 'stuck').length === 2;
      },
      20_000,
    );
    await lab.untilFree(id);
    await stop();
    await lab.worker([old]);
    await lab.postRunMessage(id, { kind: 'retry', ...ops });
    expect(await lab.until(id, 'completed')).toMatchObject({ result: [1, 2], error: null });
  });

  it('is compensated from the journal alone', async () => {
    const { id } = await under(make(async ({ b }) => b(9)));
    await lab.client([old]).handle(old, id).cancel();
    await lab.until(id, 'compensated');
    expect(log).toEqual(['compensate b 2', 'compensate a 1']);
  });

  it.each<[string, () => Promise<unknown>]>([
    ['a timer', () => new Promise((resolve) => setTimeout(resolve, 3_600_000).unref())],
    ['what others do', () => others.promise],
    ['nothing that ever ends', () => new Promise(() => {})],
  ])('that awaits %s is found and named', async (_, outside) => {
    others = gate();
    const bad = make(async ({ a }) => {
      await a(1);
      await outside();
    });
    const worker = await lab.worker([bad]);
    const run = await worker.sagas.start(bad, null);
    await expect(run.result({ timeout: '20s' })).rejects.toMatchObject({
      code: 'HF_SAGA_STUCK',
      details: { why: 'outside await' },
      cause: { code: 'HF_OUTSIDE_AWAIT' },
    });
    others.open();
    await run.cancel();
    await lab.until(run.id, 'compensated');
  });
});

describe('children', () => {
  const log: string[] = [];
  const inner = saga({
    name: 'inner',
    input: z.enum(['good', 'bad', 'pivot', 'waits']),
    signals: { go: z.null() },
    steps: {
      work: step({ run: () => 'worked', compensate: () => void log.push('compensate inner') }),
      pivot: step({ run: () => {}, pivot: true }),
      fails: step({
        run: (): void => {
          throw new PermanentError('inside');
        },
      }),
    },
    async run({ input, steps, waitFor }) {
      const result = await steps.work();
      if (input === 'pivot') await steps.pivot();
      if (input === 'bad') await steps.fails();
      if (input === 'waits') await waitFor('go');
      return result;
    },
  });
  const outer = saga({
    name: 'outer',
    input: z.enum(['good', 'bad', 'pivot', 'waits']),
    signals: { go: z.null() },
    steps: {
      first: step({ run: () => {}, compensate: () => void log.push('compensate first') }),
      inner: child(inner),
      last: step({ run: () => {}, compensate: () => void log.push('compensate last') }),
    },
    async run({ input, steps, waitFor }) {
      await steps.first();
      const result = await steps.inner(input);
      await steps.last();
      await waitFor('go');
      return result;
    },
  });
  const childOf = async (id: string): Promise<string> => (await lab.untilEvent(id, 'called', 'inner')).child ?? '';

  async function started(input: 'good' | 'bad' | 'pivot' | 'waits') {
    log.length = 0;
    const worker = await lab.worker([outer, inner]);
    return worker.sagas.start(outer, input);
  }

  it('give their result, are held, and end with their parent', async () => {
    const run = await started('good');
    const id = await childOf(run.id);
    await lab.untilEvent(run.id, 'called', 'wait:go#1');
    expect(await lab.view(id)).toMatchObject({ status: 'waiting', result: null });
    await run.signal('go', null);
    expect(await run.result({ timeout: '20s' })).toBe('worked');
    expect(await lab.until(id, 'completed')).toMatchObject({ result: 'worked' });
  });

  it('that fail compensate themselves, and their parent with them', async () => {
    const run = await started('bad');
    await expect(run.result({ timeout: '20s' })).rejects.toMatchObject({
      ...compensated,
      cause: { message: 'inside' },
    });
    expect(log).toEqual(['compensate inner', 'compensate first']);
  });

  it.each(['good', 'waits'] as const)('that are %s are compensated in their place with their parent', async (input) => {
    const run = await started(input);
    const id = await childOf(run.id);
    if (input === 'good') await lab.untilEvent(run.id, 'called', 'wait:go#1');
    else await lab.untilEvent(id, 'called', 'wait:go#1');
    await run.cancel();
    await expect(run.result({ timeout: '20s' })).rejects.toMatchObject(compensated);
    expect(log).toEqual(
      input === 'good'
        ? ['compensate last', 'compensate inner', 'compensate first']
        : ['compensate inner', 'compensate first'],
    );
    expect((await lab.view(id)).status).toBe('compensated');
  });

  it('behind a pivot of their own refuse; skipped, they end as they are', async () => {
    const run = await started('pivot');
    const id = await childOf(run.id);
    await lab.untilEvent(run.id, 'called', 'wait:go#1');
    await run.cancel();
    expect(await lab.stuck(run.id)).toMatchObject({ why: 'compensation', call: 'inner' });
    await lab.untilFree(run.id);
    await lab.postRunMessage(run.id, { kind: 'skip', call: 'inner', ...ops });
    await lab.until(run.id, 'compensated');
    expect(log).toEqual(['compensate last', 'compensate first']);
    expect(await lab.until(id, 'completed')).toMatchObject({ result: 'worked' });
  });

  it('that are not done in time are compensated', async () => {
    const hasty = saga({
      name: 'hasty',
      input: z.null(),
      steps: { inner: child(inner, { timeout: '50ms' }) },
      run: ({ steps }) => steps.inner('waits').catch((error: unknown) => (error as { code: string }).code),
    });
    log.length = 0;
    const worker = await lab.worker([hasty, inner]);
    const run = await worker.sagas.start(hasty, null);
    expect(await run.result({ timeout: '20s' })).toBe('HF_STEP_TIMEOUT');
    expect((await lab.view(await childOf(run.id))).status).toBe('compensated');
    // On a busy machine its time is up before it has begun, or in the midst of its work, which is in doubt then.
    const story = await lab.story(await childOf(run.id));
    expect(log).toEqual(story.includes('compensated work') ? ['compensate inner'] : []);
    if (story.includes('done work')) expect(log).toEqual(['compensate inner']);
  });
});

describe('workers', () => {
  it('take the versions they have, and no others', async () => {
    const of = (version: number) =>
      saga({ name: 'versioned', version, input: z.null(), steps: {}, run: async () => version });
    const [v1, v2] = [of(1), of(2)];
    const sagas = lab.client([v1, v2]);
    const [one, two] = [await sagas.start(v1, null), await sagas.start(v2, null)];
    await lab.worker([v2]);
    expect(await two.result({ timeout: '20s' })).toBe(2);
    expect((await one.status()).status).toBe('pending');
    await lab.worker([v1, v2]);
    expect(await one.result({ timeout: '20s' })).toBe(1);
  });

  it.each([
    ['of the worker', { concurrency: 2 }, undefined],
    ['of the saga', {}, 2],
  ])('keep to the limit %s', async (_, options, concurrency) => {
    let now = 0;
    let most = 0;
    const busy = saga({
      name: 'busy',
      input: z.null(),
      concurrency,
      steps: {
        work: step({
          async run() {
            most = Math.max(most, (now += 1));
            for (let n = 0; n < 5; n += 1) await new Promise((resolve) => setImmediate(resolve));
            now -= 1;
          },
        }),
      },
      run: ({ steps }) => steps.work(),
    });
    const sagas = lab.client([busy]);
    const runs = await Promise.all(Array.from({ length: 8 }, () => sagas.start(busy, null)));
    await lab.worker([busy], options);
    for (const run of runs) await run.result({ timeout: '20s' });
    expect(most).toBe(2);
  });

  it('that lost their lease write nothing more; another one goes on', async () => {
    const tokens: number[] = [];
    const held = [gate(), gate()];
    const writing = saga({
      name: 'writing',
      input: z.null(),
      steps: {
        write: transaction({
          async run(_: void, { tx, fencingToken }) {
            tokens.push(fencingToken);
            const nth = tokens.length;
            await tx.query(`INSERT INTO effect (what) VALUES ('${nth}')`);
            await held[nth - 1]?.promise;
            return nth;
          },
        }),
      },
      run: ({ steps }) => steps.write(),
    });
    const [first, second] = [await lab.worker([writing]), await lab.worker([writing], { idlePoll: '20ms' })];
    const { id } = first;
    const run = await first.sagas.start(writing, null);
    await eventually('the first attempt', async () => tokens.length === 1, 20_000);
    await lab.takeOver(id);
    await eventually('the second attempt', async () => tokens.length === 2, 20_000);
    held[0]?.open();
    await eventually('the end of its life', async () => first.id !== id, 20_000).catch(() => {});
    expect((await lab.test.pool.query('SELECT what FROM effect')).rows).toEqual([]);
    held[1]?.open();
    expect((await lab.until(run.id, 'completed')).result).toBe(2);
    expect((await lab.test.pool.query('SELECT what FROM effect')).rows).toEqual([{ what: '2' }]);
    expect(tokens[1]).toBeGreaterThan(tokens[0] ?? Infinity);
    expect(second.id).not.toBe(id);
  });

  it('hand over at once when they are stopped', async () => {
    const began = gate();
    const go = gate();
    const seen: number[] = [];
    const two = saga({
      name: 'handed',
      input: z.null(),
      steps: {
        first: step({
          run() {
            began.open();
            return go.promise;
          },
        }),
        second: step({ run: (_: void, { fencingToken }) => void seen.push(fencingToken) }),
      },
      async run({ steps }) {
        await steps.first();
        await steps.second();
      },
    });
    const first = await lab.worker([two]);
    const run = await first.sagas.start(two, null);
    await began.promise;
    const stopped = first.stop();
    go.open();
    await stopped;
    expect(seen).toEqual([]);
    const { rows } = await lab.test.pool.query('SELECT lost FROM holdfast.saga_run WHERE worker IS NULL');
    expect(rows).toEqual([{ lost: 0 }]);
    await lab.worker([two]);
    await lab.until(run.id, 'completed');
    expect(seen).toEqual([2]);
  });

  it('start runs in the transaction of the caller, once for each key', async () => {
    const keyed = saga({ name: 'keyed', input: z.number(), steps: {}, run: async ({ input }) => input });
    const worker = await lab.worker([keyed]);
    let lost = '';
    await lab.database
      .transaction(async (tx) => {
        lost = (await worker.sagas.start(tx, keyed, 1, { key: 'k' })).id;
        throw new Error('no');
      })
      .catch(() => {});
    await expect(worker.sagas.handle(keyed, lost).status()).rejects.toMatchObject({ code: 'HF_NOT_FOUND' });
    const one = await lab.database.transaction((tx) => worker.sagas.start(tx, keyed, 2, { key: 'k' }));
    const again = await worker.sagas.start(keyed, 3, { key: 'k' });
    expect([one.created, again.created, again.id]).toEqual([true, false, one.id]);
    expect(await again.result({ timeout: '20s' })).toBe(2);
  });
});
