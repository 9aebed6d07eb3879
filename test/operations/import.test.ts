/** Imports, of jobs that the libraries themselves have made on a real PostgreSQL. */
import { Logger, makeWorkerUtils, runOnce, type WorkerUtils } from 'graphile-worker';
import { PgBoss } from 'pg-boss';
import PgBoss10 from 'pg-boss-10';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { graphileWorkerSource } from '../../src/operations/import/graphile-worker.ts';
import { importJobs, planImport, type ImportOptions } from '../../src/operations/import/import-jobs.ts';
import { ownTableSource } from '../../src/operations/import/own-table.ts';
import { pgBossSource } from '../../src/operations/import/pg-boss.ts';
import type { ImportSource } from '../../src/operations/import/source.ts';
import { openDatabase, type Database } from '../../src/postgres/database.ts';
import { createTestDatabase, type TestDatabase } from '../support/servers.ts';

const ACT = { actor: 'tester', reason: 'leaving' };
const LATER = new Date(Date.UTC(2090, 0, 31, 12));

let test: TestDatabase;
let database: Database;

beforeAll(async () => {
  test = await createTestDatabase({ migrate: true });
  database = openDatabase({ url: test.url });
});
beforeEach(async () => {
  await database.query('TRUNCATE holdfast.outbox, holdfast.scheduled_message, holdfast.audit');
});
afterAll(async () => {
  await database.close();
  await test.drop();
});

const written = async () =>
  (
    await database.query(
      `SELECT topic, key, payload::text AS payload, headers->'headers'->>'imported-from' AS source FROM holdfast.outbox ORDER BY seq`,
    )
  ).rows;
const scheduled = async () =>
  (await database.query(`SELECT topic, key, due_at FROM holdfast.scheduled_message ORDER BY due_at`)).rows;
const move = async (source: ImportSource, options: ImportOptions) => importJobs(database, source, options, ACT);
const states = (counts: readonly { readonly name: string; readonly state: string; readonly count: number }[]) =>
  Object.fromEntries(counts.map(({ name, state, count }) => [`${name} ${state}`, count]));

describe('an import from pg-boss 12', () => {
  let boss: PgBoss;

  beforeAll(async () => {
    boss = new PgBoss({ connectionString: test.url, supervise: false, schedule: false });
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
    const plan = await planImport(database, await pgBossSource(database), {
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
    const source = await pgBossSource(database);
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
    const acts = await database.query(`SELECT actor, action, subject, reason, details FROM holdfast.audit ORDER BY id`);
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
    const report = await move(await pgBossSource(database), { sameNames: true });
    expect(report.moved).toBe(0);
    expect(states(report.counts)).toMatchObject({ 'mail chained': 2 });
  });

  it('refuses tables whose version was not tried', async () => {
    await database.query('UPDATE pgboss.version SET version = 47');
    await expect(pgBossSource(database)).rejects.toMatchObject({ code: 'HF_CONFIG', message: /version 47.*24.*46/s });
    await database.query('UPDATE pgboss.version SET version = 46');
  });
});

it('imports from pg-boss 10', async () => {
  const boss = new PgBoss10({ connectionString: test.url, schema: 'boss10', supervise: false, schedule: false });
  await boss.start();
  await boss.createQueue('mail');
  const [id] = [
    await boss.send('mail', { to: 'a' }, { singletonKey: 'k' }),
    await boss.send('mail', {}, { startAfter: LATER }),
  ];
  const report = await move(await pgBossSource(database, 'boss10'), { sameNames: true });
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
    utils = await makeWorkerUtils({ connectionString: test.url });
    await utils.migrate();
  });
  afterAll(async () => utils.release());

  it('moves what waits, and leaves what was given up', async () => {
    await utils.addJob('mail', { broken: true }, { maxAttempts: 1 });
    const fails = () => {
      throw new Error('no');
    };
    const logger = new Logger(() => () => {});
    await runOnce({ connectionString: test.url, taskList: { mail: fails }, logger });
    await utils.addJob('mail', { to: 'a' }, { queueName: 'slow' });
    await utils.addJob('mail', { to: 'b' }, { jobKey: 'b-1', runAt: LATER });
    const source = await graphileWorkerSource(database);
    const report = await move(source, { topics: new Map([['mail', 'mail.requested']]) });
    expect(report).toMatchObject({ moved: 2, left: [] });
    expect(states(report.counts)).toEqual({ 'mail failed': 1 });
    expect(await written()).toMatchObject([{ topic: 'mail.requested', key: 'slow', payload: '{"to": "a"}' }]);
    expect(await scheduled()).toEqual([{ topic: 'mail.requested', key: 'b-1', due_at: LATER }]);
  });

  it('passes by what somebody has locked, and what is wrong with one holds up no other', async () => {
    await utils.addJob('mail', { locked: true });
    await database.query(
      `UPDATE graphile_worker._private_jobs SET locked_at = now(), locked_by = 'w' WHERE payload::text LIKE '%locked%'`,
    );
    // `json`, unlike `jsonb`, takes what no message can hold.
    await database.query(`SELECT graphile_worker.add_job('mail', '{"nul": "\\u0000"}'::json)`);
    await database.query(`SELECT graphile_worker.add_job('mail', '{"exact": 12345678901234567890}'::json)`);
    await database.query(`SELECT graphile_worker.add_job('mail', '{}'::json, run_at => 'infinity')`);
    const report = await move(await graphileWorkerSource(database), { sameNames: true });
    expect(report.moved).toBe(1);
    expect((await written()).map(({ payload }) => payload)).toEqual(['{"exact": 12345678901234567890}']);
    expect(report.left.map(({ why }) => why)).toEqual([expect.stringMatching(/NUL/), 'its time is infinite']);
    expect(states(report.counts)).toMatchObject({ 'mail busy': 1 });
  });
});

describe('an import from a table of one’s own', () => {
  const table = async (rows = '') => {
    await database.query(`DROP TABLE IF EXISTS events`);
    await database.query(
      `CREATE TABLE events (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, kind text, body text, aggregate int, at timestamptz, sent_at timestamptz)`,
    );
    await database.query(
      `INSERT INTO events (kind, body, aggregate, at, sent_at) VALUES ('paid', '{"n": 1}', 7, NULL, NULL), ('paid', '{"n": 2}', 7, NULL, now()), ('paid', 'no json', 7, NULL, NULL) ${rows}`,
    );
  };
  const columns = { table: 'events', payload: 'body', name: 'kind', key: 'aggregate', due: 'at' };

  it('marks what it moves, or deletes it', async () => {
    await table();
    const marked = await move(await ownTableSource(database, { ...columns, sent: 'sent_at' }), { sameNames: true });
    expect(marked).toMatchObject({ moved: 1, left: [{ why: 'its payload is no JSON', example: '3' }] });
    expect(states(marked.counts)).toEqual({ 'paid waiting': 1, 'paid ended': 2 });
    expect(await written()).toMatchObject([{ topic: 'paid', key: '7', payload: '{"n": 1}' }]);

    const deleted = await move(await ownTableSource(database, columns), { sameNames: true });
    expect(deleted.moved).toBe(1);
    // What is marked as moved has its message in the outbox still.
    expect(deleted.left.map(({ why }) => why)).toContainEqual(expect.stringMatching(/^it was imported before/));
    expect((await database.query('SELECT id FROM events ORDER BY id')).rows).toEqual([{ id: '1' }, { id: '3' }]);
  });

  it('takes topic, key and payload from a function', async () => {
    await table();
    const source = await ownTableSource(database, { ...columns, sent: 'sent_at' });
    const report = await move(source, {
      map: ({ name, payload }) => ({ topic: `order.${name}`, key: null, payload: [payload], version: 2 }),
    });
    expect(report.moved).toBe(1);
    expect(await written()).toMatchObject([{ topic: 'order.paid', key: null, payload: '[{"n": 1}]' }]);
  });

  it('leaves a row where it is when its message cannot be written', async () => {
    await table();
    await database.query(`ALTER TABLE holdfast.outbox ADD CONSTRAINT no CHECK (topic <> 'paid')`);
    const source = await ownTableSource(database, { ...columns, sent: 'sent_at' });
    await expect(move(source, { sameNames: true })).rejects.toThrow();
    await database.query(`ALTER TABLE holdfast.outbox DROP CONSTRAINT no`);
    expect((await planImport(database, source, { sameNames: true })).counts).toMatchObject([
      { state: 'ended', count: 1 },
      { state: 'waiting', count: 2 },
    ]);
  });

  it('moves each row once, also when two imports run at the same time', async () => {
    await table(`, ${Array.from({ length: 300 }, (_, n) => `('paid', '{"n": ${n}}', 1, NULL, NULL)`).join(', ')}`);
    const source = await ownTableSource(database, { ...columns, sent: 'sent_at' });
    const reports = await Promise.all([1, 2].map(async () => move(source, { sameNames: true, batch: 20 })));
    expect(reports.reduce((sum, { moved }) => sum + moved, 0)).toBe(301);
    expect(await written()).toHaveLength(301);
  });

  it.each([
    [{ table: 'event' }, /no table/],
    [{ table: 'events', payload: 'bdy' }, /Did you mean "body"/],
    [{ table: 'events', payload: 'aggregate' }, /neither JSON nor text/],
    [{ table: 'events', payload: 'body', id: 'kind' }, /may be null/],
    [{ table: 'events', payload: 'body', sent: 'kind' }, /neither a time nor a boolean/],
    [{ table: 'events', payload: 'body', due: 'kind' }, /no time/],
  ])('refuses %j', async (options, message) => {
    await table();
    await expect(ownTableSource(database, options)).rejects.toMatchObject({ code: 'HF_CONFIG', message });
  });
});
