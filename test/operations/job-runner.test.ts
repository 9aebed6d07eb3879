/** Whoever works on a job: alone, taken over, cut off, aborted, at a rate; and two jobs at once. */
import { describe, expect, it } from 'vitest';
import { runJob, workOff } from '../../src/operations/jobs/job-runner.ts';
import { abortJob, showJob } from '../../src/operations/jobs/jobs.ts';
import { listParked } from '../../src/operations/parked/parked.ts';
import { systemClock } from '../../src/runtime/clock.ts';
import { DISCARD, jobLab, NONE, parts, restless, RETRY } from './job-lab.ts';
import { useLab } from './lab.ts';

const lab = useLab();
const { parkMessages, parkDeliveries, start } = jobLab(lab);

describe('whoever works on a job', () => {
  it('has it alone, and another one goes on when it was told to stop', async () => {
    await parkMessages(250);
    const id = await start(DISCARD);
    const stop = new AbortController();
    let refused: unknown;
    const stopped = await workOff(
      lab.database,
      id,
      {
        signal: stop.signal,
        runner: 'first',
        onProgress: () => stop.abort(),
      },
      {
        ...parts,
        crashPoint: (point) => {
          if (point !== 'job.commit:after') return;
          refused ??= runJob(lab.database, id, { runner: 'second' }).catch((error: unknown) => error);
        },
      },
    );
    expect(stopped).toMatchObject({ state: 'open', done: 100, runner: null });
    expect(await refused).toMatchObject({ code: 'HF_LEASE_LOST', message: expect.stringContaining('first') as string });
    expect(await runJob(lab.database, id, { runner: 'second' })).toMatchObject({ state: 'done', done: 250 });
    expect(await runJob(lab.database, id)).toMatchObject({ state: 'done', done: 250 });
  });

  it('does nothing more once another one has taken over, and nothing is done twice', async () => {
    await parkMessages(250);
    const id = await start(DISCARD, { rate: 50 });
    let taken: Promise<unknown> | undefined;
    const late = workOff(
      lab.database,
      id,
      { runner: 'late' },
      {
        ...parts,
        // It sleeps through its lease between two chunks.
        leaseMs: 0,
        clock: {
          ...systemClock,
          sleep: async () => {
            taken ??= workOff(lab.database, id, { runner: 'next' }, restless);
            await taken;
          },
        },
      },
    );
    await expect(late).rejects.toMatchObject({ code: 'HF_LEASE_LOST' });
    expect(await taken).toMatchObject({ state: 'done', done: 250 });
    const acts = (await lab.audit()).filter(({ action }) => action === 'parked.discard');
    expect(new Set(acts.map(({ subject }) => subject)).size).toBe(acts.length);
    expect(acts).toHaveLength(250);
  });

  it('leaves the lease to who has taken over, when it finds out', async () => {
    await parkMessages(250);
    const id = await start(DISCARD, { rate: 50 });
    const late = workOff(
      lab.database,
      id,
      { runner: 'late', handOver: true },
      {
        ...parts,
        leaseMs: 0,
        clock: {
          ...systemClock,
          sleep: async () => {
            await lab.database.query(
              `UPDATE holdfast.operation_job SET lease_owner = 'next', lease_epoch = lease_epoch + 1, lease_until = now() + interval '1 min'`,
            );
          },
        },
      },
    );
    await expect(late).rejects.toMatchObject({ code: 'HF_LEASE_LOST' });
    expect(await showJob(lab.database, id)).toMatchObject({ state: 'open', runner: 'next' });
  });

  it('loses nothing when its connection is cut during a commit', async () => {
    await parkMessages(150);
    const id = await start(DISCARD);
    let cuts = 0;
    const job = await workOff(
      lab.database,
      id,
      {},
      {
        ...parts,
        crashPoint: (point) => {
          if (point !== 'job.commit:before' || cuts >= 2) return;
          cuts += 1;
          throw Object.assign(new Error('Connection terminated unexpectedly'), { code: 'ECONNRESET' });
        },
      },
    );
    expect(cuts).toBe(2);
    expect(job).toMatchObject({ state: 'done', done: 150, failed: NONE });
    expect((await lab.audit()).filter(({ action }) => action === 'parked.discard')).toHaveLength(150);
  });

  it('learns of an abort with the next chunk; what is done stays done', async () => {
    await parkMessages(250);
    const id = await start(DISCARD, { rate: 200 });
    const abort = { actor: 'bert', reason: 'wrong group' };
    const sleep = async (): Promise<void> => void (await abortJob(lab.database, id, abort));
    // It rests after its first chunk, and what is aborted meanwhile is not gone on with.
    const job = await workOff(lab.database, id, {}, { ...parts, clock: { ...systemClock, monotonic: () => 0, sleep } });
    expect(job).toMatchObject({ state: 'aborted', done: 100 });
    const found = await showJob(lab.database, id);
    expect(found).toMatchObject({ state: 'aborted', runner: null });
    expect(await listParked(lab.database, { limit: 1000 })).toHaveLength(250 - found.done);
    expect((await lab.audit()).filter(({ action }) => action === 'job.abort')).toMatchObject([
      { actor: 'bert', subject: id, reason: 'wrong group' },
    ]);
    expect(await runJob(lab.database, id)).toMatchObject({ state: 'aborted', done: found.done });
  });

  it('keeps to the rate', async () => {
    await parkMessages(6);
    const rests: number[] = [];
    let nowMs = 0;
    const clock = {
      now: () => nowMs,
      monotonic: () => nowMs,
      sleep: async (delayMs: number) => {
        rests.push(delayMs);
        nowMs += delayMs;
      },
    };
    const job = await workOff(lab.database, await start(DISCARD, { rate: 4 }), {}, { ...parts, clock });
    expect(job.done).toBe(6);
    // Two of each place at a time: half a second's worth, and what is left of a place.
    expect(rests).toEqual([500, 250, 500, 250]);
  });

  it('is not held up by whoever watches', async () => {
    await parkMessages(3);
    const id = await start(RETRY);
    const onProgress = (): never => {
      throw new Error('the page is gone');
    };
    expect(await runJob(lab.database, id, { onProgress })).toMatchObject({ state: 'done', done: 3 });
  });
});

describe('two jobs at once', () => {
  it('on the same messages discard each of them once', async () => {
    await parkMessages(400);
    await parkDeliveries(20);
    const jobs = await Promise.all([start(DISCARD), start(DISCARD)]);
    const done = await Promise.all(jobs.map(async (id) => runJob(lab.database, id)));
    const acts = (await lab.audit()).filter(({ action }) => action === 'parked.discard');
    expect(acts).toHaveLength(420);
    expect(new Set(acts.map(({ subject }) => subject)).size).toBe(420);
    expect(done.reduce((sum, job) => sum + job.done, 0)).toBe(420);
    expect(await listParked(lab.database)).toEqual([]);
  });
});
