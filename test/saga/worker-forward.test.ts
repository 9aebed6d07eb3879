/** The way forward, on PostgreSQL: what code may do, and what steps may give and throw. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { PermanentError, Rejection } from '../../src/errors.ts';
import { message } from '../../src/message/message-type.ts';
import { saga } from '../../src/saga/definition/definition.ts';
import { emit } from '../../src/saga/kinds/emit.ts';
import { step } from '../../src/saga/kinds/step.ts';
import { transaction } from '../../src/saga/kinds/transaction.ts';
import type { CompensatedCall } from '../../src/saga/definition/steps.ts';
import { gate, openLab, type Lab } from './lab.ts';

let lab: Lab;
beforeAll(async () => {
  lab = await openLab();
});
afterEach(() => lab.settle());
afterAll(() => lab.dispose());

const same = step({ run: (value: unknown) => value });

describe('code', () => {
  it('calls steps of all local kinds, in loops, branches and at the same time', async () => {
    const Outcome = message('told', { schema: z.string() });
    const all = saga({
      name: 'all',
      input: z.array(z.number()),
      steps: {
        same,
        double: step({ run: async (n: number) => 2 * n }),
        note: transaction({
          async run(what: string, { tx }) {
            await tx.query('INSERT INTO effect (what) VALUES ($1)', [what]);
            return what.length;
          },
        }),
        tell: emit(Outcome),
      },
      async run({ input, steps }) {
        const doubled: number[] = [];
        for (const n of input) if (n > 1) doubled.push(await steps.double(n, { id: String(n) }));
        const [length] = await Promise.all([steps.note('noted'), steps.tell('hello')]);
        return { doubled, length };
      },
    });
    const worker = await lab.worker([all]);
    const run = await worker.sagas.start(all, [1, 2, 3]);
    expect(await run.result({ timeout: '20s' })).toEqual({ doubled: [4, 6], length: 5 });
    const { rows } = await lab.test.pool.query('SELECT topic, payload FROM holdfast.outbox');
    expect(rows).toEqual([{ topic: 'told', payload: 'hello' }]);
    expect((await lab.test.pool.query('SELECT what FROM effect')).rows).toEqual([{ what: 'noted' }]);
  });

  it('waits for the loser of a race before the run completes', async () => {
    const loser = gate();
    const raced = gate();
    const race = saga({
      name: 'race',
      input: z.null(),
      steps: { fast: step({ run: () => 'fast' }), slow: step({ run: () => loser.promise }) },
      async run({ steps }) {
        const first = await Promise.race([steps.fast(), steps.slow()]);
        raced.open();
        return first;
      },
    });
    const worker = await lab.worker([race]);
    const run = await worker.sagas.start(race, null);
    await raced.promise;
    await lab.untilEvent(run.id, 'done', 'fast');
    expect((await lab.view(run.id)).status).toBe('running');
    loser.open();
    expect(await run.result({ timeout: '20s' })).toBe('fast');
    expect((await lab.story(run.id)).slice(-2)).toEqual(['done slow', 'completed']);
  });

  it('sees the same time, chance and ids in another worker', async () => {
    const seen: unknown[] = [];
    const again = saga({
      name: 'same-again',
      input: z.null(),
      signals: { go: z.null() },
      steps: { same },
      async run({ steps, waitFor, now, random, uuid }) {
        const before = [now().getTime(), random(), uuid()];
        await steps.same(1);
        const after = [now().getTime(), random(), uuid()];
        seen.push([...before, ...after]);
        await waitFor('go');
        return [now().getTime(), random(), uuid()];
      },
    });
    const first = await lab.worker([again]);
    const run = await first.sagas.start(again, null);
    await lab.untilEvent(run.id, 'called', 'wait:go#1');
    await first.stop();
    await lab.worker([again]);
    await run.signal('go', null);
    const result = await run.result({ timeout: '20s' });
    expect(seen).toHaveLength(2);
    expect(seen[1]).toEqual(seen[0]);
    expect(new Set([...(seen[0] as unknown[]), ...(result as unknown[])]).size).toBeGreaterThan(6);
  });

  it('catches the same errors again, with their classes', async () => {
    const caught: unknown[] = [];
    const failing = step({
      run(how: string): void {
        if (how === 'rejection') throw new Rejection('sold out');
        if (how === 'permanent') throw new PermanentError('never');
        const text: unknown = 'a text';
        throw text;
      },
      retry: { attempts: 1 },
    });
    const errors = saga({
      name: 'errors',
      input: z.null(),
      signals: { go: z.null() },
      steps: { failing },
      async run({ steps, waitFor }) {
        const found: unknown[] = [];
        for (const how of ['rejection', 'permanent', 'text'])
          await steps.failing(how, { id: how }).catch((error: unknown) => {
            const { constructor, code, message: text } = error as Error & { code: string };
            found.push([constructor.name, code, text]);
          });
        caught.push(found);
        await waitFor('go');
      },
    });
    const worker = await lab.worker([errors], { waiting: 0 });
    const run = await worker.sagas.start(errors, null);
    await lab.untilFree(run.id);
    await run.signal('go', null);
    await run.result({ timeout: '20s' });
    expect(caught[0]).toMatchObject([
      ['Rejection', 'HF_REJECTED', expect.anything()],
      ['PermanentError', 'HF_PERMANENT', expect.anything()],
      ['HoldfastError', 'HF_STEP_FAILED', expect.stringContaining('a text')],
    ]);
    expect(caught[1]).toEqual(caught[0]);
  });
});

describe('values', () => {
  it.each<[string, unknown]>([
    ['nothing', undefined],
    ['null', null],
    ['zero', 0],
    ['an empty text', ''],
    ['false', false],
    ['what is nested', { a: [{ b: null }, '\u2028"\\'], c: {} }],
  ])('%s comes back as it was, also after a replay', async (_, value) => {
    const seen: unknown[] = [];
    const values = saga({
      name: 'values',
      input: z.null(),
      signals: { go: z.null() },
      steps: { give: step({ run: () => value }) },
      async run({ steps, waitFor }) {
        const given = await steps.give();
        seen.push(given);
        await waitFor('go');
        return given;
      },
    });
    const worker = await lab.worker([values], { waiting: 0 });
    const run = await worker.sagas.start(values, null);
    await lab.untilFree(run.id);
    await run.signal('go', null);
    expect((await run.result({ timeout: '20s' })) ?? null).toEqual(value ?? null);
    expect(seen).toEqual([value, value]);
  });

  it.each<[string, () => unknown, string]>([
    ['a date', () => new Date(), 'HF_PAYLOAD_NOT_JSON'],
    ['a bigint', () => 1n, 'HF_PAYLOAD_NOT_JSON'],
    ['undefined in a list', () => [undefined], 'HF_PAYLOAD_NOT_JSON'],
    ['a function', () => () => 1, 'HF_PAYLOAD_NOT_JSON'],
    ['what is too large', () => 'x'.repeat(2_000), 'HF_PAYLOAD_TOO_LARGE'],
  ])('%s given by a step stops the run there, where cancel compensates it as in doubt', async (_, give, code) => {
    let attempts = 0;
    const compensated: string[] = [];
    const bad = saga({
      name: 'bad',
      input: z.null(),
      steps: {
        give: step({
          run() {
            attempts += 1;
            return give();
          },
          compensate: ({ outcome }: CompensatedCall<unknown, unknown>) => void compensated.push(outcome),
        }),
      },
      run: ({ steps }) => steps.give(),
    });
    const worker = await lab.worker([bad], { maxBytes: 1_000 });
    const run = await worker.sagas.start(bad, null);
    await expect(run.result({ timeout: '20s' })).rejects.toMatchObject({ code: 'HF_SAGA_STUCK', cause: { code } });
    expect([attempts, compensated]).toEqual([1, []]);
    await run.cancel();
    await lab.until(run.id, 'compensated');
    expect([attempts, compensated]).toEqual([1, ['unknown']]);
  });

  it.each<[string, string, (steps: { same: (value?: unknown) => Promise<unknown> }) => Promise<unknown>]>([
    ['given to a step', 'HF_PAYLOAD_NOT_JSON', ({ same: call }) => call(new Map())],
    ['given as a result', 'HF_PAYLOAD_NOT_JSON', async () => new Set()],
    ['that is too large', 'HF_PAYLOAD_TOO_LARGE', ({ same: call }) => call('x'.repeat(2_000))],
    ['called twice without an id', 'HF_CALL_REPEATED', async ({ same: call }) => [await call(), await call()]],
  ])('a value %s makes the run stuck with %s', async (_, code, run) => {
    const bad = saga({ name: 'bad-code', input: z.null(), steps: { same }, run: ({ steps }) => run(steps as never) });
    const worker = await lab.worker([bad], { maxBytes: 1_000 });
    const handle = await worker.sagas.start(bad, null);
    await expect(handle.result({ timeout: '20s' })).rejects.toMatchObject({ code: 'HF_SAGA_STUCK', cause: { code } });
  });
});
