/** Which jobs a dashboard goes on with by itself, and which wait for a person. */
import { expect, it } from 'vitest';
import { runJob, workOff } from '../../src/operations/jobs/job-runner.ts';
import { abandonedJobs, resumeJob } from '../../src/operations/jobs/jobs.ts';
import { DISCARD, jobLab, parts } from './job-lab.ts';
import { useLab } from './lab.ts';

const lab = useLab();
const { parkMessages, start } = jobLab(lab);

const abandoned = () => abandonedJobs(lab.database, 'dashboard:');
const theLeaseIsOver = () =>
  lab.database.query(`UPDATE holdfast.operation_job SET lease_until = clock_timestamp() - interval '1 second'`);

/** One that its process was told to stop after a chunk. */
async function stopped(handOver: boolean): Promise<string> {
  const id = await start(DISCARD);
  const stop = new AbortController();
  await runJob(lab.database, id, { signal: stop.signal, handOver, onProgress: () => stop.abort() });
  return id;
}

it('those that were handed over, and not those that a person has stopped', async () => {
  await parkMessages(250);
  await stopped(false);
  expect(await abandoned()).toEqual([]);
  const id = await stopped(true);
  expect(await abandoned()).toEqual([id]);
  await runJob(lab.database, id);
  expect(await abandoned()).toEqual([]);
});

it('those whose process has died, once their lease is over', async () => {
  await parkMessages(1);
  const id = await start(DISCARD);
  const crashPoint = (point: string): void => {
    if (point === 'job.take:after') throw new Error('died');
  };
  await expect(workOff(lab.database, id, {}, { ...parts, crashPoint })).rejects.toThrow('died');
  expect(await abandoned()).toEqual([]);
  await theLeaseIsOver();
  expect(await abandoned()).toEqual([id]);
});

it('those that a person wants gone on with, should whoever was to do it die first', async () => {
  await parkMessages(250);
  const id = await stopped(false);
  await resumeJob(lab.database, id, { actor: 'otto', reason: 'it was the right group' });
  expect(await abandoned()).toEqual([id]);
  // Nobody has it yet, so nobody has to wait.
  expect(await runJob(lab.database, id)).toMatchObject({ state: 'done', done: 250 });
  await resumeJob(lab.database, id, { actor: 'otto', reason: 'it was the right group' });
  expect(await abandoned()).toEqual([]);
});

it('those that a dashboard wrote down and did not begin, and not those that a person has yet to begin', async () => {
  await parkMessages(1);
  await start(DISCARD);
  const ours = await start(DISCARD, { actor: 'dashboard:otto' });
  expect(await abandoned()).toEqual([ours]);
});
