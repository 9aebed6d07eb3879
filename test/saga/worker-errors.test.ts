/** What is kept and said of errors, on PostgreSQL: the journal, the log, and what the code catches before and after a replay. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { saga } from '../../src/saga/definition/definition.ts';
import { step } from '../../src/saga/kinds/step.ts';
import { transaction } from '../../src/saga/kinds/transaction.ts';
import { rememberingLogger } from '../support/failing-observers.ts';
import { UNLOOKABLE } from '../support/thrown-values.ts';
import { openLab, type Lab } from './lab.ts';

let lab: Lab;
beforeAll(async () => {
  lab = await openLab();
});
afterEach(() => lab.settle());
afterAll(() => lab.dispose());

/** As an HTTP client has it. */
function notFound(): Error {
  const cause = Object.assign(new Error('socket closed'), { code: 'ECONNRESET' });
  return Object.assign(new Error('Request failed', { cause }), { code: 4041, response: { status: 404 } });
}

describe('an error of a step', () => {
  it('keeps code, status, place and cause, and the code can branch on them, also after a replay', async () => {
    const caught: unknown[] = [];
    const flow = saga({
      name: 'branching',
      input: z.null(),
      signals: { go: z.null() },
      steps: {
        find: step({
          run: () => {
            throw notFound();
          },
          retry: { attempts: 1 },
        }),
      },
      async run({ steps, waitFor }) {
        const error = await steps.find().catch((thrown: unknown) => thrown as Error);
        const { code, details, cause } = error as Error & { code: string; details: Record<string, unknown> };
        const { name, message, code: own, status, cause: inner, stack } = cause as Error & Record<string, unknown>;
        caught.push({ code, details, cause: { name, message, own, status, inner: (inner as Error).message } });
        expect(stack).toContain('worker-errors.test.ts');
        await waitFor('go');
      },
    });
    const worker = await lab.worker([flow], { waiting: 0 });
    const run = await worker.sagas.start(flow, null);
    await lab.untilFree(run.id);
    await run.signal('go', null);
    await run.result({ timeout: '30s' });
    expect(caught).toHaveLength(2);
    expect(caught[1]).toEqual(caught[0]);
    expect(caught[0]).toMatchObject({
      code: 'HF_STEP_FAILED',
      details: { step: 'find', name: 'Error', code: 4041, status: 404 },
      cause: { name: 'Error', own: 4041, status: 404, inner: 'socket closed' },
    });
    const { error } = await lab.untilEvent(run.id, 'failed', 'find');
    expect(error).toMatchObject({ code: 4041, status: 404, cause: { message: 'socket closed', code: 'ECONNRESET' } });
    expect(error.stack).toMatch(/^\s+at .*worker-errors\.test\.ts/);
  });

  it('has the parts of an AggregateError, and says that undefined was thrown', async () => {
    const flow = saga({
      name: 'odd-errors',
      input: z.null(),
      steps: {
        any: step({
          run: () =>
            Promise.any([Promise.reject(new Error('north is away')), Promise.reject(new Error('south is away'))]),
          retry: { attempts: 1 },
        }),
        nothing: step({
          // oxlint-disable-next-line prefer-promise-reject-errors
          run: () => Promise.reject(undefined),
          retry: { attempts: 1 },
        }),
      },
      async run({ steps }) {
        await steps.any().catch(() => {});
        await steps.nothing().catch(() => {});
      },
    });
    const worker = await lab.worker([flow]);
    const run = await worker.sagas.start(flow, null);
    await run.result({ timeout: '30s' });
    const { error } = await lab.untilEvent(run.id, 'failed', 'any');
    expect(error.message).toBe('All promises were rejected: Error: north is away; Error: south is away');
    expect(error.errors?.map(({ message }) => message)).toEqual(['north is away', 'south is away']);
    expect((await lab.untilEvent(run.id, 'failed', 'nothing')).error.message).toBe('thrown: undefined');
  });

  it('that cannot be looked at is one like others, of a step, a compensation and the code of the run', async () => {
    const odd = (name: string): Promise<never> => Promise.reject(UNLOOKABLE[name]?.());
    const caught: string[] = [];
    let releases = 0;
    const flow = saga({
      name: 'unlookable',
      input: z.null(),
      steps: {
        hold: transaction({
          run: async () => {},
          async compensate() {
            releases += 1;
            if (releases === 1) await odd('a name that is a symbol');
          },
        }),
        call: step({ run: () => odd('a revoked proxy'), retry: { attempts: 1 } }),
        book: transaction({ run: () => odd('a name that throws'), retry: { attempts: 1 } }),
      },
      async run({ steps }) {
        await steps.hold();
        for (const call of [steps.call, steps.book])
          await call().catch((error: unknown) => caught.push((error as Error).message));
        await odd('a revoked proxy');
      },
    });
    const worker = await lab.worker([flow]);
    const run = await worker.sagas.start(flow, null);
    await lab.until(run.id, 'compensated');
    expect(caught).toEqual([
      'Step call gave up: Error: What was thrown cannot be looked at',
      'Step book gave up: Error: What was thrown cannot be looked at, but for its message: kept',
    ]);
    expect(releases).toBe(2);
  });

  it('is redacted before it is recorded, told or logged; a redaction that fails records the name alone', async () => {
    const log = rememberingLogger();
    const caught: string[] = [];
    const flow = saga({
      name: 'redacted',
      input: z.null(),
      steps: {
        card: step({ run: () => Promise.reject(new Error('card 4111 1111')), retry: { attempts: 1 } }),
        book: transaction({ run: () => Promise.reject(new Error('broken 4111')), retry: { attempts: 1 } }),
      },
      async run({ steps }) {
        for (const call of [steps.card, steps.book])
          await call().catch((error: unknown) => caught.push((error as Error).message));
        throw new Error('all 4111');
      },
    });
    const worker = await lab.worker([flow], {
      log,
      redactError({ name, message }) {
        if (message.startsWith('broken')) throw new Error('the redaction');
        return { name, message: message.replaceAll(/\d{4}/g, '****') };
      },
    });
    const run = await worker.sagas.start(flow, null);
    await lab.until(run.id, 'compensated');
    expect(caught).toEqual([
      'Step card gave up: Error: card **** ****',
      'Step book gave up: Error: Left out: the redaction of errors failed.',
    ]);
    const { rows } = await lab.test.pool.query<{ all: string }>(
      'SELECT (SELECT string_agg(events::text, $2) FROM holdfast.saga_journal WHERE saga_id = $1) || error::text AS all FROM holdfast.saga_run WHERE id = $1',
      [run.id, ' '],
    );
    expect(rows[0]?.all).toContain('****');
    expect(rows[0]?.all).not.toContain('4111');
    expect(
      JSON.stringify(log.lines.map(({ fields }) => fields['err'] instanceof Error && fields['err'].stack)),
    ).not.toContain('4111');
  });

  it('of a fallback is recorded beside that of its step, and logged; a bug in it stops the run at its step', async () => {
    const log = rememberingLogger();
    let thrown: Error = new Error('no cache');
    const flow = saga({
      name: 'falls-back',
      input: z.null(),
      steps: {
        price: step({
          run: (): number => {
            throw new Error('no price');
          },
          retry: { attempts: 1 },
          fallback: () => {
            throw thrown;
          },
        }),
      },
      run: ({ steps }) => steps.price(),
    });
    const worker = await lab.worker([flow], { log });
    const run = await worker.sagas.start(flow, null);
    await lab.until(run.id, 'compensated');
    expect(await lab.untilEvent(run.id, 'failed', 'price')).toMatchObject({
      error: { message: 'no price' },
      fallback: { message: 'no cache' },
    });
    const said = log.lines.find(({ message }) => message === 'a step gave up');
    expect(said?.fields).toMatchObject({ err: { message: 'no price' }, fallback: { message: 'no cache' } });
    thrown = new ReferenceError('cache is not defined');
    const second = await worker.sagas.start(flow, null);
    expect(await lab.stuck(second.id)).toMatchObject({ why: 'code', call: 'price', message: 'cache is not defined' });
  });
});

describe('the log', () => {
  it('says once that a step gave up, that a run was compensated, and that one is stuck, with their ids and places', async () => {
    const log = rememberingLogger();
    const flow = saga({
      name: 'said',
      input: z.object({ bug: z.boolean() }),
      steps: {
        work: step({
          run: () => {
            throw notFound();
          },
          retry: { attempts: 2, base: 1 },
        }),
      },
      async run({ steps, input }) {
        if (input.bug) throw new TypeError('x is not a function');
        await steps.work();
      },
    });
    const worker = await lab.worker([flow], { log, waiting: 0 });
    const failed = await worker.sagas.start(flow, { bug: false });
    await lab.until(failed.id, 'compensated');
    const stuck = await worker.sagas.start(flow, { bug: true });
    await lab.stuck(stuck.id);
    await lab.untilFree(stuck.id);
    // Loaded for its mail, and let go as stuck as it was.
    await stuck.signal('none' as never, null as never).catch(() => {});
    await worker.tick();
    const loud = log.lines.filter(({ level }) => level === 'warn' || level === 'error');
    expect(loud.map(({ level, message, fields }) => [level, message, fields['run']])).toEqual([
      ['warn', 'a step gave up', failed.id],
      ['warn', 'a run was compensated', failed.id],
      ['error', 'a run is stuck and needs a person', stuck.id],
    ]);
    expect(loud[0]?.fields).toMatchObject({ saga: 'said', call: 'work', attempts: 2, outcome: 'unknown' });
    expect(loud[2]?.fields).toMatchObject({ saga: 'said', version: 1, why: 'code' });
    for (const { fields } of [loud[0]!, loud[2]!])
      expect((fields['err'] as Error).stack).toContain('worker-errors.test.ts');
  });
});
