/** What nobody throws on purpose makes a run stuck, from where it goes on when the code is mended; what is meant compensates it. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { message } from '../../src/message/message-type.ts';
import { retryRun } from '../../src/operations/sagas/saga-interventions.ts';
import { saga } from '../../src/saga/definition/definition.ts';
import { emit } from '../../src/saga/kinds/emit.ts';
import { step } from '../../src/saga/kinds/step.ts';
import { transaction } from '../../src/saga/kinds/transaction.ts';
import { openLab, type Lab } from './lab.ts';

let lab: Lab;
beforeAll(async () => {
  lab = await openLab();
});
afterEach(() => lab.settle());
afterAll(() => lab.dispose());

const retry = (id: string): Promise<unknown> => retryRun(lab.database, id, { actor: 'ann', reason: 'mended' });

/** A release with a bug, and the one that mends it, which another worker has. */
function release(run: () => unknown) {
  const compensated: string[] = [];
  const place = saga({
    name: 'place',
    input: z.null(),
    steps: { reserve: step({ run: () => 'r', compensate: () => void compensated.push('reserve') }) },
    async run({ steps }) {
      await steps.reserve();
      return run();
    },
  });
  return { place, compensated };
}

describe('in `run`', () => {
  it('a TypeError after a release compensates none of the runs; they go on when it is mended', async () => {
    let mended = false;
    const order = { lines: undefined as unknown as number[] };
    const { place, compensated } = release(() => (mended ? 'placed' : order.lines.length));
    const worker = await lab.worker([place]);
    const runs = await Promise.all(Array.from({ length: 20 }, () => worker.sagas.start(place, null)));
    for (const { id } of runs) expect(await lab.stuck(id)).toMatchObject({ why: 'code', message: /undefined/ });
    mended = true;
    for (const { id } of runs) await retry(id);
    for (const { id } of runs) await lab.until(id, 'completed');
    for (const run of runs) expect(await run.result()).toBe('placed');
    expect(compensated).toEqual([]);
  });

  it('can be compensated all the same, when a person says so', async () => {
    const { place, compensated } = release(() => {
      throw new ReferenceError('total is not defined');
    });
    const worker = await lab.worker([place]);
    const run = await worker.sagas.start(place, null);
    await lab.stuck(run.id);
    await run.cancel({ reason: 'give up' });
    await lab.until(run.id, 'compensated');
    expect(compensated).toEqual(['reserve']);
  });

  it.each([
    ['a duration that cannot be read', { sleep: '3 fortnights' }],
    ['a result that JSON cannot carry', { result: new Map() }],
  ])('%s is no failure of the business', async (_, { sleep, result }: { sleep?: string; result?: unknown }) => {
    const compensated: string[] = [];
    const odd = saga({
      name: 'odd',
      input: z.null(),
      steps: { reserve: step({ run: () => 'r', compensate: () => void compensated.push('reserve') }) },
      async run({ steps, ...context }) {
        await steps.reserve();
        if (sleep !== undefined) await context.sleep(sleep as never);
        return result as string;
      },
    });
    const worker = await lab.worker([odd]);
    const run = await worker.sagas.start(odd, null);
    expect(await lab.stuck(run.id)).toMatchObject({ why: 'code' });
    expect(compensated).toEqual([]);
  });

  it('a plain error is meant, and what the saga or its worker names as meant', async () => {
    const plain = release(() => {
      throw new Error('no');
    });
    const named = release(() => {
      throw new RangeError('over the limit');
    });
    const worker = await lab.worker([plain.place]);
    const run = await worker.sagas.start(plain.place, null);
    await lab.until(run.id, 'compensated');
    await worker.stop();
    const lenient = await lab.worker([named.place], { errors: { compensate: [RangeError] } });
    const second = await lenient.sagas.start(named.place, null);
    await lab.until(second.id, 'compensated');
    expect([...plain.compensated, ...named.compensated]).toEqual(['reserve', 'reserve']);
  });
});

describe('in a step', () => {
  it('is tried again as often as any failure, then stuck, and attempted anew when it is mended', async () => {
    let mended = false;
    let attempts = 0;
    const compensated: string[] = [];
    const place = saga({
      name: 'place',
      input: z.null(),
      steps: {
        reserve: step({ run: () => 'r', compensate: () => void compensated.push('reserve') }),
        pay: step({
          run() {
            attempts += 1;
            if (mended) return 'paid';
            throw new TypeError('gateway.charge is not a function');
          },
          retry: { attempts: 3, base: 1 },
          compensate: () => void compensated.push('pay'),
        }),
      },
      async run({ steps }) {
        await steps.reserve();
        return steps.pay();
      },
    });
    const worker = await lab.worker([place]);
    const run = await worker.sagas.start(place, null);
    expect(await lab.stuck(run.id)).toMatchObject({ why: 'code', call: 'pay', message: /charge/ });
    expect(attempts).toBe(3);
    mended = true;
    await retry(run.id);
    await lab.until(run.id, 'completed');
    expect(await run.result()).toBe('paid');
    expect(compensated).toEqual([]);
  });

  it('an attempt that threw it may have happened: a later no of the step does not hide that', async () => {
    let mended = false;
    const compensated: unknown[] = [];
    const place = saga({
      name: 'place',
      input: z.null(),
      steps: {
        pay: step({
          run() {
            if (!mended) throw new TypeError('after the charge was made');
            throw new Error('meant');
          },
          retry: { attempts: 1 },
          compensate: ({ outcome }) => void compensated.push(outcome),
        }),
      },
      run: ({ steps }) => steps.pay(),
    });
    const worker = await lab.worker([place]);
    const run = await worker.sagas.start(place, null);
    await lab.stuck(run.id);
    mended = true;
    await retry(run.id);
    await lab.until(run.id, 'compensated');
    expect(compensated).toEqual(['unknown']);
  });

  it('an output that cannot be recorded, and a bug in a transaction, stop at their calls', async () => {
    let mended = false;
    const wide = saga({
      name: 'wide',
      input: z.null(),
      steps: {
        read: step({ run: () => (mended ? 'text' : (new Map() as unknown as string)) }),
        book: transaction({
          async run(_: void, { tx }) {
            await tx.query("INSERT INTO effect (what) VALUES ('booked')");
            if (!mended) throw new TypeError('x');
            return 'booked';
          },
          retry: { attempts: 2, base: 1 },
        }),
      },
      run: async ({ steps }) => Promise.all([steps.read(), steps.book()]),
    });
    const worker = await lab.worker([wide]);
    const run = await worker.sagas.start(wide, null);
    await lab.stuck(run.id);
    await lab.untilFree(run.id);
    mended = true;
    await retry(run.id);
    await lab.until(run.id, 'completed');
    expect(await run.result()).toEqual(['text', 'booked']);
    const { rows } = await lab.test.pool.query('SELECT what FROM effect');
    expect(rows).toEqual([{ what: 'booked' }]);
  });

  it('a call whose message cannot be made is made anew, and so are those behind it', async () => {
    let mended = false;
    const Broken = message('payment.take', {
      schema: z.object({ amount: z.number() }).transform((pay) => {
        if (!mended) throw new TypeError('pay.currency is undefined');
        return pay;
      }),
    });
    const order = saga({
      name: 'order',
      input: z.null(),
      steps: { pay: emit(Broken), note: step({ run: () => 'noted' }) },
      async run({ steps }) {
        const paid = steps.pay({ amount: 1 });
        const noted = await steps.note();
        await paid;
        return noted;
      },
    });
    const worker = await lab.worker([order]);
    const run = await worker.sagas.start(order, null);
    expect(await lab.stuck(run.id)).toMatchObject({ why: 'code', message: /currency/ });
    expect(await lab.story(run.id)).toEqual(['stuck']);
    mended = true;
    await retry(run.id);
    await lab.until(run.id, 'completed');
    expect(await lab.story(run.id)).toEqual([
      'stuck',
      'retried',
      'called pay',
      'called note',
      'done pay',
      'done note',
      'completed',
    ]);
  });

  it('stands behind a fallback, and behind what the network does', async () => {
    const place = saga({
      name: 'place',
      input: z.null(),
      steps: {
        price: step({
          run(): number {
            throw new TypeError('x');
          },
          retry: { attempts: 1 },
          fallback: () => 7,
        }),
        pay: step({
          run() {
            throw new TypeError('fetch failed', { cause: new Error('ECONNREFUSED') });
          },
          retry: { attempts: 1 },
        }),
      },
      async run({ steps }) {
        await steps.price();
        await steps.pay();
      },
    });
    const worker = await lab.worker([place]);
    const run = await worker.sagas.start(place, null);
    await lab.until(run.id, 'compensated');
    expect(await lab.story(run.id)).toContain('done price');
  });

  it('at a pivot a cancel is refused until it is known whether it has happened', async () => {
    const place = saga({
      name: 'place',
      input: z.null(),
      steps: {
        pay: step({
          pivot: true,
          run() {
            throw new TypeError('x');
          },
          retry: { attempts: 1 },
        }),
      },
      run: ({ steps }) => steps.pay(),
    });
    const worker = await lab.worker([place]);
    const run = await worker.sagas.start(place, null);
    expect(await lab.stuck(run.id)).toMatchObject({ why: 'code', call: 'pay' });
    await lab.postRunMessage(run.id, { kind: 'cancel', reason: 'too late' });
    await lab.untilEvent(run.id, 'refused');
    expect((await lab.view(run.id)).status).toBe('stuck');
  });
});
