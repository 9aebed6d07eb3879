/** Imports, of jobs that the libraries themselves have made on a real PostgreSQL. */
import { Logger, makeWorkerUtils, runOnce, type WorkerUtils } from 'graphile-worker';
import { PgBoss } from 'pg-boss';
import PgBoss10 from 'pg-boss-10';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { graphileWorkerSource } from '../../src/operations/import/graphile-worker.ts';
import { planImport } from '../../src/operations/import/import-jobs.ts';
import { pgBossSource } from '../../src/operations/import/pg-boss.ts';
import { ACT, states, useImportLab } from './import-lab.ts';

const LATER = new Date(Date.UTC(2090, 0, 31, 12));

const { lab, move, written } = useImportLab();

const scheduled = async () =>
  (await lab.database.query(`SELECT topic, key, due_at FROM holdfast.scheduled_message ORDER BY due_at`)).rows;

describe('an import from pg-boss 12', () => {
  let boss: PgBoss;

  beforeAll(async () => {
    boss = new PgBoss({ connectionString: lab.url, supervise: false, schedule: false });
    await boss.start();
    for (const queue of ['mail', 'invoice']) await boss.createQueue(queue, { retryLimit: 0 });
    await boss.send('mail', { to: 'a@b.c' }, { singletonKey: 'a' });
    await boss.send('mail', { to: 'later' }, { startAfter: LATER, group: { id: 'g-1' } });
    await boss.send('invoice', null);
    await boss.send('mail', { to: 'in hand' }, { priority: 9 });
    await boss.fetch('mail');
    const failed = await boss.send('invoice', { n: 1 }, { priority: 9 });
    await boss.fetch('invoice');
    await boss.fail('invoice', failed ?? '', { message: 'no paper' });
  });
  afterAll(async () => boss.stop({ graceful: false }));

  it('counts first, and shows what would become of them', async () => {
    const plan = await planImport(lab.database, await pgBossSource(lab.database), {
      topics: new Map([['mail', 'mail.requested']]),
    });
    expect(states(plan.counts)).toEqual({
      'mail waiting': 2,
      'mail busy': 1,
      'invoice waiting': 1,
      'invoice failed': 1,
    });
    expect(plan.examples).toMatchObject([{ name: 'mail', topic: 'mail.requested', key: 'a', due: null }]);
    expect(plan.left).toMatchObject([{ name: 'invoice', why: 'nothing says its topic', count: 1 }]);
    expect(await written()).toEqual([]);
  });

  it('moves what waits, keeps times and keys, and leaves the rest', async () => {
    const source = await pgBossSource(lab.database);
    const report = await move(source, { topics: new Map([['mail', 'mail.requested']]), sameNames: true, batch: 1 });
    expect(report).toMatchObject({ moved: 3, left: [] });
    expect(states(report.counts)).toEqual({ 'mail busy': 1, 'invoice failed': 1 });
    expect(await written()).toEqual([
      {
        topic: 'mail.requested',
        key: 'a',
        payload: '{"to": "a@b.c"}',
        source: expect.stringMatching(/^pg-boss:mail\//),
      },
      { topic: 'invoice', key: null, payload: 'null', source: expect.stringMatching(/^pg-boss:invoice\//) },
    ]);
    expect(await scheduled()).toEqual([{ topic: 'mail.requested', key: 'g-1', due_at: LATER }]);
    const acts = await lab.database.query(
      `SELECT actor, action, subject, reason, details FROM holdfast.audit ORDER BY id`,
    );
    expect(acts.rows).toHaveLength(3);
    expect(acts.rows[0]).toMatchObject({
      ...ACT,
      action: 'import.pg-boss',
      subject: 'pgboss.job',
      details: { moved: 1 },
    });

    expect(await move(source, { sameNames: true })).toMatchObject({ moved: 0 });
    expect(await move(source, { sameNames: true, failed: true })).toMatchObject({ moved: 1 });
    expect((await written()).at(-1)).toMatchObject({ topic: 'invoice', payload: '{"n": 1}' });
  });

  it('leaves jobs that wait for others to the library', async () => {
    await boss.flow([
      { ref: 'a', name: 'mail', data: { n: 1 } },
      { ref: 'b', name: 'mail', data: { n: 2 }, dependsOn: ['a'] },
    ]);
    const report = await move(await pgBossSource(lab.database), { sameNames: true });
    expect(report.moved).toBe(0);
    expect(states(report.counts)).toMatchObject({ 'mail chained': 2 });
  });

  it('refuses tables whose version was not tried', async () => {
    await lab.database.query('UPDATE pgboss.version SET version = 47');
    await expect(pgBossSource(lab.database)).rejects.toMatchObject({
      code: 'HF_CONFIG',
      message: /version 47.*24.*46/s,
    });
    await lab.database.query('UPDATE pgboss.version SET version = 46');
  });
});

it('imports from pg-boss 10', async () => {
  const boss = new PgBoss10({ connectionString: lab.url, schema: 'boss10', supervise: false, schedule: false });
  await boss.start();
  await boss.createQueue('mail');
  const [id] = [
    await boss.send('mail', { to: 'a' }, { singletonKey: 'k' }),
    await boss.send('mail', {}, { startAfter: LATER }),
  ];
  const report = await move(await pgBossSource(lab.database, 'boss10'), { sameNames: true });
  await boss.stop({ graceful: false });
  expect(report).toMatchObject({ moved: 2, left: [], counts: [] });
  expect(await written()).toEqual([
    { topic: 'mail', key: 'k', payload: '{"to": "a"}', source: `pg-boss:mail/mail/${id}` },
  ]);
  expect(await scheduled()).toMatchObject([{ due_at: LATER }]);
});

describe('an import from graphile-worker', () => {
  let utils: WorkerUtils;

  beforeAll(async () => {
    utils = await makeWorkerUtils({ connectionString: lab.url });
    await utils.migrate();
  });
  afterAll(async () => utils.release());

  it('moves what waits, and leaves what was given up', async () => {
    await utils.addJob('mail', { broken: true }, { maxAttempts: 1 });
    const fails = () => {
      throw new Error('no');
    };
    const logger = new Logger(() => () => {});
    await runOnce({ connectionString: lab.url, taskList: { mail: fails }, logger });
    await utils.addJob('mail', { to: 'a' }, { queueName: 'slow' });
    await utils.addJob('mail', { to: 'b' }, { jobKey: 'b-1', runAt: LATER });
    const source = await graphileWorkerSource(lab.database);
    const report = await move(source, { topics: new Map([['mail', 'mail.requested']]) });
    expect(report).toMatchObject({ moved: 2, left: [] });
    expect(states(report.counts)).toEqual({ 'mail failed': 1 });
    expect(await written()).toMatchObject([{ topic: 'mail.requested', key: 'slow', payload: '{"to": "a"}' }]);
    expect(await scheduled()).toEqual([{ topic: 'mail.requested', key: 'b-1', due_at: LATER }]);
  });

  it('passes by what somebody has locked, and what is wrong with one holds up no other', async () => {
    await utils.addJob('mail', { locked: true });
    await lab.database.query(
      `UPDATE graphile_worker._private_jobs SET locked_at = now(), locked_by = 'w' WHERE payload::text LIKE '%locked%'`,
    );
    // `json`, unlike `jsonb`, takes what no message can hold.
    await lab.database.query(`SELECT graphile_worker.add_job('mail', '{"nul": "\\u0000"}'::json)`);
    await lab.database.query(`SELECT graphile_worker.add_job('mail', '{"exact": 12345678901234567890}'::json)`);
    await lab.database.query(`SELECT graphile_worker.add_job('mail', '{}'::json, run_at => 'infinity')`);
    const report = await move(await graphileWorkerSource(lab.database), { sameNames: true });
    expect(report.moved).toBe(1);
    expect((await written()).map(({ payload }) => payload)).toEqual(['{"exact": 12345678901234567890}']);
    expect(report.left.map(({ why }) => why)).toEqual([expect.stringMatching(/NUL/), 'its time is infinite']);
    expect(states(report.counts)).toMatchObject({ 'mail busy': 1 });
  });
});
