/** Declarations that change under runs: what a call promised is recorded with it. On PostgreSQL. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { message } from '../../src/message/message-type.ts';
import type { Logger } from '../../src/runtime/log.ts';
import { judgeSagas } from '../../src/operations/doctor/doctor-sagas.ts';
import { sagaHealth } from '../../src/operations/sagas/saga-status.ts';
import { checkReplay } from '../../src/saga/replay/check-replay.ts';
import { childRunId } from '../../src/saga/protocol/child-id.ts';
import { saga, type AnySaga } from '../../src/saga/definition/definition.ts';
import { child } from '../../src/saga/kinds/child.ts';
import { command } from '../../src/saga/kinds/command.ts';
import { step } from '../../src/saga/kinds/step.ts';
import { createPostgresClientStore } from '../../src/saga/store/postgres/postgres-client-store.ts';
import { eventually } from '../support/eventually.ts';
import { openLab, type Lab } from './lab.ts';

let lab: Lab;
beforeAll(async () => {
  lab = await openLab();
});
afterEach(() => lab.settle());
afterAll(() => lab.dispose());

const history = async (id: string) => ({ id, journal: await createPostgresClientStore(lab).journal(id) });

/** A log of which the lines of level warn are kept. */
function listening(): { readonly log: Logger; readonly lines: readonly string[] } {
  const lines: string[] = [];
  const nothing = (): void => {};
  const log: Logger = {
    debug: nothing,
    info: nothing,
    warn: (fields, text) => void lines.push(`${JSON.stringify(fields)} ${text}`),
    error: nothing,
    child: () => log,
  };
  return { log, lines };
}

describe('a compensation that a deployment dropped', () => {
  const log: string[] = [];
  const make = (compensate: object) =>
    saga({
      name: 'dropped',
      input: z.null(),
      signals: { go: z.null() },
      steps: { pay: step({ run: () => 'paid', ...compensate }) },
      async run({ steps, waitFor }) {
        await steps.pay();
        await waitFor('go');
      },
    });
  const whole = make({ compensate: () => void log.push('refund') });
  const without = make({});

  it('makes the run stuck instead of compensated, and is compensated by code that has it again', async () => {
    const first = await lab.worker([whole]);
    const run = await first.sagas.start(whole, null);
    await lab.untilEvent(run.id, 'called', 'wait:go#1');
    await first.stop();
    expect(await checkReplay(without, await history(run.id))).toMatchObject({
      kind: 'mismatch',
      why: 'undefined step',
      code: 'declares it without what compensates it, which it had when it was called',
    });
    expect(await checkReplay(whole, await history(run.id))).toMatchObject({ kind: 'fits' });
    const { log: heard, lines } = listening();
    const second = await lab.worker([without], { log: heard });
    await eventually('the worker to say so at its start', async () =>
      lines.some((line) => line.includes('declares the step pay without what compensates it')),
    );
    await run.cancel();
    const { why, call, message: text } = await lab.stuck(run.id);
    expect([why, call]).toEqual(['undefined step', 'pay']);
    expect(text).toContain('without what compensates it, which it had when pay was called');
    await lab.untilFree(run.id);
    await second.stop();
    await lab.worker([whole]);
    await lab.postRunMessage(run.id, { kind: 'retry', actor: 'ann' });
    await lab.until(run.id, 'compensated');
    expect(log).toEqual(['refund']);
  });

  it('is not taken for done when the compensation had begun already', async () => {
    let fail = true;
    const begun = make({
      compensate: () => {
        if (fail) throw new Error('not now');
        log.push('refund');
      },
      compensation: { retry: { attempts: 1 } },
    });
    log.length = 0;
    const first = await lab.worker([begun]);
    const run = await first.sagas.start(begun, null);
    await lab.untilEvent(run.id, 'called', 'wait:go#1');
    await run.cancel();
    expect(await lab.stuck(run.id)).toMatchObject({ why: 'compensation' });
    await lab.untilFree(run.id);
    await first.stop();
    const second = await lab.worker([without]);
    await lab.postRunMessage(run.id, { kind: 'retry', actor: 'ann' });
    await eventually('stuck again', async () => {
      const events = await lab.events(run.id);
      return events.findLast((event) => event.t === 'stuck')?.why === 'undefined step';
    });
    await second.stop();
    fail = false;
    await lab.worker([begun]);
    await lab.postRunMessage(run.id, { kind: 'retry', actor: 'ann' });
    await lab.until(run.id, 'compensated');
    expect(log).toEqual(['refund']);
  });
});

describe('types of a command that were raised', () => {
  const make = (version: 1 | 2) => {
    const order = <T extends z.ZodType>(schema: T) => schema;
    const old = version === 1;
    const reserve = message('stock.reserve', {
      schema: order(old ? z.object({ item: z.string() }) : z.object({ items: z.array(z.string()) })),
      version,
      ...(old ? {} : { upcast: { 1: (was: unknown) => ({ items: [(was as { item: string }).item] }) } }),
    });
    const free = message('stock.free', { schema: z.object({ items: z.array(z.string()), place: z.string() }) });
    const reserved = message('stock.reserved', {
      schema: old ? z.object({ at: z.string() }) : z.object({ place: z.string() }),
      version,
      ...(old ? {} : { upcast: { 1: (was: unknown) => ({ place: (was as { at: string }).at }) } }),
    });
    return saga({
      name: 'raised',
      input: z.string(),
      signals: { go: z.null() },
      steps: {
        reserve: command(reserve, {
          reply: reserved,
          compensate: {
            message: free,
            payload: ({ input, output }) => {
              const { item, items } = input as { item?: string; items?: string[] };
              const { at, place } = (output ?? {}) as { at?: string; place?: string };
              return { items: items ?? [item ?? ''], place: place ?? at ?? '' };
            },
          },
        }),
      },
      async run({ input, steps, waitFor }) {
        const call = steps.reserve as unknown as (order: unknown) => Promise<{ at?: string; place?: string }>;
        const answer = await call(old ? { item: input } : { items: [input] });
        await waitFor('go');
        return old ? answer.at : answer.place;
      },
    });
  };

  async function underWay(): Promise<{ id: string }> {
    const v1 = make(1);
    const first = await lab.worker([v1]);
    const run = await first.sagas.start(v1, 'pen');
    await lab.untilEvent(run.id, 'called', 'reserve');
    await lab.postRunMessage(run.id, {
      kind: 'reply',
      call: 'reserve',
      to: 'command',
      outcome: 'done',
      output: { at: 'A3' },
    });
    await lab.untilEvent(run.id, 'called', 'wait:go#1');
    await first.stop();
    return run;
  }

  it('fit: the recorded input and reply travel with their versions, at the replay and in what compensates it', async () => {
    const v2 = make(2);
    const forward = await underWay();
    expect(await checkReplay(v2, await history(forward.id))).toMatchObject({ kind: 'fits' });
    const worker = await lab.worker([v2]);
    await worker.sagas.handle(v2, forward.id).signal('go', null);
    expect(await worker.sagas.handle(v2, forward.id).result({ timeout: '30s' })).toBe('A3');
    await worker.stop();

    const back = await underWay();
    await lab.worker([v2]);
    await lab.postRunMessage(back.id, { kind: 'cancel' });
    await lab.untilEvent(back.id, 'compensating', 'reserve');
    const { rows } = await lab.test.pool.query(`SELECT payload::text FROM holdfast.outbox WHERE topic = 'stock.free'`);
    expect(rows.map(({ payload }) => JSON.parse(payload))).toEqual([{ items: ['pen'], place: 'A3' }]);
  });
});

describe('two codes under one version', () => {
  const make = (first: 'a' | 'b') =>
    saga({
      name: 'twofold',
      input: z.null(),
      signals: { go: z.null() },
      steps: { a: step({ run: () => 'a' }), b: step({ run: () => 'b' }) },
      run:
        first === 'a'
          ? async ({ steps, waitFor }) => {
              await steps.a();
              await waitFor('go');
              return steps.b();
            }
          : async ({ steps, waitFor }) => {
              await steps.b();
              await waitFor('go');
              return steps.a();
            },
    });

  it('hand runs that do not fit to each other, and are told of at the start', async () => {
    const [old, other] = [make('a'), make('b')];
    const first = await lab.worker([old], { waiting: 0 });
    const runs = await Promise.all(Array.from({ length: 10 }, () => first.sagas.start(old, null)));
    for (const run of runs) await lab.untilFree(run.id);
    const { log, lines } = listening();
    const second = await lab.worker([other], { waiting: 0, log });
    await Promise.all(runs.map((run) => run.signal('go', null)));
    expect(await Promise.all(runs.map((run) => run.result({ timeout: '60s' })))).toEqual(runs.map(() => 'b'));
    await eventually('the worker to tell of the other code', async () =>
      lines.some((line) => line.includes('another worker offers this version with another code')),
    );
    const found = judgeSagas(await sagaHealth(lab.database));
    expect(found).toMatchObject([{ check: 'sagas.two-codes', what: expect.stringContaining('offer twofold@1') }]);
    const run = await second.sagas.start(other, null);
    await lab.untilFree(run.id);
    await run.signal('go', null);
    expect(await run.result({ timeout: '60s' })).toBe('a');
  });

  it('leave nobody waiting when the other one goes: the run is stuck then', async () => {
    const [old, other] = [make('a'), make('b')];
    const first = await lab.worker([old], { waiting: 0 });
    const run = await first.sagas.start(old, null);
    await lab.untilFree(run.id);
    await first.stop();
    await lab.worker([other]);
    await run.signal('go', null);
    expect(await lab.stuck(run.id)).toMatchObject({ why: 'non-determinism' });
  });
});

describe('children', () => {
  const inner = (version: number): AnySaga =>
    saga({
      name: 'inner',
      version,
      input: z.null(),
      steps: { work: step({ run: (_: null, { idempotencyKey }) => idempotencyKey, compensate: () => {} }) },
      run: ({ steps }) => steps.work(null),
    });
  const outer = (version: number): AnySaga =>
    saga({
      name: 'outer',
      input: z.null(),
      signals: { go: z.null() },
      steps: { inner: child(inner(version) as never) },
      async run({ steps, waitFor }) {
        const result = await (steps.inner as unknown as (input: null) => Promise<unknown>)(null);
        await waitFor('go');
        return result as string;
      },
    });

  it('have ids that follow from parent and call', async () => {
    const [parent, call] = [outer(1), inner(1)];
    const worker = await lab.worker([parent, call]);
    const run = await worker.sagas.start(parent, null as never);
    const id = (await lab.untilEvent(run.id, 'called', 'inner')).child ?? '';
    expect(id).toBe(childRunId(run.id, 'inner'));
    expect(id.slice(0, 13)).toBe(run.id.slice(0, 13));
    expect(childRunId(run.id, 'inner:2')).not.toBe(id);
    await lab.untilEvent(run.id, 'called', 'wait:go#1');
    expect(await lab.untilEvent(id, 'done', 'work')).toMatchObject({ output: `${id}:work` });
    await lab.postRunMessage(run.id, { kind: 'signal', name: 'go', payload: null });
    expect(await run.result({ timeout: '30s' })).toBe(`${id}:work`);
  });

  it('in a version that no worker offers any more are told of', async () => {
    const first = await lab.worker([outer(1), inner(1)]);
    const run = await first.sagas.start(outer(1), null as never);
    await lab.untilEvent(run.id, 'called', 'wait:go#1');
    await first.stop();
    const second = await lab.worker([outer(2), inner(2)]);
    await lab.postRunMessage(run.id, { kind: 'cancel' });
    // It is compensated, and says that there is nobody to do that.
    const { why, call, message: text } = await lab.stuck(run.id);
    expect([why, call]).toEqual(['undefined step', 'inner']);
    expect(text).toContain('is of inner version 1, which no worker offers any more');
    await lab.untilFree(run.id);
    expect(judgeSagas(await sagaHealth(lab.database)).map(({ check }) => check)).toContain('sagas.childless');
    await second.stop();
    const { log, lines } = listening();
    const third = await lab.worker([outer(2), inner(2)], { log });
    await eventually('the worker to tell of it', async () =>
      lines.some((line) => line.includes('"saga":"inner@1"') && line.includes('no worker offers')),
    );
    // Nobody need have it retried: the child answers as soon as somebody goes on with it.
    await lab.worker([inner(1)]);
    await lab.until(run.id, 'compensated');
    await third.stop();
  });

  it('in a version that another worker offers are compensated by that one', async () => {
    const first = await lab.worker([outer(1), inner(1)]);
    const run = await first.sagas.start(outer(1), null as never);
    await lab.untilEvent(run.id, 'called', 'wait:go#1');
    await first.stop();
    await lab.worker([inner(1)]);
    await lab.worker([outer(2), inner(2)]);
    await lab.postRunMessage(run.id, { kind: 'cancel' });
    await lab.until(run.id, 'compensated');
    expect((await lab.story(run.id)).filter((event) => event.startsWith('stuck'))).toEqual([]);
  });

  it('that are waited for, in a version that no worker offers, are told of when the run is taken up and at the start', async () => {
    const slow = (version: number): AnySaga =>
      saga({
        name: 'slow',
        version,
        input: z.null(),
        signals: { go: z.null() },
        steps: {},
        run: ({ waitFor }) => waitFor('go'),
      });
    const parent = (version: number): AnySaga =>
      saga({
        name: 'waits',
        input: z.null(),
        steps: { slow: child(slow(version) as never) },
        run: ({ steps }) => (steps.slow as unknown as (input: null) => Promise<null>)(null),
      });
    const first = await lab.worker([parent(1), slow(1)]);
    const run = await first.sagas.start(parent(1), null as never);
    const id = (await lab.untilEvent(run.id, 'called', 'slow')).child ?? '';
    await lab.untilEvent(id, 'called', 'wait:go#1');
    await first.stop();
    const stored = await history(run.id);
    expect(await checkReplay(parent(2), stored)).toMatchObject({
      kind: 'mismatch',
      why: 'undefined step',
      code: expect.stringContaining('that child is of version 1, which must be offered beside it'),
    });
    expect(await checkReplay(parent(2), stored, { beside: [slow(1)] })).toMatchObject({ kind: 'fits' });
    const { log, lines } = listening();
    await lab.worker([parent(2), slow(2)], { log });
    await lab.postRunMessage(run.id, { kind: 'signal', name: 'none' });
    for (const said of ['a run waits for a child of a version', 'have started children in a version'])
      await eventually(said, async () => lines.some((line) => line.includes(said)));
    expect(judgeSagas(await sagaHealth(lab.database))).toEqual([
      expect.objectContaining({ check: 'sagas.childless', what: expect.stringContaining('1 child of slow@1') }),
    ]);
    await lab.worker([slow(1)]);
    await lab.postRunMessage(id, { kind: 'signal', name: 'go', payload: null });
    await lab.until(run.id, 'completed');
  });
});
