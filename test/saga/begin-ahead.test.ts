/**
 * Transaction steps that begin before it is recorded that they were called (ADR 0022): their own commit records it, and where that does
 * not come, or anything else happens to the run meanwhile, it is recorded all the same.
 *
 * Fails when the row that was left to a transaction is lost with it, is written twice, or stands in its way; and when what has to be
 * recorded first is not.
 */
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { z } from 'zod';
import { openDatabase } from '../../src/postgres/database.ts';
import { saga } from '../../src/saga/definition/definition.ts';
import { transaction } from '../../src/saga/kinds/transaction.ts';
import { step } from '../../src/saga/kinds/step.ts';
import { readHistories } from '../../src/saga/journal/histories.ts';
import { checkReplay } from '../../src/saga/replay/check-replay.ts';
import { isCommit, startTcpProxy } from '../support/faults/tcp-proxy.ts';
import { eventually } from '../support/eventually.ts';
import { gate, openLab, type Lab } from './lab.ts';

let lab: Lab;
beforeAll(async () => {
  lab = await openLab();
});
afterEach(() => lab.settle());
afterAll(() => lab.dispose());

/** The events of each row, as `type call`. */
async function rows(runId: string): Promise<readonly (readonly string[])[]> {
  const { rows: found } = await lab.test.pool.query<{ events: { t: string; call?: string }[]; at: Date }>(
    'SELECT events, at FROM holdfast.saga_journal WHERE saga_id = $1 ORDER BY n',
    [runId],
  );
  const times = found.map(({ at }) => at.getTime());
  expect(times).toEqual(times.toSorted((a, b) => a - b));
  return found.map(({ events }) => events.map(({ t, call }) => (call === undefined ? t : `${t} ${call}`)));
}

async function effects(): Promise<readonly string[]> {
  const { rows: found } = await lab.test.pool.query<{ what: string }>('SELECT what FROM effect ORDER BY id');
  return found.map(({ what }) => what);
}

const write = (what: string, before: () => unknown = () => {}) =>
  transaction({
    retry: { attempts: 2 },
    async run(_: void, { tx }) {
      await before();
      await tx.query('INSERT INTO effect (what) VALUES ($1)', [what]);
      return what;
    },
    compensate: async (_call, { tx }) => void (await tx.query('DELETE FROM effect WHERE what = $1', [what])),
  });

const chain = (first: () => unknown, second: () => unknown) =>
  saga({
    name: 'chain',
    input: z.null(),
    signals: { word: z.string() },
    steps: { one: write('one', first), two: write('two', second), three: write('three') },
    async run({ steps, now }) {
      const times = [now()];
      const told = [];
      for (const each of [steps.one, steps.two, steps.three]) {
        told.push(await each());
        times.push(now());
      }
      if (times.some((at, index) => at < (times[index - 1] ?? at))) throw new Error('time went back');
      return told.join(' ');
    },
  });
const nothing = (): void => {};

it('write what was called with what came of it: a chain of them is a commit each', async () => {
  const flow = chain(nothing, nothing);
  const worker = await lab.worker([flow]);
  const before = worker.progress.commits;
  const run = await worker.sagas.start(flow, null);
  expect(await run.result({ timeout: '20s' })).toBe('one two three');
  expect(await rows(run.id)).toEqual([
    ['started', 'called one'],
    ['done one'],
    ['called two', 'done two'],
    ['called three', 'done three'],
    ['completed'],
  ]);
  expect(worker.progress.commits - before).toBe(2);
  expect(await effects()).toEqual(['one', 'two', 'three']);
});

it('leave journals that the code is replayed against, in the middle as well', async () => {
  const held = gate();
  const flow = chain(nothing, () => held.promise);
  const worker = await lab.worker([flow], { waiting: 0 });
  const run = await lab.client([flow]).start(flow, null);
  await lab.untilEvent(run.id, 'done', 'one');
  expect(await rows(run.id)).toEqual([['started'], ['called one'], ['done one']]);
  await lab.takeOver(worker.id);
  const second = await lab.worker([flow], { waiting: 0 });
  // Recovered from a lost worker: what is begun is recorded first, so that code that kills its worker is found.
  await lab.untilEvent(run.id, 'called', 'two');
  expect((await rows(run.id)).slice(3)).toEqual([['recovered', 'called two']]);
  held.open();
  expect(await run.result({ timeout: '20s' })).toBe('one two three');
  expect((await rows(run.id)).slice(4)).toEqual([['done two'], ['called three'], ['done three'], ['completed']]);
  expect(await effects()).toEqual(['one', 'two', 'three']);
  await second.stop();
  const [history] = await readHistories(lab.database, { saga: 'chain', finished: true });
  if (history === undefined) throw new Error('there is no history');
  expect(await checkReplay(flow, history)).toMatchObject({ kind: 'fits', ended: true });
});

it('record the call with the attempt that failed, and make the next one after that', async () => {
  let failures = 1;
  const flow = chain(nothing, () => {
    if (failures-- > 0) throw new Error('not yet');
  });
  const worker = await lab.worker([flow]);
  const run = await worker.sagas.start(flow, null);
  expect(await run.result({ timeout: '20s' })).toBe('one two three');
  expect((await rows(run.id)).slice(2)).toEqual([
    ['called two', 'attempt failed two'],
    ['done two'],
    ['called three', 'done three'],
    ['completed'],
  ]);
});

it('record the call when it fails for good, and compensate what was done', async () => {
  const flow = chain(nothing, () => {
    throw new Error('never');
  });
  const worker = await lab.worker([flow]);
  const run = await worker.sagas.start(flow, null);
  await expect(run.result({ timeout: '20s' })).rejects.toMatchObject({ code: 'HF_SAGA_UNDONE' });
  expect((await rows(run.id)).slice(2, 4)).toEqual([
    ['called two', 'attempt failed two'],
    ['failed two', 'undoing', 'compensating one'],
  ]);
  expect(await effects()).toEqual([]);
});

it('record the call before a fallback is asked', async () => {
  const held = gate();
  const flow = saga({
    name: 'falls-back',
    input: z.null(),
    steps: {
      first: write('first'),
      second: transaction({
        retry: { attempts: 1 },
        run: (): string => {
          throw new Error('no');
        },
        fallback: () => held.promise.then(() => 'instead'),
      }),
    },
    async run({ steps }) {
      await steps.first();
      return steps.second();
    },
  });
  const worker = await lab.worker([flow]);
  const run = await worker.sagas.start(flow, null);
  await lab.untilEvent(run.id, 'called', 'second');
  held.open();
  expect(await run.result({ timeout: '20s' })).toBe('instead');
  expect((await rows(run.id)).slice(2)).toEqual([['called second'], ['done second', 'completed']]);
});

it('let be recorded what comes meanwhile, the call with it', async () => {
  const held = gate();
  const begun = gate();
  const flow = chain(nothing, () => (begun.open(), held.promise));
  const worker = await lab.worker([flow]);
  const run = await worker.sagas.start(flow, null);
  await begun.promise;
  expect(await lab.story(run.id)).not.toContain('called two');
  await run.signal('word', 'hello');
  await lab.untilEvent(run.id, 'called', 'two');
  held.open();
  expect(await run.result({ timeout: '20s' })).toBe('one two three');
  expect((await rows(run.id)).slice(2)).toEqual([
    ['called two', 'signal'],
    ['done two'],
    ['called three', 'done three'],
    ['completed'],
  ]);
});

it('are rolled back by a cancellation, which records that they were called', async () => {
  const begun = gate();
  const flow = chain(nothing, () => (begun.open(), new Promise(() => {})));
  const worker = await lab.worker([flow]);
  const run = await worker.sagas.start(flow, null);
  await begun.promise;
  await run.cancel();
  await expect(run.result({ timeout: '20s' })).rejects.toMatchObject({ code: 'HF_SAGA_UNDONE' });
  expect((await rows(run.id))[2]?.slice(0, 2)).toEqual(['called two', 'undoing']);
  expect(await effects()).toEqual([]);
});

it('that last long are recorded when the lease is prolonged', async () => {
  const held = gate();
  const flow = chain(nothing, () => held.promise);
  const worker = await lab.worker([flow], { lease: '3s' });
  const run = await worker.sagas.start(flow, null);
  await lab.untilEvent(run.id, 'called', 'two');
  held.open();
  expect(await run.result({ timeout: '20s' })).toBe('one two three');
  expect((await rows(run.id)).slice(2, 4)).toEqual([['called two'], ['done two']]);
});

it('are left to whoever goes on when the worker stops, and recorded when it cuts them short', async () => {
  const begun = gate();
  const flow = chain(nothing, () => (begun.open(), new Promise(() => {})));
  const worker = await lab.worker([flow]);
  const run = await worker.sagas.start(flow, null);
  await begun.promise;
  await worker.stop({ signal: AbortSignal.timeout(200) });
  expect((await rows(run.id)).slice(2)).toEqual([['called two', 'attempt failed two']]);
  const next = chain(nothing, nothing);
  await lab.worker([next]);
  await lab.until(run.id, 'completed');
  expect(await effects()).toEqual(['one', 'two', 'three']);
});

it('do not begin ahead of a pivot, of what was done outside, or beside others', async () => {
  const flow = saga({
    name: 'not-ahead',
    input: z.null(),
    steps: {
      outside: step({ run: async () => 'outside' }),
      left: write('left'),
      right: write('right'),
      pivot: transaction({ pivot: true, run: async () => 'pivot' }),
      after: write('after'),
    },
    async run({ steps }) {
      await steps.outside();
      await steps.left();
      await Promise.all([steps.left(undefined, { id: 'again' }), steps.right()]);
      await steps.pivot();
      await steps.after();
    },
  });
  const worker = await lab.worker([flow]);
  const run = await worker.sagas.start(flow, null);
  await run.result({ timeout: '20s' });
  const found = await rows(run.id);
  // Two at a time wait for each other's row, and none has to be made again for that.
  expect(found.flat().filter((event) => event.startsWith('attempt failed'))).toEqual([]);
  expect(found).toContainEqual(['done outside', 'called left']);
  expect(found).toContainEqual(['called left:again', 'called right']);
  expect(found).toContainEqual(['called pivot']);
  expect(found.slice(-2)).toEqual([['called after', 'done after'], ['completed']]);
});

it.each(['before', 'after', 'late'] as const)('have their row once when COMMIT is cut (%s)', async (fate) => {
  const proxy = await startTcpProxy(lab.test.url);
  const database = openDatabase({ url: proxy.url, max: 4 });
  const flow = chain(nothing, nothing);
  const worker = await lab.worker([flow], { database });
  let records = 0;
  proxy.judge = (bytes) => {
    if (!isCommit(bytes) || !bytes.includes('record_step')) return 'pass';
    records += 1;
    return records === 2 ? fate : 'pass';
  };
  const run = await worker.sagas.start(flow, null);
  await eventually('the second record to be sent', async () => records >= 2);
  expect(await run.result({ timeout: '30s' })).toBe('one two three');
  await proxy.deliverLate();
  const found = (await rows(run.id)).slice(2);
  if (fate === 'after')
    expect(found).toEqual([['called two', 'done two'], ['called three', 'done three'], ['completed']]);
  else
    expect(found).toEqual([
      [],
      ['called two', 'attempt failed two'],
      ['done two'],
      ['called three', 'done three'],
      ['completed'],
    ]);
  expect(await effects()).toEqual(['one', 'two', 'three']);
  await worker.stop();
  await database.close();
  await proxy.close();
});
