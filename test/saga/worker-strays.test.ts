/** Rejections that nobody awaits, and async contexts, on PostgreSQL: each run's are its own. */
import { AsyncLocalStorage } from 'node:async_hooks';
import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { createConsumer } from '../../src/inbox/consumer.ts';
import { on } from '../../src/inbox/handlers/handler.ts';
import { message } from '../../src/message/message-type.ts';
import { retryRun } from '../../src/operations/sagas/saga-interventions.ts';
import { saga } from '../../src/saga/definition/definition.ts';
import { step } from '../../src/saga/kinds/step.ts';
import { transaction } from '../../src/saga/kinds/transaction.ts';
import { createMemoryTransport } from '../../src/transport/memory.ts';
import { rememberingLogger } from '../support/failing-observers.ts';
import { gate, openLab, type Lab } from './lab.ts';

let lab: Lab;
/** What a service that embeds a worker does, as many do: whatever nobody awaits ends the process. */
const heard: unknown[] = [];
const listener = (error: unknown): void => void heard.push(error);
beforeAll(async () => {
  lab = await openLab();
  process.on('unhandledRejection', listener);
});
afterEach(async () => {
  await lab.settle();
  expect(heard.splice(0)).toEqual([]);
});
afterAll(async () => {
  process.off('unhandledRejection', listener);
  await lab.dispose();
});

const Placed = message('order.placed', { schema: z.object({ n: z.number() }) });

/** Two helpers, the second of which fails while the first is in a step; and how the code goes on. */
function twoBranches(goOn: (a: Promise<string>, b: Promise<string>) => Promise<unknown>, error: () => Error) {
  const slow = gate();
  const compensated: string[] = [];
  return {
    slow,
    compensated,
    flow: saga({
      name: 'branches',
      input: z.null(),
      steps: {
        pick: step({ run: () => slow.promise.then(() => 'picked'), compensate: () => void compensated.push('pick') }),
        check: step({ run: () => 'checked', compensate: () => void compensated.push('check') }),
        last: step({ run: () => 'last' }),
      },
      async run({ steps }) {
        const goods = async (): Promise<string> => steps.pick();
        const money = async (): Promise<string> => {
          await steps.check();
          throw error();
        };
        const a = goods();
        const b = money();
        const result = await goOn(a, b);
        await steps.last();
        return result;
      },
    }),
  };
}

describe('a branch that fails while nobody awaits it', () => {
  it('fails its run where it is awaited, and neither the process nor the runs beside it', async () => {
    const log = rememberingLogger();
    const { flow, slow, compensated } = twoBranches(
      async (a, b) => [await a, await b],
      () => new Error('no money'),
    );
    const innocent = saga({
      name: 'innocent',
      input: z.null(),
      steps: { work: step({ run: () => slow.promise.then(() => 'worked') }) },
      run: ({ steps }) => steps.work(),
    });
    const worker = await lab.worker([flow, innocent], { log });
    const { id } = worker;
    const others = await Promise.all(Array.from({ length: 20 }, () => worker.sagas.start(innocent, null)));
    const run = await worker.sagas.start(flow, null);
    await lab.untilEvent(run.id, 'done', 'check');
    slow.open();
    await lab.until(run.id, 'compensated');
    for (const other of others) expect(await other.result({ timeout: '30s' })).toBe('worked');
    expect(worker.id).toBe(id);
    expect(compensated).toEqual(['check', 'pick']);
    const said = log.lines.find(({ message: text }) => text.startsWith('a branch of the code'));
    expect(said?.fields).toMatchObject({ run: run.id, saga: 'branches', err: { message: 'no money' } });
  });

  it('and is caught later, is caught', async () => {
    const { flow, slow } = twoBranches(
      async (a, b) => [await a, await b.catch((error: unknown) => (error as Error).message)],
      () => new Error('no money'),
    );
    const worker = await lab.worker([flow]);
    const run = await worker.sagas.start(flow, null);
    await lab.untilEvent(run.id, 'done', 'check');
    slow.open();
    expect(await run.result({ timeout: '30s' })).toEqual(['picked', 'no money']);
  });

  it('and is never awaited, fails the run at its end; a bug makes it stuck, until it is mended', async () => {
    let mended = false;
    const { flow, slow, compensated } = twoBranches(
      async (a) => a,
      () => (mended ? (null as unknown as Error) : new TypeError('money.take is not a function')),
    );
    const worker = await lab.worker([flow]);
    const run = await worker.sagas.start(flow, null);
    slow.open();
    expect(await lab.stuck(run.id)).toMatchObject({ why: 'code', message: 'money.take is not a function' });
    expect(compensated).toEqual([]);
    mended = true;
    await run.cancel();
    await lab.until(run.id, 'compensated');
    expect(compensated).toEqual(['check', 'pick']);
  });

  it('fails the same at a replay', async () => {
    let mended = false;
    const work = gate();
    const flow = saga({
      name: 'again',
      input: z.null(),
      steps: { check: step({ run: () => 'checked' }), work: step({ run: () => work.promise }) },
      async run({ steps }) {
        void (async () => {
          await steps.check();
          if (!mended) throw new TypeError('x');
        })();
        await steps.work();
        return 'over';
      },
    });
    const first = await lab.worker([flow], { waiting: 0 });
    const run = await first.sagas.start(flow, null);
    await lab.untilEvent(run.id, 'done', 'check');
    work.open();
    await lab.stuck(run.id);
    mended = true;
    await retryRun(lab.database, run.id, { actor: 'ann', reason: 'mended' });
    await lab.until(run.id, 'completed');
  });
});

it('a promise that a step leaves behind is said, with its step, and ends nothing', async () => {
  const log = rememberingLogger();
  const left = gate();
  const flow = saga({
    name: 'leaves',
    input: z.null(),
    steps: {
      send: step({
        run() {
          void left.promise.then(() => {
            throw new Error('the mail was refused');
          });
          return 'sent';
        },
      }),
      book: transaction({
        async run() {
          void Promise.reject(new Error('the cache is away'));
        },
      }),
    },
    async run({ steps }) {
      await steps.send();
      await steps.book();
    },
  });
  const worker = await lab.worker([flow], { log });
  const run = await worker.sagas.start(flow, null);
  await run.result({ timeout: '30s' });
  left.open();
  await new Promise((resolve) => setImmediate(resolve));
  const said = log.lines.filter(({ message: text }) => text.startsWith('a promise that a step left'));
  expect(said.map(({ fields }) => [fields['call'], (fields['err'] as Error).message])).toEqual([
    ['book', 'the cache is away'],
    ['send', 'the mail was refused'],
  ]);
});

describe('async contexts', () => {
  const tenant = new AsyncLocalStorage<string>();

  it('of who starts runs are seen by none of their steps, nor those of others', async () => {
    const seen: unknown[] = [];
    const note = (): void => void seen.push(tenant.getStore());
    const flow = saga({
      name: 'contexts',
      input: z.null(),
      steps: {
        first: step({ run: note }),
        book: transaction({ run: note }),
        fails: step({ run: () => Promise.reject(new Error('no')), retry: { attempts: 1 }, fallback: note }),
      },
      async run({ steps }) {
        note();
        await steps.first();
        await steps.book();
        note();
        await steps.fails();
      },
    });
    const worker = await tenant.run('starter of the worker', () => lab.worker([flow]));
    const runs = await Promise.all(
      ['a', 'b', 'c'].map((each) => tenant.run(each, () => worker.sagas.start(flow, null))),
    );
    for (const run of runs) await run.result({ timeout: '30s' });
    expect(seen).toEqual(Array.from({ length: 15 }, () => undefined));
  });

  it('and stray promises of handlers are their own', async () => {
    const log = rememberingLogger();
    const seen: unknown[] = [];
    const shipping = createConsumer(`contexts-${randomUUID()}`, {
      database: lab.database,
      transport: createMemoryTransport(),
      log,
      redeliveryHorizon: '1d',
      handlers: [
        on(Placed, async () => {
          seen.push(tenant.getStore());
          void Promise.reject(new Error('left behind'));
        }),
      ],
    });
    const id = randomUUID();
    const wire = JSON.stringify({
      specversion: '1.0',
      holdfast: 1,
      schemaversion: 1,
      source: 'test',
      id,
      type: 'order.placed',
      time: new Date().toISOString(),
      datacontenttype: 'application/json',
      data: { n: 1 },
    });
    await tenant.run('broker', () => shipping.handle({ wire, redeliveries: 0, signal: new AbortController().signal }));
    expect(seen).toEqual([undefined]);
    expect(log.lines.filter(({ fields }) => fields['id'] === id && fields['err'] !== undefined)).toHaveLength(1);
  });
});
