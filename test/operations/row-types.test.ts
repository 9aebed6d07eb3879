/**
 * The tables as operations and stores know them, and as docs/tables.md draws them, held against the tables that the migrations make.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ROOT } from '../house/source-files.ts';
import { createTestDatabase, type TestDatabase } from '../support/servers.ts';

interface Column {
  readonly name: string;
  /** As PostgreSQL names it in short: text, int4, timestamptz, _text ... */
  readonly type: string;
  readonly nullable: boolean;
}

/** What a property of a row type may be called for a column of the type. Other names are checked to be texts by the compiler. */
const FITTING: Readonly<Record<string, RegExp>> = {
  text: /^(?:string|'.*'|[A-Z]\w*(?:\['\w+'\])?)$/,
  name: /^string$/,
  uuid: /^string$/,
  xid8: /^string$/,
  pg_snapshot: /^string$/,
  int2: /^number$/,
  int4: /^number$/,
  int8: /^Int8$/,
  float4: /^number$/,
  float8: /^number$/,
  bool: /^boolean$/,
  timestamptz: /^Date$/,
  interval: /^unknown$/,
  json: /^(?:unknown|readonly [A-Z]\w*\[\])$/,
  jsonb: /^(?:unknown|readonly string\[\]|Readonly<Record<string, string>>)$/,
  _int8: /^readonly Int8\[\]$/,
  _text: /^readonly string\[\]$/,
};

const sourceOf = (path: string): string => readFileSync(join(ROOT, path), 'utf8');

let test: TestDatabase;
let tables: Map<string, readonly Column[]>;

beforeAll(async () => {
  test = await createTestDatabase({ migrate: true });
  const { rows } = await test.pool.query<Column & { table: string }>(
    `SELECT c.relname AS table, a.attname AS name, t.typname AS type, NOT a.attnotnull AS nullable
     FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_type t ON t.oid = a.atttypid
     WHERE c.relnamespace = 'holdfast'::regnamespace AND c.relkind IN ('r', 'c') AND a.attnum > 0 AND NOT a.attisdropped
     ORDER BY c.relname, a.attnum`,
  );
  tables = new Map();
  for (const { table, ...column } of rows) tables.set(table, [...(tables.get(table) ?? []), column]);
});
afterAll(() => test.drop());

describe('the row types', () => {
  it('of the tables that operations read have only columns that are there, with types that fit', () => {
    const known = propertiesOf(bodyAfter(sourceOf('src/operations/reads/reads.ts'), 'interface HoldfastTables'));
    expect(known.size).toBeGreaterThan(10);
    const misfits = [...known].flatMap(([table, body]) =>
      misfitsOf(table, propertiesOf(bodyAfter(body, '')), tables.get(table) ?? []),
    );
    expect(misfits).toEqual([]);
  });

  it('of a claimed run is the type that the functions return, column by column', () => {
    const source = sourceOf('src/saga/store/postgres/saga-rows.ts');
    const row = propertiesOf(bodyAfter(source, 'interface ClaimedRow'));
    expect([...row.keys()]).toEqual(tables.get('claimed_run')?.map(({ name }) => name));
  });

  it('would be found out', () => {
    const columns = [
      { name: 'id', type: 'uuid', nullable: false },
      { name: 'n', type: 'int4', nullable: true },
    ];
    const row = propertiesOf('id: number; readonly n: number; at: Date | null;');
    expect(misfitsOf('run', row, columns)).toEqual([
      'run.id is uuid, not null: number does not fit',
      'run.n is int4: number does not fit',
      'run.at is not there',
    ]);
  });
});

describe('docs/tables.md', () => {
  const drawn = new Map(
    [...sourceOf('docs/tables.md').matchAll(/^  (\w+) \{\n([^}]*)\}/gm)].map(([, table = '', body = '']) => [
      table,
      [...body.matchAll(/^ +\S+ (\w+)/gm)].map((match) => match[1] ?? ''),
    ]),
  );

  it('draws each table', () => {
    const made = [...tables.keys()].filter((name) => name !== 'claimed_run');
    expect([...drawn.keys()].toSorted()).toEqual(made.toSorted());
  });

  it('names only columns that are there', () => {
    const strange = [...drawn].flatMap(([table, columns]) =>
      columns.filter((column) => !tables.get(table)?.some(({ name }) => name === column)).map((c) => `${table}.${c}`),
    );
    expect(strange).toEqual([]);
  });
});

/** Of each property that no column fits, in words. */
function misfitsOf(table: string, row: ReadonlyMap<string, string>, columns: readonly Column[]): readonly string[] {
  return [...row].flatMap(([name, written]) => {
    const column = columns.find((each) => each.name === name);
    if (column === undefined) return [`${table}.${name} is not there`];
    const union = written.split(' | ');
    const fits = union.every((part) => part === 'null' || FITTING[column.type]?.test(part) === true);
    if (fits && (written === 'unknown' || union.includes('null') === column.nullable)) return [];
    return [`${table}.${name} is ${column.type}${column.nullable ? '' : ', not null'}: ${written} does not fit`];
  });
}

/** What stands between the first brace after the name and its partner. */
function bodyAfter(source: string, name: string): string {
  const start = source.indexOf('{', source.indexOf(name)) + 1;
  let depth = 1;
  let end = start;
  for (; depth > 0 && end < source.length; end += 1) depth += source[end] === '{' ? 1 : source[end] === '}' ? -1 : 0;
  return source.slice(start, end - 1);
}

/** Names and types of the properties of an interface's body, each of which ends with a semicolon. */
function propertiesOf(body: string): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  let depth = 0;
  let text = '';
  for (const letter of body.replaceAll(/\/\*[\s\S]*?\*\//g, '')) {
    if ('{(['.includes(letter)) depth += 1;
    if ('})]'.includes(letter)) depth -= 1;
    if (depth > 0 || letter !== ';') {
      text += letter;
      continue;
    }
    const [, name, type] = /^(?:readonly )?(\w+):\s+([\s\S]+)$/.exec(text.trim()) ?? [];
    if (name !== undefined && type !== undefined) found.set(name, type.replaceAll(/\s+/g, ' '));
    text = '';
  }
  return found;
}
