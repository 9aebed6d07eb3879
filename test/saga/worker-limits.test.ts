/** What a run may hold, in number and in bytes: limits refuse at the door, and never compensate what is under way. On PostgreSQL. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { judgeSagas } from '../../src/operations/doctor/doctor-sagas.ts';
import { sagaHealth } from '../../src/operations/sagas/saga-status.ts';
import { showRun } from '../../src/operations/sagas/sagas.ts';
import type { Logger } from '../../src/runtime/log.ts';
import { createSagas } from '../../src/saga/client/client.ts';
import { saga } from '../../src/saga/definition/definition.ts';
import { step } from '../../src/saga/kinds/step.ts';
import { eventually } from '../support/eventually.ts';
import { openLab, type Lab } from './lab.ts';

let lab: Lab;
beforeAll(async () => {
  lab = await openLab();
});
afterEach(() => lab.settle());
afterAll(() => lab.dispose());

function silentLog(loud: Partial<Logger>): Logger {
  const nothing = (): void => {};
  const log: Logger = { debug: nothing, info: nothing, warn: nothing, error: nothing, child: () => log, ...loud };
  return log;
}

const retry = { kind: 'retry', actor: 'ann' } as const;

describe('a journal that is full', () => {
  it('stops a run where it goes on under a higher limit; nothing is compensated', async () => {
    const did: string[] = [];
    const long = saga({
      name: 'long',
      input: z.null(),
      steps: { pay: step({ run: () => void did.push('pay'), compensate: () => void did.push('compensate') }) },
      async run({ steps, sleep }) {
        await steps.pay();
        for (let round = 0; round < 30; round += 1) await sleep(0);
        return 'done';
      },
    });
    const small = await lab.worker([long], { maxEvents: 40 });
    const run = await small.sagas.start(long, null);
    const { why, message } = await lab.stuck(run.id);
    expect(why).toBe('journal full');
    expect(message).toContain('the limit is 40. None of them was begun.');
    expect(await run.status()).toMatchObject({ status: 'stuck', growth: 100 });
    await lab.untilFree(run.id);
    await small.stop();
    await lab.worker([long], { maxEvents: 100 });
    await lab.postRunMessage(run.id, retry);
    await lab.until(run.id, 'completed');
    expect(await run.result({ timeout: '30s' })).toBe('done');
    expect(did).toEqual(['pay']);
  });

  it('is told of before it is: in the log, by status, doctor and show, with the limit', async () => {
    const growing = saga({
      name: 'growing',
      input: z.number(),
      signals: { go: z.null() },
      steps: { page: step({ run: (_: number) => null }) },
      async run({ input, steps, waitFor }) {
        for (let page = 0; page < input; page += 1) await steps.page(page, { id: `p${page}` });
        await waitFor('go');
      },
    });
    const warned: unknown[] = [];
    const log = silentLog({ warn: (fields) => void warned.push(fields) });
    const worker = await lab.worker([growing], { maxEvents: 40, log });
    const small = await worker.sagas.start(growing, 2);
    const large = await worker.sagas.start(growing, 17);
    for (const { id } of [small, large]) await lab.untilEvent(id, 'called', 'wait:go#1');
    expect(warned).toMatchObject([
      { run: large.id, percent: 50 },
      { run: large.id, percent: 80 },
    ]);
    const health = await sagaHealth(lab.database);
    expect(health.grown).toEqual([
      {
        saga: 'growing',
        version: 1,
        runs: 1,
        atLeast: false,
        percent: 80,
        run: large.id,
        limits: { maxEvents: 40, maxJournalBytes: 64 * 1024 * 1024 },
      },
    ]);
    expect(judgeSagas(health)).toMatchObject([
      { level: 'warn', check: 'sagas.journal', what: expect.stringContaining('40 events') },
    ]);
    expect((await showRun(lab.database, large.id)).fill).toMatchObject({ events: 36, percent: 80 });
    expect((await showRun(lab.database, small.id)).fill).toMatchObject({ events: 6, percent: 0 });
    await large.signal('go', null);
    await lab.until(large.id, 'completed');
    expect((await sagaHealth(lab.database)).grown).toEqual([]);
  });

  it('also in bytes: a call that would make it larger is not begun', async () => {
    let calls = 0;
    const wide = saga({
      name: 'wide',
      input: z.null(),
      steps: { page: step({ run: (_: number) => ((calls += 1), 'x'.repeat(20_000)), compensate: () => {} }) },
      async run({ steps }) {
        let total = 0;
        for (let page = 0; page < 10; page += 1) total += (await steps.page(page, { id: `p${page}` })).length;
        return total;
      },
    });
    const small = await lab.worker([wide], { maxJournalBytes: 65_536 });
    const run = await small.sagas.start(wide, null);
    expect(await lab.stuck(run.id)).toMatchObject({ why: 'journal full' });
    expect(calls).toBeLessThan(6);
    await lab.untilFree(run.id);
    await small.stop();
    await lab.worker([wide]);
    await lab.postRunMessage(run.id, retry);
    await lab.until(run.id, 'completed');
    expect(await run.result({ timeout: '30s' })).toBe(200_000);
    expect(calls).toBe(10);
  });

  it('refuses 5,000 calls at once before the first of them begins', async () => {
    let began = 0;
    const fan = saga({
      name: 'fan',
      input: z.null(),
      steps: { one: step({ run: (_: number) => void (began += 1), compensate: () => {} }) },
      run: ({ steps }) =>
        Promise.all(Array.from({ length: 5_000 }, (_, n) => steps.one(n, { id: `${n}` }))).then(() => steps.one(-1)),
    });
    const worker = await lab.worker([fan]);
    const run = await worker.sagas.start(fan, null);
    const { why, message } = await lab.stuck(run.id);
    expect([why, began]).toEqual(['journal full', 0]);
    expect(message).toContain('5000 calls at once');
    expect(await lab.story(run.id)).toEqual(['stuck']);
  });

  it('is not filled by attempts that fail, forward or back: the first ones and the last one are kept', async () => {
    let attempts = 0;
    const patient = saga({
      name: 'patient',
      input: z.boolean(),
      steps: {
        pay: step({ run: () => 'paid', pivot: true }),
        ship: step({
          run: () => {
            attempts += 1;
            if (attempts < 300) throw new Error(`no van, ${attempts}`);
            return attempts;
          },
        }),
        also: step({
          run: () => {
            throw new Error('never');
          },
          retry: { attempts: 60, within: '1h' },
          fallback: () => 'as good',
        }),
      },
      async run({ steps }) {
        await steps.pay();
        return Promise.all([steps.ship(), steps.also()]);
      },
    });
    const worker = await lab.worker([patient], { maxEvents: 60 });
    const run = await worker.sagas.start(patient, true);
    expect(await run.result({ timeout: '60s' })).toEqual([300, 'as good']);
    const failed = (await lab.events(run.id)).filter((event) => event.t === 'attempt failed');
    expect(failed.length).toBeLessThan(40);
    const ships = failed.filter(({ call }) => call === 'ship').map(({ attempt }) => attempt);
    expect(ships.slice(0, 10)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    expect(ships.at(-1)).toBe(299);
  });

  it('of a compensation as well, and what another worker makes of it is the same', async () => {
    let compensations = 0;
    const back = saga({
      name: 'back',
      input: z.null(),
      steps: {
        pay: step({
          run: () => 'paid',
          compensate: () => {
            compensations += 1;
            if (compensations < 200) throw new Error('not now');
          },
          compensation: { retry: { attempts: 100, within: '1h' } },
        }),
        fail: step({
          run: () => {
            throw new Error('no');
          },
          retry: { attempts: 1 },
        }),
      },
      async run({ steps }) {
        await steps.pay();
        await steps.fail();
      },
    });
    const worker = await lab.worker([back]);
    const run = await worker.sagas.start(back, null);
    expect(await lab.stuck(run.id)).toMatchObject({ why: 'compensation', call: 'pay' });
    await lab.untilFree(run.id);
    const failed = (await lab.events(run.id)).filter((event) => event.t === 'compensation failed');
    expect(failed.map(({ attempt }) => attempt).slice(-2)).toEqual([10, 100]);
    expect(failed.length).toBeLessThan(15);
    await worker.stop();
    await lab.worker([back]);
    await lab.postRunMessage(run.id, retry);
    await lab.until(run.id, 'compensated');
    expect(compensations).toBe(200);
  });
});

describe('signals that nobody waits for', () => {
  const paid = saga({
    name: 'paid',
    input: z.null(),
    signals: { note: z.string(), go: z.null() },
    steps: { pay: step({ run: () => 'paid', compensate: () => 'refunded' }) },
    async run({ steps, waitFor }) {
      const receipt = await steps.pay();
      await waitFor('go');
      return receipt;
    },
  });

  it('are refused to their sender beyond 1,000: those on their way, and those the run has taken in', async () => {
    const client = lab.client([paid]);
    const run = await client.start(paid, null);
    await lab.database.transaction(async (tx) => {
      for (let n = 0; n < 1_000; n += 1) await run.signal('note', `${n}`, { tx });
    });
    await expect(run.signal('note', 'more')).rejects.toMatchObject({ code: 'HF_SIGNALS_FULL' });
    await lab.worker([paid]);
    await eventually('the signals to be taken in', async () => {
      const { rows } = await lab.test.pool.query('SELECT 1 FROM holdfast.saga_mail LIMIT 1');
      return rows.length === 0;
    });
    await eventually('the figure to be told', async () => {
      const { rows } = await lab.test.pool.query('SELECT signals FROM holdfast.saga_run WHERE id = $1', [run.id]);
      return rows[0]?.signals > 950;
    });
    let accepted = 0;
    for (let n = 0; n < 100; n += 1) {
      const took = await run.signal('note', 'more').then(
        () => true,
        (error: unknown) => {
          expect(error).toMatchObject({ code: 'HF_SIGNALS_FULL' });
          return false;
        },
      );
      if (took) accepted += 1;
    }
    expect(accepted).toBeLessThan(60);
    expect(['running', 'waiting']).toContain((await run.status()).status);
  });

  it('and in bytes: 400 of 1 MiB do not come to a worker', async () => {
    const client = lab.client([paid]);
    const run = await client.start(paid, null);
    const large = 'x'.repeat(1_000_000);
    let refused = 0;
    for (let n = 0; n < 20; n += 1) {
      await run.signal('note', large).catch((error: unknown) => {
        expect(error).toMatchObject({ code: 'HF_SIGNALS_FULL' });
        refused += 1;
      });
    }
    expect(refused).toBe(4);
    await lab.worker([paid]);
    await eventually('room for a small one', () =>
      run.signal('go', null).then(
        () => true,
        () => false,
      ),
    );
    expect(await run.result({ timeout: '60s' })).toBe('paid');
  });
});

describe('a journal that is too large to be read', () => {
  const bulky = saga({
    name: 'bulky',
    input: z.string(),
    signals: { go: z.null() },
    steps: { fetch: step({ run: (n: number) => `${n}`.repeat(100_000), compensate: () => {} }) },
    async run({ input, steps, waitFor }) {
      if (input === 'large') for (let n = 0; n < 3; n += 1) await steps.fetch(n, { id: `f${n}` });
      await waitFor('go');
      return input;
    },
  });

  it('is set aside without being loaded, and keeps nobody from going on', async () => {
    const first = await lab.worker([bulky]);
    const large = await first.sagas.start(bulky, 'large');
    const other = await first.sagas.start(bulky, 'small');
    for (const { id } of [large, other]) await lab.untilEvent(id, 'called', 'wait:go#1');
    await first.stop();
    const small = await lab.worker([bulky], { maxJournalBytes: 65_536 });
    await Promise.all([large.signal('go', null), other.signal('go', null)]);
    expect(await other.result({ timeout: '30s' })).toBe('small');
    expect(await lab.stuck(large.id)).toMatchObject({ why: 'journal full' });
    expect((await lab.stuck(large.id)).message).toContain('set aside without being read');
    await small.stop();
    await lab.worker([bulky]);
    await lab.postRunMessage(large.id, retry);
    await lab.until(large.id, 'completed');
    expect(await large.result({ timeout: '30s' })).toBe('large');
  });
});

describe('a client with a larger maxBytes than the workers', () => {
  it('is refused, and its transaction goes on', async () => {
    const sized = saga({
      name: 'sized',
      input: z.string(),
      signals: { note: z.string() },
      steps: {},
      async run({ waitFor }) {
        return (await waitFor('note')).length;
      },
    });
    await lab.worker([sized], { maxBytes: 50_000 });
    const client = createSagas({ database: lab.database, sagas: [sized], maxBytes: 5_000_000 });
    const large = 'x'.repeat(100_000);
    const refused = { code: 'HF_PAYLOAD_TOO_LARGE', details: { limit: 50_000 } };
    const run = await lab.database.transaction(async (tx) => {
      await expect(client.start(tx, sized, large)).rejects.toMatchObject(refused);
      return client.start(tx, sized, 'small');
    });
    await expect(run.signal('note', large)).rejects.toMatchObject(refused);
    await run.signal('note', 'y'.repeat(40_000));
    expect(await run.result({ timeout: '30s' })).toBe(40_000);
    const { rows } = await lab.test.pool.query(`SELECT 1 FROM holdfast.saga_run WHERE saga = 'sized'`);
    expect(rows).toHaveLength(1);
  });
});
