/** Imports from an outbox that was made by hand, on a real PostgreSQL. */
import { describe, expect, it } from 'vitest';
import { importJobs, planImport } from '../../src/operations/import/import-jobs.ts';
import { ownTableSource } from '../../src/operations/import/own-table.ts';
import { openDatabase } from '../../src/postgres/database.ts';
import { ACT, states, useImportLab } from './import-lab.ts';

const { lab, move, written } = useImportLab();

describe('an import from a table of one’s own', () => {
  const table = async (rows = '') => {
    await lab.database.query(`DROP TABLE IF EXISTS events`);
    await lab.database.query(
      `CREATE TABLE events (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, kind text, body text, aggregate int, at timestamptz, sent_at timestamptz)`,
    );
    await lab.database.query(
      `INSERT INTO events (kind, body, aggregate, at, sent_at) VALUES ('paid', '{"n": 1}', 7, NULL, NULL), ('paid', '{"n": 2}', 7, NULL, now()), ('paid', 'no json', 7, NULL, NULL) ${rows}`,
    );
  };
  const columns = { table: 'events', payload: 'body', name: 'kind', key: 'aggregate', due: 'at' };

  it('marks what it moves, or deletes it', async () => {
    await table();
    const marked = await move(await ownTableSource(lab.database, { ...columns, sent: 'sent_at' }), { sameNames: true });
    expect(marked).toMatchObject({ moved: 1, left: [{ why: 'its payload is no JSON', example: '3' }] });
    expect(states(marked.counts)).toEqual({ 'paid waiting': 1, 'paid ended': 2 });
    expect(await written()).toMatchObject([{ topic: 'paid', key: '7', payload: '{"n": 1}' }]);

    const deleted = await move(await ownTableSource(lab.database, columns), { sameNames: true });
    expect(deleted.moved).toBe(1);
    // What is marked as moved has its message in the outbox still.
    expect(deleted.left.map(({ why }) => why)).toContainEqual(expect.stringMatching(/^it was imported before/));
    expect((await lab.database.query('SELECT id FROM events ORDER BY id')).rows).toEqual([{ id: '1' }, { id: '3' }]);
  });

  it('takes topic, key and payload from a function', async () => {
    await table();
    const source = await ownTableSource(lab.database, { ...columns, sent: 'sent_at' });
    const report = await move(source, {
      map: ({ name, payload }) => ({ topic: `order.${name}`, key: null, payload: [payload], version: 2 }),
    });
    expect(report.moved).toBe(1);
    expect(await written()).toMatchObject([{ topic: 'order.paid', key: null, payload: '[{"n": 1}]' }]);
  });

  it('leaves a row where it is when its message cannot be written', async () => {
    await table();
    await lab.database.query(`ALTER TABLE holdfast.outbox ADD CONSTRAINT no CHECK (topic <> 'paid')`);
    const source = await ownTableSource(lab.database, { ...columns, sent: 'sent_at' });
    await expect(move(source, { sameNames: true })).rejects.toThrow();
    await lab.database.query(`ALTER TABLE holdfast.outbox DROP CONSTRAINT no`);
    expect((await planImport(lab.database, source, { sameNames: true })).counts).toMatchObject([
      { state: 'ended', count: 1 },
      { state: 'waiting', count: 2 },
    ]);
  });

  it('moves each row once, also when two imports run at the same time', async () => {
    await table(`, ${Array.from({ length: 300 }, (_, n) => `('paid', '{"n": ${n}}', 1, NULL, NULL)`).join(', ')}`);
    const source = await ownTableSource(lab.database, { ...columns, sent: 'sent_at' });
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
    await expect(ownTableSource(lab.database, options)).rejects.toMatchObject({ code: 'HF_CONFIG', message });
  });

  it('passes by what somebody has locked', async () => {
    await table(`, ('paid', '{"n": 4}', 7, NULL, NULL)`);
    // It does not wait: if it did, it would be told so.
    const options = encodeURIComponent('-c lock_timeout=500');
    const impatient = openDatabase({ url: `${lab.url}?options=${options}` });
    const holder = await lab.database.pool.connect();
    try {
      await holder.query('BEGIN');
      await holder.query('SELECT FROM events WHERE id = 1 FOR UPDATE');
      const source = await ownTableSource(impatient, { ...columns, sent: 'sent_at' });
      expect(await importJobs(impatient, source, { sameNames: true }, ACT)).toMatchObject({ moved: 1 });
    } finally {
      await holder.query('ROLLBACK');
      holder.release();
      await impatient.close();
    }
  });

  it('moves no more than it was told to, whatever the batch', async () => {
    await table(`, ${Array.from({ length: 9 }, (_, n) => `('paid', '{"n": ${n}}', 1, NULL, NULL)`).join(', ')}`);
    const source = await ownTableSource(lab.database, { ...columns, sent: 'sent_at' });
    expect(await move(source, { sameNames: true, limit: 4, batch: 3 })).toMatchObject({ moved: 4 });
    expect(await written()).toHaveLength(4);
  });

  it('tells of a row that was imported before, and moves the others of its batch', async () => {
    await table();
    const source = await ownTableSource(lab.database, { ...columns, sent: 'sent_at' });
    await move(source, { sameNames: true });
    await lab.database.query(`UPDATE events SET sent_at = NULL, body = '{"n": 5}' WHERE id < 3`);
    const again = await move(source, { sameNames: true });
    expect(again.moved).toBe(1);
    expect(again.left.map(({ why }) => why)).toContainEqual(expect.stringMatching(/^it was imported before/));
    expect(await written()).toHaveLength(2);
  });
});
