/** What was let in and comes too late all the same: the answer said so, or the run, its journal and the log do. On PostgreSQL. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { PermanentError } from '../../src/errors.ts';
import type { Logger } from '../../src/runtime/log.ts';
import { saga } from '../../src/saga/definition/definition.ts';
import { child } from '../../src/saga/kinds/child.ts';
import { step } from '../../src/saga/kinds/step.ts';
import { gate, openLab, type Lab } from './lab.ts';

let lab: Lab;
beforeAll(async () => {
  lab = await openLab();
});
afterEach(() => lab.settle());
afterAll(() => lab.dispose());

/** Keeps what a worker warns of. */
function listening(): { readonly log: Logger; readonly warned: { readonly what?: unknown; readonly msg: string }[] } {
  const warned: { what?: unknown; msg: string }[] = [];
  const log: Logger = {
    debug: () => {},
    info: () => {},
    warn: (fields, msg) => void warned.push({ ...fields, msg }),
    error: () => {},
    child: () => log,
  };
  return { log, warned };
}

/** A saga that is held in its pivot, which ends as the test wants. */
function paying() {
  const paid = gate();
  const rest = gate();
  let began = 0;
  const definition = saga({
    name: 'paying',
    input: z.null(),
    signals: { go: z.null() },
    deadline: '1d',
    steps: {
      reserve: step({ run: (_: null) => 'reserved', compensate: () => {} }),
      pay: step({
        pivot: true,
        retry: { attempts: 1 },
        run: (_: null) => {
          began += 1;
          return paid.promise;
        },
        compensate: () => {},
      }),
      send: step({ run: (_: null) => rest.promise }),
    },
    async run({ steps }) {
      await steps.reserve(null);
      await steps.pay(null).catch(() => {});
      await steps.send(null);
      return 'sent';
    },
  });
  return { definition, paid, rest, began: () => began };
}

describe('a cancellation while the pivot is under way', () => {
  it('is answered as undecided, and when the pivot is done the run says that each came too late', async () => {
    const { definition, paid, rest } = paying();
    const { log, warned } = listening();
    const worker = await lab.worker([definition], { log });
    const run = await worker.sagas.start(definition, null);
    await lab.untilEvent(run.id, 'called', 'pay');
    expect(await run.cancel({ actor: 'ann', reason: 'no need' })).toBe('undecided');
    expect(await run.cancel({ actor: 'bob' })).toBe('undecided');
    paid.open();
    const both = [
      { what: 'cancel', actor: 'ann', reason: 'no need' },
      { what: 'cancel', actor: 'bob' },
    ];
    await lab.untilEvent(run.id, 'done', 'pay');
    rest.open();
    expect(await run.result()).toBe('sent');
    expect((await lab.events(run.id)).filter(({ t }) => t === 'refused')).toMatchObject(both);
    expect(await run.status()).toMatchObject({ status: 'completed', refused: both });
    expect(warned.filter(({ what }) => what === 'cancel')).toMatchObject([
      { run: run.id, actor: 'ann', msg: 'a cancel came too late for a run and changes nothing' },
      { run: run.id, actor: 'bob' },
    ]);
  });

  it('takes effect when the pivot is not done, and is certain once that is known', async () => {
    const { definition, paid, rest } = paying();
    const worker = await lab.worker([definition]);
    const [early, late] = [await worker.sagas.start(definition, null), await worker.sagas.start(definition, null)];
    await lab.untilEvent(early.id, 'called', 'pay');
    await lab.untilEvent(late.id, 'called', 'pay');
    expect(await early.cancel()).toBe('undecided');
    paid.fail(new PermanentError('no money'));
    await lab.until(early.id, 'compensated');
    expect(await early.cancel().catch((error: unknown) => (error as { code: string }).code)).toBe('HF_SAGA_FINISHED');
    // The code has caught that, and goes on.
    await lab.untilEvent(late.id, 'called', 'send');
    expect(await late.cancel()).toBe('compensating');
    rest.open();
    expect(await lab.until(late.id, 'compensated')).toMatchObject({ reason: 'cancelled', refused: [] });
  });

  it('waits beside what the run is stuck at, although the worker of the pivot was lost, until a retry says that it was done', async () => {
    const began = gate();
    const done: string[] = [];
    const place = (isMended: boolean) =>
      saga({
        name: 'place',
        input: z.null(),
        signals: { go: z.null() },
        steps: {
          reserve: step({ run: () => 'reserved', compensate: () => void done.push('released') }),
          pay: step({
            pivot: true,
            async run(_: null, { signal }) {
              began.open();
              // It may well be paid; the worker that is lost will not hear of it.
              if (!isMended) await new Promise((_resolve, reject) => signal.addEventListener('abort', reject));
              done.push('paid');
            },
          }),
          pack: step({
            run() {
              if (!isMended) throw new TypeError('x');
            },
          }),
        },
        async run({ steps }) {
          await steps.reserve();
          await Promise.all([steps.pay(null), steps.pack()]);
        },
      });
    const first = await lab.worker([place(false)]);
    const run = await first.sagas.start(place(false), null);
    await began.promise;
    await lab.stuck(run.id);
    await lab.takeOver(first.id);
    await lab.worker([place(true)]);
    expect(await run.cancel({ actor: 'ann' })).toBe('undecided');
    // What came behind it has been taken in.
    await lab.postRunMessage(run.id, { kind: 'signal', name: 'go', payload: null });
    await lab.untilEvent(run.id, 'signal');
    expect((await lab.view(run.id)).status).toBe('stuck');
    await lab.postRunMessage(run.id, { kind: 'retry', actor: 'bob' });
    expect(await lab.until(run.id, 'completed')).toMatchObject({ refused: [{ what: 'cancel', actor: 'ann' }] });
    expect(done).toEqual(['paid']);
    await first.stop({ signal: AbortSignal.abort() });
  });

  it('is certain before it', async () => {
    const waiting = saga({
      name: 'waiting',
      input: z.null(),
      signals: { go: z.null() },
      steps: { pay: step({ pivot: true, run: (_: null) => 'paid' }) },
      async run({ steps, waitFor }) {
        await waitFor('go');
        await steps.pay(null);
      },
    });
    const worker = await lab.worker([waiting]);
    const run = await worker.sagas.start(waiting, null);
    await lab.untilEvent(run.id, 'called');
    expect(await run.cancel()).toBe('compensating');
    await lab.until(run.id, 'compensated');
  });
});

it('a cancellation in the transaction of the caller is undecided, and when the run has ended before, its status says so', async () => {
  const done = gate();
  const brief = saga({
    name: 'brief',
    input: z.null(),
    steps: { work: step({ run: (_: null) => done.promise, compensate: () => {} }) },
    run: ({ steps }) => steps.work(null),
  });
  const worker = await lab.worker([brief]);
  const run = await worker.sagas.start(brief, null);
  const client = await lab.test.pool.connect();
  try {
    await client.query('BEGIN');
    expect(await run.cancel({ tx: client, reason: 'too slow' })).toBe('undecided');
    done.open();
    await run.result();
    await client.query('COMMIT');
  } finally {
    client.release();
  }
  await lab.untilEvent(run.id, 'refused');
  expect(await run.status()).toMatchObject({
    status: 'completed',
    refused: [{ what: 'cancel', reason: 'too slow' }],
  });
});

it('a child that has done its work may be past all cancelling, which the answer says', async () => {
  const small = saga({ name: 'small', input: z.null(), steps: {}, run: () => Promise.resolve('done') });
  const large = saga({
    name: 'large',
    input: z.null(),
    signals: { go: z.null() },
    steps: { part: child(small) },
    async run({ steps, waitFor }) {
      await steps.part(null);
      await waitFor('go');
    },
  });
  const worker = await lab.worker([large, small]);
  const run = await worker.sagas.start(large, null);
  const { child: id = '' } = await lab.untilEvent(run.id, 'called', 'part');
  await lab.untilEvent(run.id, 'done', 'part');
  expect(await worker.sagas.handle(small, id).cancel()).toBe('undecided');
  await lab.untilEvent(id, 'refused');
  expect(await lab.view(id)).toMatchObject({ status: 'waiting', refused: [{ what: 'cancel' }] });
  await run.signal('go', null);
  await run.result();
});

it('an act of a person on what is no longer stuck there is not forgotten without a word', async () => {
  const stubborn = saga({
    name: 'stubborn',
    input: z.null(),
    steps: {
      work: step({
        run: (_: null) => {
          throw new TypeError('no such thing');
        },
        compensate: () => {},
      }),
    },
    run: ({ steps }) => steps.work(null),
  });
  const worker = await lab.worker([stubborn]);
  const run = await worker.sagas.start(stubborn, null);
  await lab.stuck(run.id);
  const by = { actor: 'ann', reason: 'seen it' };
  // As two people write them who looked at the same moment: what the first one did is over when the second one's comes.
  await lab.postRunMessage(run.id, { kind: 'skip', call: 'work', ...by });
  await lab.postRunMessage(run.id, { kind: 'resolve', call: 'other', as: 'done', ...by });
  await lab.postRunMessage(run.id, { kind: 'resolve', call: '*', as: 'not done', ...by });
  await lab.untilEvent(run.id, 'refused');
  await lab.until(run.id, 'stuck');
  const refused = [
    { what: 'skip', ...by },
    { what: 'resolve', ...by },
    { what: 'resolve', ...by },
  ];
  await expect.poll(async () => (await lab.view(run.id)).refused, { timeout: 30_000 }).toEqual(refused);
});
