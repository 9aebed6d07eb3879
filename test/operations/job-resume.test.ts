/** A person has a job gone on with: that it is taken, and that the audit says so, are one commit. */
import { expect, it, onTestFinished } from 'vitest';
import { resumeAndRunJob, runJob, workOff } from '../../src/operations/jobs/job-runner.ts';
import { showJob } from '../../src/operations/jobs/jobs.ts';
import { listAudit } from '../../src/operations/reads/audit.ts';
import { DISCARD, jobLab, parts } from './job-lab.ts';
import { useLab } from './lab.ts';

const lab = useLab();
const { parkMessages, start } = jobLab(lab);
const PERSON = { actor: 'otto', reason: 'it was the right group' };

const resumptions = (job: string) => listAudit(lab.database, { job, action: 'job.resume' });

/** A job of which a hundred are done, and nobody works on it. */
async function stopped(): Promise<string> {
  await parkMessages(250);
  const id = await start(DISCARD);
  const stop = new AbortController();
  await runJob(lab.database, id, { signal: stop.signal, onProgress: () => stop.abort() });
  return id;
}

it('stands in the audit once, with where the job stood, and not for a job that has ended', async () => {
  const id = await stopped();
  expect(await resumptions(id)).toEqual([]);
  expect(await resumeAndRunJob(lab.database, id, PERSON)).toMatchObject({ state: 'done', done: 250 });
  expect(await resumptions(id)).toMatchObject([{ ...PERSON, subject: id, details: { done: 100 } }]);
  expect(await resumeAndRunJob(lab.database, id, PERSON)).toMatchObject({ state: 'done' });
  expect(await resumptions(id)).toHaveLength(1);
});

it('does not stand there while another one works on it', async () => {
  const id = await stopped();
  await lab.database.query(
    `UPDATE holdfast.operation_job SET lease_owner = 'first', lease_until = now() + interval '1 minute' WHERE id = $1`,
    [id],
  );
  await expect(resumeAndRunJob(lab.database, id, PERSON)).rejects.toMatchObject({ code: 'HF_LEASE_LOST' });
  expect(await resumptions(id)).toEqual([]);
});

it('stands there when the process dies as soon as it has the job', async () => {
  const id = await stopped();
  const crashPoint = (point: string): void => {
    if (point === 'job.take:after') throw new Error('died');
  };
  const dying = workOff(lab.database, id, { runner: 'dies', resumedBy: PERSON }, { ...parts, crashPoint });
  await expect(dying).rejects.toThrow('died');
  expect(await showJob(lab.database, id)).toMatchObject({ runner: 'dies', done: 100 });
  expect(await resumptions(id)).toMatchObject([PERSON]);
});

it('does not happen when the audit cannot be written', async () => {
  const id = await stopped();
  await lab.database.query(
    `ALTER TABLE holdfast.audit ADD CONSTRAINT no_resume CHECK (action <> 'job.resume') NOT VALID`,
  );
  onTestFinished(async () => void (await lab.database.query('ALTER TABLE holdfast.audit DROP CONSTRAINT no_resume')));
  await expect(resumeAndRunJob(lab.database, id, PERSON)).rejects.toThrow(/no_resume/);
  expect(await showJob(lab.database, id)).toMatchObject({ state: 'open', runner: null, done: 100 });
});
