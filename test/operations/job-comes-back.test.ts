/** A job comes back to what was in somebody's hands, and says of how much it could not get hold, and why. */
import type { PoolClient } from 'pg';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { JobAct } from '../../src/operations/jobs/job.ts';
import { workOff, type JobRunnerParts } from '../../src/operations/jobs/job-runner.ts';
import { showJob } from '../../src/operations/jobs/jobs.ts';
import { parkedGroups } from '../../src/operations/parked/parked-groups.ts';
import { listParked } from '../../src/operations/parked/parked.ts';
import { systemClock } from '../../src/runtime/clock.ts';
import { DISCARD, jobLab, NONE, parts, RETRY } from './job-lab.ts';
import { useLab } from './lab.ts';
import { emptySagas, runMessagesOf, seedRun } from './saga-lab.ts';

const lab = useLab();
const { parkMessages, parkDeliveries, due, start } = jobLab(lab);
const EVERY_PAUSE = [1_000, 2_000, 4_000, 8_000, 15_000];

/** Who has what the job wants. */
let holder: PoolClient;
beforeEach(async () => {
  holder = await lab.database.pool.connect();
  await holder.query('BEGIN');
});
afterEach(async () => {
  await holder.query('ROLLBACK');
  holder.release();
});
const letGo = () => holder.query('ROLLBACK');
const hold = (table: string, id: unknown) =>
  holder.query(`SELECT 1 FROM holdfast.${table} WHERE ${table === 'saga_run' ? 'id' : 'message_id'} = $1 FOR UPDATE`, [
    id,
  ]);

/** Waits for nothing, and tells of the pauses of a job that comes back. */
function watched(onPause: (nth: number) => unknown = () => undefined): {
  readonly pauses: number[];
  /** What may end the pauses. */
  readonly signals: (AbortSignal | undefined)[];
  readonly parts: JobRunnerParts;
} {
  const pauses: number[] = [];
  const signals: (AbortSignal | undefined)[] = [];
  const sleep = async (delayMs: number, signal?: AbortSignal): Promise<void> => {
    if (!EVERY_PAUSE.includes(delayMs)) return;
    pauses.push(delayMs);
    signals.push(signal);
    await onPause(pauses.length);
  };
  return { pauses, signals, parts: { ...parts, clock: { ...systemClock, sleep } } };
}

const idsInAudit = async (): Promise<readonly string[]> =>
  (await lab.audit()).flatMap(({ details, action, subject }) =>
    action === 'parked.retry' ? (details['ids'] as string[]) : action === 'parked.discard' ? [subject.slice(9)] : [],
  );

describe.each([
  ['retry', RETRY],
  ['discard', DISCARD],
] as const)('a job that is to %s', (_, act) => {
  it('comes back to what a handler had, once it was let go', async () => {
    const ids = await parkDeliveries(3);
    await hold('parked_delivery', ids[1]);
    const { pauses, parts: with2 } = watched((nth) => (nth === 2 ? letGo() : undefined));
    const job = await workOff(lab.database, await start(act), {}, with2);
    expect(job).toMatchObject({ state: 'done', done: 3, passedOver: NONE, failed: NONE, examples: [] });
    expect(pauses).toEqual([1_000, 2_000]);
    expect([...(await idsInAudit())].toSorted()).toEqual([...ids].toSorted());
  });

  it('says that it could not get it, when it stays in somebody’s hands', async () => {
    const ids = await parkDeliveries(3);
    await hold('parked_delivery', ids[1]);
    const { pauses, parts: all } = watched();
    const job = await workOff(lab.database, await start(act), {}, all);
    expect(job).toMatchObject({ state: 'done', done: 2, passedOver: { HF_LOCK_WAIT: 1 } });
    expect(job.examples).toMatchObject([{ subject: `shipping/${ids[1]}`, code: 'HF_LOCK_WAIT' }]);
    expect(pauses).toEqual(EVERY_PAUSE);
    expect(await idsInAudit()).not.toContain(ids[1]);
  });

  it('says that it has gone, when who had it has dealt with it', async () => {
    const ids = await parkDeliveries(3);
    await hold('parked_delivery', ids[1]);
    const handled = async (): Promise<void> => {
      await holder.query('DELETE FROM holdfast.parked_delivery WHERE message_id = $1', [ids[1]]);
      await holder.query('COMMIT');
    };
    const { pauses, parts: one } = watched(handled);
    const job = await workOff(lab.database, await start(act), {}, one);
    expect(job).toMatchObject({ state: 'done', done: 2, passedOver: { HF_NOT_FOUND: 1 } });
    expect(job.examples).toMatchObject([{ subject: `shipping/${ids[1]}`, code: 'HF_NOT_FOUND' }]);
    expect(pauses).toEqual([1_000]);
  });

  it('comes back to what a relay had', async () => {
    await parkMessages(4);
    await holder.query('SELECT 1 FROM holdfast.parked_message WHERE seq = 2 FOR UPDATE');
    const job = await workOff(lab.database, await start(act), {}, watched(letGo).parts);
    expect(job).toMatchObject({ state: 'done', done: 4, passedOver: NONE, examples: [] });
    expect(new Set((await lab.audit()).map(({ subject }) => subject)).size).toBeGreaterThan(2);
    expect(act === DISCARD ? (await listParked(lab.database)).length : 4 - (await due())).toBe(0);
  });

  it('goes on with it in another process, when the first one stops or dies meanwhile', async () => {
    const ids = await parkDeliveries(2);
    await hold('parked_delivery', ids[0]);
    const id = await start(act);
    const stop = new AbortController();
    const waits = watched(() => stop.abort());
    const stopped = await workOff(lab.database, id, { signal: stop.signal }, waits.parts);
    expect(waits.signals).toEqual([stop.signal]);
    // Whoever ended it here would have told of it.
    expect(stopped).toMatchObject({ state: 'open', done: 1, passedOver: { HF_LOCK_WAIT: 1 }, runner: null });
    const died = watched(() => {
      throw new Error('killed');
    });
    await expect(workOff(lab.database, id, {}, died.parts)).rejects.toThrow('killed');
    await letGo();
    expect(await workOff(lab.database, id, {}, watched().parts)).toMatchObject({ done: 2, passedOver: NONE });
    expect([...(await idsInAudit())].toSorted()).toEqual([...ids].toSorted());
  });
});

it('comes back to a message where it was in hand, and not where another consumer has the same one', async () => {
  const [id] = await parkDeliveries(1);
  await lab.parkDelivery('billing', id as string);
  await holder.query(
    `SELECT 1 FROM holdfast.parked_delivery WHERE consumer = 'shipping' AND message_id = $1 FOR UPDATE`,
    [id],
  );
  const job = await workOff(lab.database, await start(RETRY), {}, watched(letGo).parts);
  expect(job).toMatchObject({ state: 'done', done: 2, passedOver: NONE });
  const acts = (await lab.audit()).filter(({ action }) => action === 'parked.retry');
  expect(acts.map(({ subject, details }) => [subject, details['ids']])).toEqual([
    ['billing/*', [id]],
    ['shipping/*', []],
    ['shipping/*', [id]],
  ]);
});

it('does nothing twice when its connection is cut while it comes back, before the commit or after', async () => {
  const ids = await parkDeliveries(4);
  await hold('parked_delivery', ids[1]);
  await holder.query('SELECT 1 FROM holdfast.parked_delivery WHERE message_id = $1 FOR UPDATE', [ids[2]]);
  const cuts: string[] = [];
  let isBack = false;
  const { parts: pausing } = watched(async () => {
    isBack = true;
    await letGo();
  });
  const job = await workOff(
    lab.database,
    await start(RETRY, { rate: 1 }),
    {},
    {
      ...pausing,
      crashPoint: (point) => {
        if (!isBack || !point.startsWith('job.commit') || cuts.includes(point)) return;
        cuts.push(point);
        throw Object.assign(new Error('Connection terminated unexpectedly'), { code: 'ECONNRESET' });
      },
    },
  );
  expect(cuts).toEqual(['job.commit:before', 'job.commit:after']);
  expect(job).toMatchObject({ state: 'done', done: 4, passedOver: NONE, examples: [] });
  expect([...(await idsInAudit())].toSorted()).toEqual([...ids].toSorted());
});

it('tells of one that fails when it comes back to it, and no more that it was in somebody’s hands', async () => {
  const [first] = await parkDeliveries(2);
  await hold('parked_delivery', first);
  await lab.database.query(
    `CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
       BEGIN IF OLD.message_id = '${first}' THEN RAISE 'it stays'; END IF; RETURN NULL; END $$;
     CREATE TRIGGER refuse AFTER DELETE ON holdfast.parked_delivery FOR EACH ROW EXECUTE FUNCTION public.refuse()`,
  );
  try {
    const job = await workOff(lab.database, await start(DISCARD), {}, watched(letGo).parts);
    expect(job).toMatchObject({ state: 'done', done: 1, passedOver: NONE, failed: { other: 1 } });
    expect(job.examples).toMatchObject([{ message: expect.stringContaining('it stays') as string }]);
  } finally {
    await lab.database.query('DROP FUNCTION public.refuse() CASCADE');
  }
});

it('leaves one alone that has failed otherwise since, and does not fit any more', async () => {
  const [first] = await parkDeliveries(2);
  const { groups } = await parkedGroups(lab.database, { consumer: 'shipping' });
  await hold('parked_delivery', first);
  const failedAgain = async (): Promise<void> => {
    await holder.query(`UPDATE holdfast.parked_delivery SET error = 'Error: quite another' WHERE message_id = $1`, [
      first,
    ]);
    await holder.query('COMMIT');
  };
  const act: JobAct = { kind: 'parked.discard', select: { group: groups[0]?.id } };
  const job = await workOff(lab.database, await start(act), {}, watched(failedAgain).parts);
  expect(job).toMatchObject({ state: 'done', done: 1, passedOver: { HF_NOT_FOUND: 1 } });
  expect(await listParked(lab.database)).toMatchObject([{ id: first }]);
});

it('comes back to a run that its worker had', async () => {
  await emptySagas(lab.database);
  const [held, free] = [await seedRun(lab.database, {}), await seedRun(lab.database, {})];
  await hold('saga_run', held);
  const act: JobAct = { kind: 'saga.cancel', select: {} };
  const id = await start(act);
  const { pauses, parts: one } = watched(letGo);
  expect(await workOff(lab.database, id, {}, one)).toMatchObject({ done: 2, passedOver: NONE, examples: [] });
  expect(pauses).toEqual([1_000]);
  const asked = (await runMessagesOf(lab.database)) as readonly { saga_id: string }[];
  expect(asked.map(({ saga_id }) => saga_id).toSorted()).toEqual([held, free].toSorted());
  expect(await showJob(lab.database, id)).toMatchObject({ state: 'done' });
});
