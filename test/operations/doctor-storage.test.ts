/**
 * The doctor's looks at what fills disks and wears out, at a real server in that state. What it shows as repair is run, and must mend it.
 */
import { describe, expect, it } from 'vitest';
import { checkStorage, judgeIndex, judgeTable } from '../../src/operations/doctor/doctor-storage.ts';
import { checkTables } from '../../src/operations/doctor/doctor-tables.ts';
import { settleDoctorOptions } from '../../src/operations/doctor/finding.ts';
import { openDatabase } from '../../src/postgres/database.ts';
import { migrate } from '../../src/postgres/migrator.ts';
import { eventually } from '../support/eventually.ts';
import { startPostgres } from '../support/servers.ts';
import { namesOf, useDoctorLab } from './doctor-lab.ts';

const lab = useDoctorLab();
const { run } = lab;
/** Before PostgreSQL 15 a session tells its figures with its next statement only. */
const look: typeof lab.look = async (...given) => {
  await lab.admin.query('SELECT 1');
  return lab.look(...given);
};

describe('what fills the disk', () => {
  it('dead rows that nobody vacuums', async () => {
    await lab.admin.query('ALTER TABLE holdfast.inbox SET (autovacuum_enabled = off)');
    expect(namesOf(await look(checkTables))).toEqual(['warn tables.autovacuum-off']);
    await lab.admin.query(`INSERT INTO holdfast.inbox SELECT 'c', gen_random_uuid() FROM generate_series(1, 1000)`);
    await lab.admin.query('DELETE FROM holdfast.inbox');
    const limits = { deadRows: 900 };
    const found = await eventually('the figures', async () => {
      const all = await look(checkStorage, { limits });
      return all.length > 0 && all;
    });
    expect(namesOf(found)).toEqual(['warn tables.dead-rows']);
    expect(found[0]?.what).toMatch(/inbox has 1000 dead rows beside 0 live ones/);
    await run(found[0]?.repair);
    await eventually('the figures', async () => (await look(checkStorage, { limits })).length === 0);
    await run((await look(checkTables))[0]?.repair);
    expect(await look(checkTables)).toEqual([]);
  });

  it('a table and an index much larger than their rows', async () => {
    await lab.admin.query('ALTER TABLE holdfast.idempotency_key SET (autovacuum_enabled = off)');
    await lab.admin.query(`INSERT INTO holdfast.idempotency_key (key, fingerprint)
      SELECT md5(g::text) || repeat('x', 200), 'f' FROM generate_series(1, 5000) AS g`);
    // Every hundredth stays, so that no page is given back.
    await lab.admin.query(`DELETE FROM holdfast.idempotency_key WHERE ctid NOT IN (
      SELECT ctid FROM (SELECT ctid, row_number() OVER () AS n FROM holdfast.idempotency_key) AS x WHERE n % 100 = 0)`);
    // What a session has changed must be told before a vacuum tells what is left: before PostgreSQL 15 it would be added to that.
    await lab.admin.query('SELECT pg_sleep(1.1)');
    await lab.admin.query('VACUUM (ANALYZE, INDEX_CLEANUP ON) holdfast.idempotency_key');
    const limits = { wastedBytes: 500_000 };
    const found = await eventually('the figures', async () => {
      const all = await look(checkStorage, { limits });
      return all.length >= 2 && all;
    });
    expect(namesOf(found)).toEqual(['warn tables.bloat', 'warn tables.bloat']);
    expect(found.map(({ what }) => what)).toEqual([
      expect.stringMatching(/table idempotency_key takes/),
      expect.stringMatching(/index idempotency_key_pkey takes/),
    ]);
    for (const { repair } of found) await run(repair);
    await eventually('the figures', async () => (await look(checkStorage, { limits })).length === 0);
    await lab.admin.query('ALTER TABLE holdfast.idempotency_key RESET (autovacuum_enabled)');
  });

  it('WAL that is not archived', async () => {
    await lab.admin.query('SELECT pg_switch_wal()');
    expect(await look(checkStorage)).toEqual([]);
    const failing = await startPostgres({
      durable: true,
      settings: { archive_mode: 'on', archive_command: '/bin/false' },
    });
    const broken = openDatabase({ url: failing.url });
    await migrate(broken);
    await broken.query('SELECT pg_switch_wal()');
    const found = await eventually('a failure', async () => {
      const all = await look(checkStorage, { on: broken });
      return all.length > 0 && all;
    });
    expect(namesOf(found)).toEqual(['warn postgres.archiver']);
    await broken.close();
    await failing.dispose();
  });

  it('transaction ids', async () => {
    expect(await look(checkStorage)).toEqual([]);
    const found = await look(checkStorage, { limits: { unfrozenXids: 0 } });
    expect(new Set(namesOf(found))).toEqual(new Set(['warn postgres.wraparound']));
    expect(found.find(({ what }) => what.includes('database holdfast'))).toMatchObject({
      what: expect.stringMatching(/has used up 0 % of the .*; the oldest tables are /) as string,
      repair: expect.stringMatching(/^VACUUM \(FREEZE\) /) as string,
    });
  });

  it('is judged by what rows need', () => {
    const { limits } = settleDoctorOptions();
    const table = { name: 't', live: 1_000_000, dead: 0, bytes: 200e6, width: 100, vacuumed: null };
    expect(judgeTable(table, limits, 's')).toEqual([]);
    expect(judgeTable({ ...table, bytes: 3e9 }, limits, 's')).toMatchObject([{ check: 'tables.bloat' }]);
    expect(judgeTable({ ...table, bytes: 3e9, width: null }, limits, 's')).toEqual([]);
    expect(judgeTable({ ...table, bytes: 350e6, live: 0, dead: 0 }, limits, 's')).toEqual([]);
    expect(judgeTable({ ...table, dead: 1_000_001 }, limits, 's')).toMatchObject([{ check: 'tables.dead-rows' }]);
    expect(judgeIndex({ name: 'i', bytes: 3e9, live: 1e6, dead: 0 }, limits, 's')).toMatchObject([
      { check: 'tables.bloat' },
    ]);
    expect(judgeIndex({ name: 'i', bytes: 3e9, live: 2e7, dead: 0 }, limits, 's')).toEqual([]);
  });
});

it('an index that was not finished', async () => {
  await lab.admin.query(`UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'holdfast.outbox_id'::regclass`);
  const found = await look(checkTables);
  expect(namesOf(found)).toEqual(['error tables.invalid']);
  await lab.admin.query(found[0]?.repair ?? '');
  expect(await look(checkTables)).toEqual([]);
});
