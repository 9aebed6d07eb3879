/** One act on all runs that match, and runs found by their key, on a real database. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { findRunId } from '../../src/operations/sagas/find-run.ts';
import { runJob } from '../../src/operations/jobs/job-runner.ts';
import { startJob } from '../../src/operations/jobs/jobs.ts';
import { actOnRuns, planBulk } from '../../src/operations/jobs/saga-bulk.ts';
import { openDatabase, type Database } from '../../src/postgres/database.ts';
import { createTestDatabase, type TestDatabase } from '../support/servers.ts';
import { emptySagas, runMessagesOf, seedRun, STUCK_IN_DOUBT } from './saga-lab.ts';

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

const by = { actor: 'anna', reason: 'the bank is back' };
const declined = { ...STUCK_IN_DOUBT, error: { name: 'HoldfastError', code: 'HF_STEP_TIMEOUT', message: 'no answer' } };
const typo = { ...STUCK_IN_DOUBT, error: { name: 'TypeError', message: 'x is not a function' } };
const retried = async () =>
  (await runMessagesOf(database)).map((runMessage) => (runMessage as { saga_id: string }).saga_id).toSorted();

describe('an act on all runs that match', () => {
  it('is counted and shown first, and changes nothing then', async () => {
    for (let n = 0; n < 3; n += 1) await seedRun(database, declined);
    await seedRun(database, typo);
    await seedRun(database, { ...declined, saga: 'book-trip' });
    await seedRun(database, { status: 'waiting' });
    expect(await planBulk(database, { kind: 'retry' }, { saga: 'place-order' })).toMatchObject({
      runs: 4,
      atLeast: false,
      groups: [
        { saga: 'place-order', status: 'stuck', error: 'HF_STEP_TIMEOUT', runs: 3 },
        { error: 'TypeError', runs: 1 },
      ],
    });
    expect(await planBulk(database, { kind: 'skip' }, { saga: 'place-order' })).toMatchObject({ runs: 4 });
    expect(await planBulk(database, { kind: 'cancel' }, {})).toMatchObject({ runs: 6 });
    expect(await planBulk(database, { kind: 'cancel' }, { status: ['waiting'] })).toMatchObject({ runs: 1 });
    expect(await runMessagesOf(database)).toEqual([]);
  });

  it('reaches each of them once, over several pages, with an audit row each, and no other', async () => {
    const wanted: string[] = [];
    for (let n = 0; n < 230; n += 1) wanted.push(await seedRun(database, declined));
    await seedRun(database, typo);
    await seedRun(database, { status: 'waiting' });
    const progress: number[] = [];
    const { bulk, done, passedOver } = await actOnRuns(
      database,
      { kind: 'retry' },
      { error: 'HF_STEP_TIMEOUT' },
      {
        ...by,
        onProgress: ({ done: so }) => progress.push(so),
      },
    );
    expect({ done, passedOver }).toEqual({ done: 230, passedOver: {} });
    expect(progress).toEqual([200, 230]);
    expect(await retried()).toEqual(wanted.toSorted());
    const { rows } = await database.query(
      `SELECT subject FROM holdfast.audit WHERE action = 'saga.retry' AND reason = $1 AND details ->> 'bulk' = $2`,
      [by.reason, bulk],
    );
    expect(rows.map(({ subject }) => String(subject)).toSorted()).toEqual(wanted.toSorted());
  });

  it('passes over what has moved on since it was listed, and says so', async () => {
    await seedRun(database, declined);
    const past = await seedRun(database, { status: 'waiting', pivoted: true });
    const free = await seedRun(database, { status: 'waiting' });
    const result = await actOnRuns(database, { kind: 'cancel' }, { status: ['waiting'] }, by);
    expect(result).toMatchObject({ done: 1, passedOver: { HF_SAGA_PIVOTED: 1 } });
    expect(await retried()).toEqual([free]);
    expect(past).not.toBe(free);
  });

  it('leaves alone a run that got stuck after it was started, and one that started after it', async () => {
    const [stuck, later] = [await seedRun(database, declined), await seedRun(database, { status: 'waiting' })];
    const retry = await startJob(database, { kind: 'saga.retry', select: {} }, by);
    const cancel = await startJob(database, { kind: 'saga.cancel', select: { status: ['pending'] } }, by);
    await database.query(
      `UPDATE holdfast.saga_run SET status = 'stuck', updated_at = clock_timestamp() WHERE id = $1`,
      [later],
    );
    await seedRun(database, { status: 'pending' });
    await database.query(`UPDATE holdfast.saga_run SET started_at = clock_timestamp() WHERE status = 'pending'`);
    expect(await runJob(database, retry.id)).toMatchObject({ state: 'done', done: 1 });
    expect(await runJob(database, cancel.id)).toMatchObject({ state: 'done', done: 0 });
    expect(await retried()).toEqual([stuck]);
  });

  it('cancels a run that has gone on since it was started', async () => {
    const waiting = await seedRun(database, { status: 'waiting' });
    const cancel = await startJob(database, { kind: 'saga.cancel', select: {} }, by);
    await database.query(`UPDATE holdfast.saga_run SET updated_at = clock_timestamp()`);
    expect(await runJob(database, cancel.id)).toMatchObject({ state: 'done', done: 1 });
    expect(await retried()).toEqual([waiting]);
  });

  it('can be told to end', async () => {
    for (let n = 0; n < 5; n += 1) await seedRun(database, declined);
    const told = AbortSignal.abort();
    expect(await actOnRuns(database, { kind: 'retry' }, {}, { ...by, signal: told })).toMatchObject({ done: 0 });
    expect(await runMessagesOf(database)).toEqual([]);
  });

  it('refuses a selection that makes no sense', async () => {
    await expect(planBulk(database, { kind: 'retry' }, { status: ['waiting'] })).rejects.toMatchObject({
      code: 'HF_CONFIG',
    });
    await expect(planBulk(database, { kind: 'cancel' }, { status: ['completed'] })).rejects.toMatchObject({
      code: 'HF_CONFIG',
    });
    await expect(planBulk(database, { kind: 'cancel' }, { sagas: 'x' } as object)).rejects.toMatchObject({
      code: 'HF_OPTION_UNKNOWN',
    });
  });
});

describe('findRunId', () => {
  it('takes an id or a key', async () => {
    const id = await seedRun(database, { key: 'o-1' });
    await seedRun(database, { saga: 'book-trip', key: 'o-2' });
    expect(await findRunId(database, id)).toBe(id);
    expect(await findRunId(database, 'o-1')).toBe(id);
    const asKey = await seedRun(database, { key: '0199f3a0-0000-7000-8000-0000000000ff' });
    expect(await findRunId(database, '0199f3a0-0000-7000-8000-0000000000ff')).toBe(asKey);
  });

  it('asks which, where several sagas have the key', async () => {
    const order = await seedRun(database, { key: 'o-1' });
    const trip = await seedRun(database, { saga: 'book-trip', key: 'o-1' });
    await expect(findRunId(database, 'o-1')).rejects.toMatchObject({
      code: 'HF_CONFIG',
      advice: expect.stringMatching(new RegExp(`(${order}|${trip}).*(${order}|${trip})`)) as string,
    });
    expect(await findRunId(database, 'o-1', 'book-trip')).toBe(trip);
  });

  it('says so when there is none', async () => {
    await expect(findRunId(database, 'o-9')).rejects.toMatchObject({
      code: 'HF_NOT_FOUND',
      message: expect.stringContaining('o-9') as string,
    });
    await expect(findRunId(database, 'o-9', 'book-trip')).rejects.toMatchObject({ code: 'HF_NOT_FOUND' });
  });
});

it('says what ails the database, and does not pass on what the driver says', async () => {
  const gone = openDatabase({ url: 'postgres://127.0.0.1:1/none' });
  const bare = openDatabase({ url: test.url, schema: 'nowhere' });
  try {
    const unavailable = { code: 'HF_DATABASE_UNAVAILABLE' };
    await expect(findRunId(gone, 'o-1')).rejects.toMatchObject(unavailable);
    await expect(actOnRuns(gone, { kind: 'retry' }, {}, by)).rejects.toMatchObject(unavailable);
    await expect(findRunId(bare, 'o-1')).rejects.toMatchObject({ code: 'HF_SCHEMA_MISSING' });
  } finally {
    await Promise.all([gone.close(), bare.close()]);
  }
});
