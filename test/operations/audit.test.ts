/** The audit, looked into by what people ask of it, and by the job that wrote it. */
import { randomUUID } from 'node:crypto';
import { expect, it } from 'vitest';
import { workOff } from '../../src/operations/jobs/job-runner.ts';
import { abortJob } from '../../src/operations/jobs/jobs.ts';
import { listAudit, type AuditFilter } from '../../src/operations/reads/audit.ts';
import { by, DISCARD, jobLab, parts, RETRY } from './job-lab.ts';
import { useLab } from './lab.ts';
import { planned } from './plans.ts';
import { emptySagas, seedRun } from './saga-lab.ts';

const lab = useLab();
const { parkDeliveries, start } = jobLab(lab);
const actions = async (filter: AuditFilter): Promise<readonly string[]> =>
  (await listAudit(lab.database, filter)).map(({ action }) => action);

it('has the start of a job, all that it did and its end, and nothing of another one', async () => {
  await emptySagas(lab.database);
  const ids = await parkDeliveries(2);
  const run = await seedRun(lab.database, {});
  const [retry, aborted] = [await start(RETRY), await start(RETRY)];
  const cancel = await start({ kind: 'saga.cancel', select: {} });
  const discard = await start(DISCARD);
  await abortJob(lab.database, aborted, { actor: 'bert', reason: 'the wrong one' });
  for (const id of [retry, cancel, discard]) await workOff(lab.database, id, {}, parts);
  expect(await actions({ job: aborted })).toEqual(['job.abort', 'job.start']);
  expect(await actions({ job: retry })).toEqual(['parked.retry', 'job.start']);
  expect(await listAudit(lab.database, { job: cancel.toUpperCase() })).toMatchObject([
    { action: 'saga.cancel', subject: run, reason: by.reason },
    { action: 'job.start', subject: cancel },
  ]);
  const ofDiscard = await listAudit(lab.database, { job: discard });
  expect(ofDiscard.slice(0, 2).map(({ subject }) => subject)).toEqual(
    expect.arrayContaining(ids.map((id) => `shipping/${id}`)),
  );
  expect(ofDiscard).toHaveLength(3);
  // Page by page, and together with what else narrows it.
  const first = await listAudit(lab.database, { job: discard, limit: 1 });
  expect(await listAudit(lab.database, { job: discard, before: first[0]?.id })).toEqual(ofDiscard.slice(1));
  expect(await actions({ job: discard, action: 'parked.discard' })).toHaveLength(2);
  expect(await actions({ job: discard, actor: 'bert' })).toEqual([]);
  expect(await actions({ job: randomUUID() })).toEqual([]);
});

it('finds a job among very many acts by its index', async () => {
  const id = await start(RETRY);
  await lab.database.query(
    `INSERT INTO holdfast.audit (actor, action, subject, details)
     SELECT 'a', 'parked.discard', 'x/' || n, jsonb_build_object('job', gen_random_uuid()) FROM generate_series(1, 20000) AS n`,
  );
  await lab.database.query('ANALYZE holdfast.audit');
  const { database, plans } = planned(lab.database);
  expect(await listAudit(database, { job: id })).toHaveLength(1);
  expect(plans.join('')).toMatch(/Index Scan.* using audit_by_job/);
});

it.each([{ job: 'x' }, { job: '' }, { before: 'x' }, { limit: 0 }, { jobs: 'x' } as object])(
  'refuses %j',
  async (filter) => {
    await expect(listAudit(lab.database, filter)).rejects.toMatchObject({
      code: expect.stringMatching(/^HF_(CONFIG|OPTION_UNKNOWN)$/) as string,
    });
  },
);
