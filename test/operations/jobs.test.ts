/** Acts on many: counted and shown, done once each, with their rows of the audit, whoever works on them. */
import { randomUUID } from 'node:crypto';
import { afterEach, describe, expect, it } from 'vitest';
import type { JobAct } from '../../src/operations/jobs/job.ts';
import { runJob, workOff } from '../../src/operations/jobs/job-runner.ts';
import { doctor } from '../../src/operations/doctor/doctor.ts';
import { abortJob, listJobs, planJob, showJob, startJob } from '../../src/operations/jobs/jobs.ts';
import { parkedGroups } from '../../src/operations/parked/parked-groups.ts';
import { listParked } from '../../src/operations/parked/parked.ts';
import { keyLock } from '../../src/inbox/stores/inbox-store.ts';
import { by, DISCARD, jobLab, NONE, restless, RETRY } from './job-lab.ts';
import { useLab } from './lab.ts';

const lab = useLab();
const { parkMessages, parkDeliveries, due, start } = jobLab(lab);

afterEach(async () => {
  await lab.database.query('DROP FUNCTION IF EXISTS public.refuse() CASCADE');
});

describe('a job on parked messages', () => {
  it('is counted and shown first, and changes nothing then', async () => {
    await parkMessages(5);
    await parkDeliveries(2);
    const plan = await planJob(lab.database, RETRY);
    expect(plan).toMatchObject({ count: 7, atLeast: false, runs: [] });
    expect(plan.parked.map(({ messages }) => messages)).toEqual([3, 2, 2]);
    expect(plan.sample).toHaveLength(3);
    expect(await due()).toBe(0);
    expect(await lab.audit()).toEqual([]);
  });

  it('makes each of them due, in all places, with the ids in the audit of each commit', async () => {
    await parkMessages(250);
    const deliveries = await parkDeliveries(3);
    const id = await start(RETRY);
    const progress: number[] = [];
    const job = await runJob(lab.database, id, { onProgress: ({ done }) => progress.push(done) });
    expect(job).toMatchObject({ state: 'done', planned: 253, done: 253, passedOver: NONE, failed: NONE, runner: null });
    expect(progress).toEqual([100, 125, 225, 250, 253]);
    expect(await due()).toBe(253);
    const [started, ...acts] = await lab.audit();
    expect(started).toMatchObject({ action: 'job.start', subject: id, actor: 'anna', details: { planned: 253 } });
    expect(acts.map(({ action, subject }) => [action, subject])).toEqual([
      ...Array.from({ length: 2 }, () => ['parked.retry', 'main/*']),
      ...Array.from({ length: 2 }, () => ['parked.retry', 'other/*']),
      ['parked.retry', 'shipping/*'],
    ]);
    const ids = acts.flatMap(({ details }) => details['ids'] as string[]);
    expect(new Set(ids).size).toBe(253);
    expect(ids).toEqual(expect.arrayContaining([...deliveries]));
    expect(acts.every(({ details, reason }) => details['job'] === id && reason === by.reason)).toBe(true);
  });

  it('is for one kind of error, when told so', async () => {
    await parkMessages(4, { error: 'Error: order 1 is too big' });
    await parkMessages(2, { error: 'Error: order 1 is unknown' });
    const { groups } = await parkedGroups(lab.database, { subscription: 'main' });
    const wanted = groups.find(({ error }) => error === 'Error: order <n> is too big');
    const job = await runJob(lab.database, await start({ kind: 'parked.retry', select: { group: wanted?.id } }));
    expect(job).toMatchObject({ state: 'done', done: 2 });
    expect(await due()).toBe(2);
  });

  it('gives them up with a row of the audit each, and what waited behind them goes on', async () => {
    const { relay, transport, ids } = await lab.withParked([{ n: 1 }, { n: 2 }, { n: 3, who: 'you' }], new Set([1, 3]));
    const [first, second] = [randomUUID(), randomUUID()];
    await lab.parkDelivery('shipping', first, 'k');
    await lab.parkDelivery('shipping', second, 'k');
    await lab.database.query(
      `UPDATE holdfast.parked_delivery SET state = 'behind', reason = 'behind an earlier message of its key', error = NULL
       WHERE message_id = $1`,
      [second],
    );
    const id = await start(DISCARD);
    expect(await runJob(lab.database, id)).toMatchObject({ done: 3, state: 'done' });
    expect(await listParked(lab.database)).toMatchObject([
      { id: ids[1], state: 'behind', retryInMs: 0 },
      { id: second, state: 'behind', retryInMs: 0 },
    ]);
    const acts = (await lab.audit()).filter(({ action }) => action === 'parked.discard');
    expect(acts.map(({ subject }) => subject)).toEqual([`main/${ids[0]}`, `main/${ids[2]}`, `shipping/${first}`]);
    expect(acts[0]).toMatchObject({ actor: 'anna', details: { job: id, kind: 'relay', seq: 1, topic: 'note.taken' } });
    // A duplicate of what was discarded is still recognised.
    const { rows } = await lab.database.query('SELECT message_id FROM holdfast.inbox');
    expect(rows).toEqual([{ message_id: first }]);
    await relay.stop();
    await relay.tick();
    expect(transport.data<{ n: number }>().map(({ n }) => n)).toEqual([2]);
  });

  it('leaves alone what is parked after it was started', async () => {
    await parkMessages(3);
    const id = await start(DISCARD);
    await parkMessages(2);
    expect(await runJob(lab.database, id)).toMatchObject({ done: 3 });
    expect(await listParked(lab.database)).toHaveLength(2);
  });

  it('retries one that fails again meanwhile only once', async () => {
    await parkMessages(150);
    const id = await start(RETRY);
    const again = async (): Promise<void> => {
      await lab.database.query(`UPDATE holdfast.parked_message SET next_attempt_at = NULL`);
    };
    const job = await runJob(lab.database, id, { onProgress: () => void again() });
    expect(job.done).toBe(150);
    const ids = (await lab.audit()).flatMap(({ details }) => (details['ids'] as string[] | undefined) ?? []);
    expect(ids).toHaveLength(150);
    expect(new Set(ids).size).toBe(150);
  });
});

describe('a job that nobody goes on with', () => {
  it('is told of by the doctor with what goes on with it, once it has been left for a minute', async () => {
    await parkMessages(3);
    const id = await start(RETRY);
    const told = async () => (await doctor(lab.database)).findings.filter(({ check }) => check === 'jobs.orphaned');
    expect(await told()).toEqual([]);
    await lab.database.query(`UPDATE holdfast.operation_job SET updated_at = now() - interval '5 min'`);
    expect(await told()).toMatchObject([
      {
        level: 'warn',
        what: `Nobody goes on with the job ${id} (parked.retry) that ${by.actor} has started: 0 of 3 done, the last 5 min ago.`,
        repair: `holdfast job resume ${id}`,
      },
    ]);
    // Somebody has taken it up.
    await lab.database.query(
      `UPDATE holdfast.operation_job SET lease_owner = 'x', lease_until = now() + interval '1 min'`,
    );
    expect(await told()).toEqual([]);
    await lab.database.query(`UPDATE holdfast.operation_job SET lease_until = now() - interval '1 s'`);
    expect(await told()).toHaveLength(1);
    await abortJob(lab.database, id, by);
    expect(await told()).toEqual([]);
  });
});

describe('a start', () => {
  it('wants a reason, and is refused when there are far more than were shown', async () => {
    await parkMessages(30);
    await expect(startJob(lab.database, RETRY, { ...by, reason: ' ' })).rejects.toMatchObject({ code: 'HF_CONFIG' });
    await expect(startJob(lab.database, RETRY, { ...by, expected: 19 })).rejects.toMatchObject({
      code: 'HF_CONFIG',
      details: { now: 30, shown: 19 },
    });
    expect(await listJobs(lab.database)).toEqual([]);
    expect(await lab.audit()).toEqual([]);
    await start(RETRY, { expected: 20 });
    expect(await listJobs(lab.database, { state: 'open', orphaned: true })).toMatchObject([
      { planned: 30, runner: null },
    ]);
  });

  it.each([
    ['an act nobody knows', { kind: 'parked.edit', select: {} }, {}],
    ['no selection', { kind: 'parked.retry' }, {}],
    ['a selection nobody knows', { kind: 'parked.retry', select: { subject: 'k' } }, {}],
    ['an option of another act', { kind: 'parked.discard', select: {}, withoutPredecessor: true }, {}],
    ['a rate of nothing', RETRY, { rate: 0 }],
    ['a rate that is too slow', RETRY, { rate: 0.01 }],
  ])('refuses %s', async (_, act, more) => {
    await expect(startJob(lab.database, act as JobAct, { ...by, ...more })).rejects.toMatchObject({
      code: expect.stringMatching(/^HF_(CONFIG|OPTION_UNKNOWN)$/) as string,
    });
    expect(await listJobs(lab.database)).toEqual([]);
  });

  it('leaves no job without its row of the audit, and no act without', async () => {
    await parkMessages(2);
    const id = await start(DISCARD);
    await lab.database.query('ALTER TABLE holdfast.audit ADD CONSTRAINT no_audit CHECK (false) NOT VALID');
    try {
      await expect(start(DISCARD)).rejects.toThrow(/no_audit/);
      // It is not the messages' fault, but that is not known: both are told as failed, and are as they were.
      expect(await runJob(lab.database, id)).toMatchObject({ state: 'done', done: 0, failed: { other: 2 } });
    } finally {
      await lab.database.query('ALTER TABLE holdfast.audit DROP CONSTRAINT no_audit');
    }
    expect(await listJobs(lab.database)).toMatchObject([{ id }]);
    expect(await listParked(lab.database)).toHaveLength(2);
  });
});

describe('an act that fails', () => {
  it('is told with an example and holds up nobody else', async () => {
    await parkMessages(7);
    await lab.database.query(
      `CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN IF OLD.seq = 4 THEN RAISE 'seq 4 stays'; END IF; RETURN NULL; END $$;
       CREATE CONSTRAINT TRIGGER refuse AFTER DELETE ON holdfast.parked_message DEFERRABLE INITIALLY DEFERRED
         FOR EACH ROW EXECUTE FUNCTION public.refuse()`,
    );
    const job = await runJob(lab.database, await start(DISCARD));
    expect(job).toMatchObject({ state: 'done', done: 6, failed: { other: 1 }, passedOver: NONE });
    const [left] = await listParked(lab.database);
    expect(left).toMatchObject({ seq: 4 });
    expect(job.examples).toEqual([
      { subject: `main/${left?.id}`, code: null, message: expect.stringContaining('seq 4 stays') as string },
    ]);
  });

  it('is passed over when the message is being handled', async () => {
    const [handled, other] = await parkDeliveries(2);
    const client = await lab.database.pool.connect();
    try {
      await client.query('BEGIN');
      await client.query('SELECT 1 FROM holdfast.parked_delivery WHERE message_id = $1 FOR UPDATE', [handled]);
      for (const act of [RETRY, DISCARD]) {
        const job = await workOff(lab.database, await start(act), {}, restless);
        expect(job).toMatchObject({ state: 'done', done: 1, passedOver: { HF_LOCK_WAIT: 1 } });
        expect(job.examples).toMatchObject([{ subject: `shipping/${handled}`, code: 'HF_LOCK_WAIT' }]);
      }
    } finally {
      await client.query('ROLLBACK');
      client.release();
    }
    expect(await listParked(lab.database)).toMatchObject([{ id: handled, state: 'dead' }]);
    expect(other).not.toBe(handled);
  });

  it('is passed over when its key is in the hands of a handler', async () => {
    const [handled] = await parkDeliveries(2);
    const client = await lab.database.pool.connect();
    try {
      await client.query('BEGIN');
      await client.query('SELECT pg_advisory_xact_lock($1::bigint)', [keyLock('shipping', 'key 0')]);
      expect(await workOff(lab.database, await start(DISCARD), {}, restless)).toMatchObject({
        done: 1,
        passedOver: { HF_LOCK_WAIT: 1 },
      });
    } finally {
      await client.query('ROLLBACK');
      client.release();
    }
    expect(await listParked(lab.database)).toMatchObject([{ id: handled }]);
  });

  it('waits for a relay that has its row for a moment, and goes by one that is locked for long', async () => {
    await parkMessages(3);
    const client = await lab.database.pool.connect();
    try {
      await client.query('BEGIN');
      await client.query('SELECT 1 FROM holdfast.parked_message WHERE seq = 2 FOR UPDATE');
      const job = await workOff(lab.database, await start(DISCARD), {}, restless);
      expect(job).toMatchObject({ state: 'done', done: 2, passedOver: { HF_LOCK_WAIT: 1 }, failed: NONE });
    } finally {
      await client.query('ROLLBACK');
      client.release();
    }
  });
});

it('is aborted once, and not when it has ended', async () => {
  await parkMessages(1);
  const [aborted, done] = [await start(RETRY), await start(RETRY)];
  await runJob(lab.database, done);
  for (const id of [aborted, aborted, done]) await abortJob(lab.database, id, by);
  expect((await listJobs(lab.database)).map(({ state }) => state)).toEqual(['done', 'aborted']);
  expect((await lab.audit()).filter(({ action }) => action === 'job.abort')).toHaveLength(1);
});

it('knows no job that is not there', async () => {
  await expect(showJob(lab.database, randomUUID())).rejects.toMatchObject({ code: 'HF_NOT_FOUND' });
  await expect(showJob(lab.database, 'x')).rejects.toMatchObject({ code: 'HF_NOT_FOUND' });
  await expect(runJob(lab.database, randomUUID())).rejects.toMatchObject({ code: 'HF_NOT_FOUND' });
  await expect(abortJob(lab.database, randomUUID(), by)).rejects.toMatchObject({ code: 'HF_NOT_FOUND' });
});
