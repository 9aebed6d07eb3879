/** What operators read of sagas, and what they do to runs, on a real database. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { judgeSagas } from '../../src/operations/doctor/doctor-sagas.ts';
import {
  cancelRun,
  resolveCall,
  retryRun,
  signalRun,
  skipCall,
} from '../../src/operations/sagas/saga-interventions.ts';
import { findUnrunnable, sagaStatus } from '../../src/operations/sagas/saga-status.ts';
import { listRuns, readJournal, showRun } from '../../src/operations/sagas/sagas.ts';
import { openDatabase, type Database } from '../../src/postgres/database.ts';
import { saga } from '../../src/saga/definition/definition.ts';
import { step } from '../../src/saga/kinds/step.ts';
import { createPostgresWorkerStore } from '../../src/saga/store/postgres/postgres-worker-store.ts';
import { createTestDatabase, type TestDatabase } from '../support/servers.ts';
import { planned } from './plans.ts';
import { NOBODY } from './lab.ts';
import { emptySagas, runMessagesOf, seedRun, seedWorker, STUCK_IN_DOUBT, STUCK_UNDOING } from './saga-lab.ts';

let test: TestDatabase;
let database: Database;
beforeAll(async () => {
  test = await createTestDatabase({ migrate: true });
  database = openDatabase({ url: test.url });
});
beforeEach(() => emptySagas(database));
afterAll(async () => {
  await database.close();
  await test.drop();
});

const act = { actor: 'anna', reason: 'because' };
const audit = async () =>
  (await database.query('SELECT actor, action, subject, reason, details FROM holdfast.audit ORDER BY id')).rows;
/** Ids that sort as they are numbered. */
const idOf = (n: number) => `0199f3a0-0000-7000-8000-${String(n).padStart(12, '0')}`;

describe('listRuns', () => {
  it('gives the newest first, in pages, and what the filters ask for', async () => {
    const worker = await seedWorker(database, 'w-1');
    await seedRun(database, { id: idOf(1), key: 'o-1', status: 'completed', startedAgo: 7_200 });
    await seedRun(database, { id: idOf(2), saga: 'book-trip', version: 2, worker });
    await seedRun(database, { ...STUCK_UNDOING, id: idOf(3) });
    const ids = async (filter: Parameters<typeof listRuns>[1]) =>
      (await listRuns(database, filter)).map(({ id }) => id);
    expect(await ids({})).toEqual([idOf(3), idOf(2), idOf(1)]);
    expect(await ids({ limit: 2 })).toEqual([idOf(3), idOf(2)]);
    expect(await ids({ before: idOf(2) })).toEqual([idOf(1)]);
    expect(await ids({ saga: 'book-trip', version: 2 })).toEqual([idOf(2)]);
    expect(await ids({ status: ['completed', 'running'] })).toEqual([idOf(2), idOf(1)]);
    expect(await ids({ stuck: true })).toEqual([idOf(3)]);
    expect(await ids({ key: 'o-1' })).toEqual([idOf(1)]);
    expect(await ids({ since: new Date(Date.now() - 3_600_000) })).toEqual([idOf(3), idOf(2)]);
    const [, running] = await listRuns(database);
    expect(running).toMatchObject({ worker: { id: worker, name: 'w-1' }, version: 2, finishedAt: null });
    await expect(listRuns(database, { limit: 0 })).rejects.toMatchObject({ code: 'HF_CONFIG' });
    await expect(listRuns(database, { before: 'x' })).rejects.toMatchObject({ code: 'HF_CONFIG' });
    await expect(listRuns(database, { stcuk: true } as never)).rejects.toMatchObject({ code: 'HF_OPTION_UNKNOWN' });
    await expect(listRuns(database, { status: ['done' as never] })).rejects.toMatchObject({ code: 'HF_CONFIG' });
  });

  it('asks stuck runs of their index, and no question touches the journals', async () => {
    await database.query(
      `INSERT INTO holdfast.saga_run (id, saga, version, status, finished_at)
       SELECT gen_random_uuid(), 'place-order', 1, CASE WHEN n % 1000 = 0 THEN 'stuck' ELSE 'completed' END,
         CASE WHEN n % 1000 <> 0 THEN now() END
       FROM generate_series(1, 20000) n`,
    );
    await database.query('ANALYZE holdfast.saga_run');
    const { database: spy, plans } = planned(database);
    expect(await listRuns(spy, { stuck: true })).toHaveLength(20);
    expect(plans.at(-1)).toMatch(/saga_run_stuck/);
    await listRuns(spy, { before: idOf(5) });
    expect(plans.at(-1)).toMatch(/saga_run_pkey/);
    await sagaStatus(spy);
    expect(plans.join('\n')).not.toMatch(/saga_journal/);
  });
});

describe('showRun', () => {
  it('has all that is known of a run', async () => {
    const id = await seedRun(database, STUCK_UNDOING);
    const child = await seedRun(database, { saga: 'ship-it', parent: { id, call: 'ship' } });
    await retryRun(database, id, { actor: 'anna' });
    const found = await showRun(database, id);
    expect(found).toMatchObject({
      run: { id, status: 'stuck', error: { message: 'no such payment' }, parent: null },
      journal: [{ n: 0 }, { n: 1 }, { n: 2 }, { n: 3, events: [{ t: 'compensation failed' }, { t: 'stuck' }] }],
      runMessages: [{ kind: 'retry', body: { kind: 'retry', actor: 'anna' } }],
      children: [{ id: child, saga: 'ship-it', parent: { id, call: 'ship' } }],
    });
    expect(found.now - (found.journal[0]?.at ?? 0)).toBeGreaterThan(59_000);
    expect(await readJournal(database, NOBODY)).toEqual([]);
    await expect(showRun(database, NOBODY)).rejects.toMatchObject({ code: 'HF_NOT_FOUND' });
    await expect(showRun(database, 'o-1')).rejects.toMatchObject({ code: 'HF_CONFIG' });
  });
});

describe('sagaStatus', () => {
  it('tells counts, workers, what is due, and what nobody can run', async () => {
    const worker = await seedWorker(database, 'w-1', { sagas: ['place-order@1'] });
    await seedWorker(database, 'dead', { sagas: ['place-order@2'], leaseIn: -5 });
    await seedRun(database, { worker });
    await seedRun(database, { wakeIn: -30 });
    await seedRun(database, { wakeIn: 3_600, status: 'waiting' });
    await seedRun(database, { version: 2, wakeIn: -90 });
    await seedRun(database, STUCK_UNDOING);
    const addressed = await seedRun(database, { saga: 'book-trip', status: 'waiting' });
    await signalRun(database, addressed, { name: 'go' }, act);
    const status = await sagaStatus(database);
    expect(status).toMatchObject({
      counts: { atLeast: false },
      stuck: [{ saga: 'place-order', runs: 1 }],
      due: [
        { saga: 'place-order', version: 1, runs: 1, atLeast: false },
        { saga: 'place-order', version: 2, runs: 1 },
      ],
      workers: [
        { name: 'dead', live: false, leaseMs: 0, runs: 0 },
        { name: 'w-1', live: true, sagas: ['place-order@1'], runs: 1, draining: false },
      ],
      unrunnable: [
        { saga: 'place-order', version: 2, runs: 1 },
        { saga: 'book-trip', version: 1, runs: 1 },
      ],
    });
    expect(status?.counts.counts).toEqual(
      expect.arrayContaining([
        { saga: 'place-order', status: 'running', runs: 3 },
        { saga: 'place-order', status: 'stuck', runs: 1 },
        { saga: 'book-trip', status: 'waiting', runs: 1 },
      ]),
    );
    expect(status?.due[1]?.oldestMs).toBeGreaterThan(89_000);
    expect(judgeSagas(status!).map(({ level, check }) => `${level} ${check}`)).toEqual([
      'error sagas.nobody',
      'error sagas.nobody',
      'warn sagas.stuck',
      'note sagas.expired-worker',
    ]);
  });

  it('tells of a worker that it is draining once its lease was renewed so', async () => {
    const id = await seedWorker(database, 'leaving');
    const store = createPostgresWorkerStore({ database });
    await store.renew(id, 15_000, true);
    expect((await sagaStatus(database))?.workers).toMatchObject([{ name: 'leaving', draining: true }]);
    await store.close();
  });

  it('counts a draining worker as none', () => {
    const due = { saga: 'a', version: 1, runs: 2, atLeast: false, oldestMs: 5 };
    const worker = {
      id: '',
      name: '',
      sagas: ['a@1'],
      codes: {},
      live: true,
      leaseMs: 1,
      startedAt: new Date(),
      runs: 0,
    };
    expect(findUnrunnable([due], [{ ...worker, draining: false }])).toEqual([]);
    expect(findUnrunnable([due, { ...due, runs: 3, oldestMs: 1 }], [{ ...worker, draining: true }])).toEqual([
      { ...due, runs: 3 },
    ]);
  });
});

describe('acts on runs', () => {
  it('write mail and audit together', async () => {
    const id = await seedRun(database, STUCK_UNDOING);
    expect(await retryRun(database, id, act)).toEqual({ id, status: 'stuck' });
    await skipCall(database, id, 'charge', act);
    await resolveCall(database, id, { call: null, as: 'compensated' }, act);
    await cancelRun(database, id, { actor: 'bert' });
    expect(await runMessagesOf(database)).toMatchObject([
      { saga_id: id, kind: 'retry', body: { kind: 'retry', actor: 'anna', reason: 'because' } },
      { kind: 'skip', body: { call: 'charge', actor: 'anna', reason: 'because' } },
      { kind: 'resolve', body: { call: 'charge', as: 'compensated' } },
      { kind: 'cancel', body: { actor: 'bert' } },
    ]);
    expect(await audit()).toMatchObject([
      { actor: 'anna', action: 'saga.retry', subject: id, reason: 'because', details: { status: 'stuck' } },
      { action: 'saga.skip', details: { call: 'charge' } },
      { action: 'saga.resolve', details: { call: 'charge', as: 'compensated' } },
      { actor: 'bert', action: 'saga.cancel', reason: null },
    ]);
  });

  it('want a run that is stuck, and stuck there', async () => {
    const compensating = await seedRun(database, STUCK_UNDOING);
    const doubt = await seedRun(database, STUCK_IN_DOUBT);
    const running = await seedRun(database);
    const refused: readonly (readonly [() => Promise<unknown>, string])[] = [
      [() => retryRun(database, running, act), 'HF_SAGA_NOT_STUCK'],
      [() => skipCall(database, running, 'charge', act), 'HF_SAGA_NOT_STUCK'],
      [() => retryRun(database, NOBODY, act), 'HF_NOT_FOUND'],
      [() => skipCall(database, NOBODY, 'charge', act), 'HF_NOT_FOUND'],
      [() => skipCall(database, compensating, 'ship', act), 'HF_SAGA_NOT_STUCK'],
      [() => skipCall(database, doubt, 'pay', act), 'HF_SAGA_NOT_STUCK'],
      [() => skipCall(database, compensating, 'charge', { actor: 'anna', reason: ' ' }), 'HF_CONFIG'],
      [() => resolveCall(database, compensating, { call: 'ship', as: 'done' }, act), 'HF_SAGA_NOT_STUCK'],
      [() => resolveCall(database, compensating, { call: 'charge', as: 'done' }, act), 'HF_CONFIG'],
      [() => resolveCall(database, compensating, { call: '*', as: 'done' }, act), 'HF_CONFIG'],
      [() => resolveCall(database, doubt, { call: 'pay', as: 'compensated' }, act), 'HF_CONFIG'],
      [() => resolveCall(database, doubt, { call: 'pay', as: 'not done', output: 1 }, act), 'HF_CONFIG'],
      [() => resolveCall(database, doubt, { call: 'pay', as: 'done', output: 1n }, act), 'HF_PAYLOAD_NOT_JSON'],
      [() => resolveCall(database, doubt, { call: 'pay', as: 'done' }, { actor: 'anna', reason: '' }), 'HF_CONFIG'],
    ];
    for (const [attempt, code] of refused) await expect(attempt()).rejects.toMatchObject({ code });
    expect(await runMessagesOf(database)).toEqual([]);
    expect(await audit()).toEqual([]);
    await resolveCall(database, doubt, { call: null, as: 'done', output: { id: 'p-1' } }, act);
    await resolveCall(database, compensating, { call: '*', as: 'compensated' }, act);
    expect(await runMessagesOf(database)).toMatchObject([
      { body: { kind: 'resolve', call: 'pay', as: 'done', output: { id: 'p-1' } } },
      { body: { call: '*', as: 'compensated' } },
    ]);
  });

  it('come too late for what has ended, is being compensated, or is past its pivot', async () => {
    const ended = await seedRun(database, { status: 'compensated' });
    const pivoted = await seedRun(database, { pivoted: true });
    const compensating = await seedRun(database, { status: 'compensating' });
    await expect(cancelRun(database, ended, act)).rejects.toMatchObject({ code: 'HF_SAGA_FINISHED' });
    await expect(signalRun(database, ended, { name: 'go' }, act)).rejects.toMatchObject({ code: 'HF_SAGA_FINISHED' });
    await expect(retryRun(database, ended, act)).rejects.toMatchObject({ code: 'HF_SAGA_FINISHED' });
    await expect(cancelRun(database, pivoted, act)).rejects.toMatchObject({ code: 'HF_SAGA_PIVOTED' });
    await expect(signalRun(database, compensating, { name: 'go' }, act)).rejects.toMatchObject({
      code: 'HF_SAGA_UNDONE',
    });
    expect(await cancelRun(database, compensating, act)).toMatchObject({ status: 'compensating' });
  });

  it('check a signal against the definition, where there is one', async () => {
    const id = await seedRun(database, { status: 'waiting' });
    const approve = saga({
      name: 'place-order',
      input: z.object({}),
      steps: { note: step({ run: () => 1 }) },
      signals: { approved: z.object({ by: z.string().default('nobody') }) },
      run: async () => {},
    });
    const signal = (name: string, payload?: unknown) =>
      signalRun(database, id, { name, payload, saga: approve, id: 's-1' }, act);
    await expect(signal('aproved')).rejects.toThrow(/Did you mean "approved"/);
    await expect(signal('approved', { by: 3 })).rejects.toMatchObject({ code: 'HF_PAYLOAD_INVALID' });
    await signal('approved', {});
    expect(await runMessagesOf(database)).toMatchObject([
      { kind: 'signal', body: { kind: 'signal', name: 'approved', payload: { by: 'nobody' }, id: 's-1' } },
    ]);
    expect(await audit()).toMatchObject([{ action: 'saga.signal', details: { signal: 'approved', signalId: 's-1' } }]);
  });
});
