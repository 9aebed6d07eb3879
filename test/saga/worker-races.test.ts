/**
 * What happens to a run while a commit of it is under way: commits are held up by a lock, so that the order is not left to chance. And a start of it once more,
 * while it is under way.
 */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { saga } from '../../src/saga/definition/definition.ts';
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

const blocked = (): Promise<true> =>
  eventually('a commit to wait for the lock', async () => (await lab.waitingForLocks()) > 0 && (true as const), 20_000);

describe('while a commit is under way', () => {
  it('takes mail once, however often it is collected before its deletion is committed', async () => {
    const listening = saga({
      name: 'listening',
      input: z.null(),
      signals: { word: z.string() },
      steps: {},
      async run({ waitFor }) {
        return [await waitFor('word'), await waitFor('word'), await waitFor('word')];
      },
    });
    const worker = await lab.worker([listening]);
    const run = await worker.sagas.start(listening, null);
    await lab.until(run.id, 'waiting');
    const letGo = await lab.holdCommits();
    await run.signal('word', 'a');
    await blocked();
    await worker.tick();
    await worker.tick();
    await letGo();
    await run.signal('word', 'b');
    await run.signal('word', 'c');
    expect(await run.result({ timeout: '20s' })).toEqual(['a', 'b', 'c']);
    expect((await lab.story(run.id)).filter((event) => event === 'signal')).toHaveLength(3);
  });

  it.each(['step', 'transaction'] as const)('does not begin a %s that was given up meanwhile', async (kind) => {
    const ran: string[] = [];
    const first = gate();
    const run = async (): Promise<void> => {
      ran.push('second');
    };
    const compensate = async (): Promise<void> => {
      ran.push('compensate second');
    };
    const two = saga({
      name: `two-${kind}s`,
      input: z.null(),
      steps: {
        first: step({ run: () => first.promise }),
        second: kind === 'step' ? step({ run, compensate }) : transaction({ run, compensate }),
      },
      async run({ steps }) {
        await steps.first();
        await steps.second();
      },
    });
    const worker = await lab.worker([two]);
    const handle = await worker.sagas.start(two, null);
    await lab.untilEvent(handle.id, 'called', 'first');
    const letGo = await lab.holdCommits();
    first.open();
    await blocked();
    await handle.cancel();
    await worker.tick();
    await worker.tick();
    await letGo();
    await expect(handle.result({ timeout: '20s' })).rejects.toMatchObject({ code: 'HF_SAGA_UNDONE' });
    expect(ran).not.toContain('second');
  });

  it('tells what ended beside a transaction in the order of the journal', async () => {
    const beside = gate();
    let hold = true;
    const both = saga({
      name: 'both',
      input: z.null(),
      signals: { go: z.null() },
      steps: {
        inside: transaction({ run: async () => 'inside' }),
        beside: step({ run: () => beside.promise.then(() => 'beside') }),
        after: step({ run: async (what: string) => what }),
      },
      async run({ steps, waitFor }) {
        const order: string[] = [];
        const note = async (what: string): Promise<void> => {
          order.push(await steps.after(what, { id: what }));
        };
        await Promise.all([steps.inside().then(note), steps.beside().then(note)]);
        await waitFor('go');
        return order;
      },
    });
    const worker = await lab.worker([both], {
      waiting: 0,
      crashPoint(point) {
        // The fence is passed and COMMIT has not been sent: the run takes nothing in before it is back.
        if (point === 'saga.transaction.commit:before' && hold) {
          hold = false;
          beside.open();
        }
      },
    });
    const run = await worker.sagas.start(both, null);
    await lab.until(run.id, 'waiting');
    await lab.untilEvent(run.id, 'called', 'wait:go#1');
    await run.signal('go', null);
    expect(await run.result({ timeout: '20s' })).toHaveLength(2);
  });

  it('gives each of several signals to one wait', async () => {
    const pair = saga({
      name: 'pair',
      input: z.null(),
      signals: { word: z.string() },
      steps: {},
      run: ({ waitFor }) => Promise.all([waitFor('word'), waitFor('word')]),
    });
    const run = await lab.client([pair]).start(pair, null);
    await run.signal('word', 'a');
    await run.signal('word', 'b');
    await lab.worker([pair]);
    expect(await run.result({ timeout: '20s' })).toEqual(['a', 'b']);
  });

  it('gives a signal to its wait although the worker was lost between its record and the telling', async () => {
    const one = saga({
      name: 'one',
      input: z.null(),
      signals: { word: z.string() },
      steps: {},
      run: ({ waitFor }) => waitFor('word'),
    });
    const run = await lab.client([one]).start(one, null);
    let armed = false;
    const died = gate();
    const worker = await lab.worker([one], {
      crashPoint(point) {
        if (point !== 'saga.commit:after' || !armed) return;
        armed = false;
        died.open();
        throw new Error('killed');
      },
    });
    await lab.until(run.id, 'waiting');
    await lab.untilFree(run.id);
    armed = true;
    const { id } = worker;
    await run.signal('word', 'a');
    await died.promise;
    expect((await lab.story(run.id)).at(-1)).toBe('signal');
    await lab.takeOver(id);
    expect(await run.result({ timeout: '20s' })).toBe('a');
  });

  it('keeps apart signals of two names with the same id', async () => {
    const two = saga({
      name: 'two-names',
      input: z.null(),
      signals: { yes: z.string(), no: z.string() },
      steps: {},
      run: ({ waitFor }) => Promise.all([waitFor('yes'), waitFor('no')]),
    });
    const worker = await lab.worker([two]);
    const run = await worker.sagas.start(two, null);
    await run.signal('yes', 'a', { id: '1' });
    await run.signal('yes', 'again', { id: '1' });
    await run.signal('no', 'b', { id: '1' });
    expect(await run.result({ timeout: '20s' })).toEqual(['a', 'b']);
  });

  it('does not let a run end of which the database refused the end', async () => {
    await lab.test.pool.query(`
      CREATE FUNCTION refuse_end() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN
        IF NEW.events::text LIKE '%"completed"%' THEN RAISE EXCEPTION 'not this one' USING ERRCODE = '23514'; END IF;
        RETURN NEW;
      END $$;
      CREATE TRIGGER refuse_end BEFORE INSERT ON holdfast.saga_journal FOR EACH ROW EXECUTE FUNCTION refuse_end()`);
    const plain = saga({
      name: 'plain',
      input: z.null(),
      steps: { a: step({ run: async () => 1 }) },
      run: ({ steps }) => steps.a(),
    });
    const worker = await lab.worker([plain]);
    const run = await worker.sagas.start(plain, null);
    expect(await lab.stuck(run.id)).toMatchObject({ why: 'unrecordable' });
    await lab.untilFree(run.id);
    await lab.test.pool.query('DROP TRIGGER refuse_end ON holdfast.saga_journal; DROP FUNCTION refuse_end');
    await lab.postRunMessage(run.id, { kind: 'retry', actor: 'ann' });
    await lab.until(run.id, 'completed');
    expect(await run.result({ timeout: '20s' })).toBe(1);
  });
});

describe('a run that is started again by its id', () => {
  it('is the one that is there', async () => {
    const open = gate();
    const slow = saga({
      name: 'slow',
      input: z.null(),
      steps: { a: step({ run: () => open.promise.then(() => 1) }) },
      run: ({ steps }) => steps.a(),
    });
    const worker = await lab.worker([slow]);
    const id = '0190b8a4-0000-7000-8000-00000000abcd';
    const first = await worker.sagas.start(slow, null, { id });
    await lab.untilEvent(id, 'called', 'a');
    const second = await worker.sagas.start(slow, null, { id });
    expect([first.created, second.created]).toEqual([true, false]);
    open.open();
    expect(await Promise.all([first.result({ timeout: '20s' }), second.result({ timeout: '20s' })])).toEqual([1, 1]);
  });
});
