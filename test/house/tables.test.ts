/**
 * Every table is spoken to by one room. operations/ may read all of them (by Kysely), and writes only its own.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ROOT, sourceFiles } from './source-files.ts';

const migrations = readdirSync(join(ROOT, 'migrations'))
  .filter((name) => name.endsWith('.sql'))
  .map((name) => readFileSync(join(ROOT, 'migrations', name), 'utf8'))
  .join('\n');
const tables = [...migrations.matchAll(/CREATE TABLE "holdfast"\.(\w+)/g)].map((match) => match[1] ?? '');
const files = sourceFiles('src');
const roomOf = (path: string): string => path.split('/')[1] ?? '';

/** How SQL in our code names a table: behind its schema, interpolated or in quotes. */
const named = (table: string): string => String.raw`(?:\$\{[^}]*\}|"holdfast"|\bholdfast)\.${table}\b(?!\()`;

function roomsThat(pattern: RegExp): readonly string[] {
  return [...new Set(files.filter(({ code }) => pattern.test(code)).map(({ path }) => roomOf(path)))].toSorted();
}

describe('the tables of the migrations', () => {
  it('are found', () => {
    expect(tables).toContain('outbox');
    expect(tables.length).toBeGreaterThan(10);
  });

  it('are in ASCII, comments too: a database in any encoding takes them', () => {
    expect(migrations.split('\n').filter((line) => /[^\t -~]/.test(line))).toEqual([]);
  });

  it.each(tables)('%s is spoken to by one room', (table) => {
    const rooms = roomsThat(new RegExp(named(table)));
    expect(
      rooms.filter((room) => room !== 'operations').length,
      `spoken to by ${rooms.join(', ')}`,
    ).toBeLessThanOrEqual(1);
  });

  it.each(tables)('%s is written by one room', (table) => {
    const sql = String.raw`(?:INSERT\s+INTO|UPDATE|DELETE\s+FROM|MERGE\s+INTO|TRUNCATE)\s+${named(table)}`;
    const kysely = String.raw`\.(?:insertInto|updateTable|deleteFrom)\('(?:\w+\.)?${table}\b`;
    const rooms = roomsThat(new RegExp(`${sql}|${kysely}`, 'i'));
    expect(rooms.length, `written by ${rooms.join(', ')}`).toBeLessThanOrEqual(1);
  });
});
