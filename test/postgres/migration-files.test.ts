import { expect, test } from 'vitest';
import { parseMigration, readMigrations } from '../../src/postgres/migration-files.ts';

test('the shipped files count up, have notes, and know their schema only by configuration', async () => {
  const migrations = await readMigrations('elsewhere');
  expect(migrations.map((migration) => migration.version)).toEqual(migrations.map((_, index) => index + 1));
  for (const migration of migrations) {
    expect(migration.notes).toContain('For the operator');
    expect(migration.sql).not.toContain('"holdfast"');
    expect(migration.sql).toContain('"elsewhere"');
    expect(migration.transaction).toBe(true);
  }
});

test('the checksum is that of the shipped text, whatever the schema and the line ends', () => {
  const text = '-- Notes.\nCREATE TABLE "holdfast".t ();\n';
  const one = parseMigration('0001_t.sql', text, 'holdfast');
  const other = parseMigration('0001_t.sql', text.replaceAll('\n', '\r\n'), 'other');
  expect(other.checksum).toBe(one.checksum);
  expect(other.sql).toBe('-- Notes.\nCREATE TABLE "other".t ();\n');
  expect(parseMigration('0001_t.sql', `${text} `, 'holdfast').checksum).not.toBe(one.checksum);
});

test('notes are the leading comment, and no-transaction is not one of them', () => {
  const migration = parseMigration(
    '0007_big_index.sql',
    '-- no-transaction\n-- Builds\n--\n-- an index.\nSELECT 1; -- not this\n',
    'holdfast',
  );
  expect(migration).toMatchObject({ version: 7, name: 'big_index', notes: 'Builds\n\nan index.', transaction: false });
});

test.each(['1_short.sql', '0001-dash.sql', '0001_.sql'])('%s is no name of a migration', (file) => {
  expect(() => parseMigration(file, '', 'holdfast')).toThrow(expect.objectContaining({ code: 'HF_CONFIG' }));
});
