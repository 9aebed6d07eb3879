/**
 * The doctor's look at whether the schema is what the migrations make: what is missing, what is otherwise, what somebody has added. Each
 * finding has the SQL that makes it as it should be, for the owner of the schema to read and run.
 */
import { quoteIdentifier } from '../../postgres/quoting.ts';
import { translateSqlError } from '../../postgres/sql-state.ts';
import { expectedSchema } from './expected-schema.ts';
import type { Check, CheckFinding } from './finding.ts';
import { schemaObjects, type SchemaObject } from './schema-objects.ts';
import { repairOf } from './schema-repair.ts';

/** Only where all migrations of this package, and no others, are applied. */
export const checkDrift: Check = async (database) => {
  const { schema } = database;
  const { objects: expected } = await expectedSchema(schema);
  const actual = await database
    .withConnection((client) => schemaObjects(client, schema))
    .catch((error: unknown) => {
      throw translateSqlError(error);
    });
  return judgeDrift(expected, actual, schema);
};

/** By `allow_topics`, once somebody has limited a role. */
const MADE_LATER = 'topics_are_allowed';

const keyOf = ({ kind, table = '', name }: SchemaObject): string => `${kind} ${table} ${name}`;

/** Pure. */
export function judgeDrift(
  expected: readonly SchemaObject[],
  actual: readonly SchemaObject[],
  schema: string,
): readonly CheckFinding[] {
  const found = new Map(actual.map((object) => [keyOf(object), object]));
  const wanted = new Set(expected.map(keyOf));
  const tables = new Set(actual.filter(({ kind }) => kind === 'table').map(({ name }) => name));
  const findings: CheckFinding[] = [];
  for (const object of expected) {
    // With its table, all of it is missing.
    if (object.table !== undefined && !tables.has(object.table)) continue;
    const there = found.get(keyOf(object));
    if (there === undefined) findings.push(missing(object, expected, schema));
    else if (object.kind === 'table') {
      if (there.definition !== object.definition) findings.push(rowSecurity(object, schema));
    } else if (there.definition !== object.definition && !isStray(there, schema))
      findings.push(differs(object, there, schema));
  }
  const ours = new Set(expected.filter(({ kind }) => kind === 'table').map(({ name }) => name));
  const added = actual.filter(
    (object) => !wanted.has(keyOf(object)) && ours.has(object.table ?? '') && matters(object),
  );
  return [...findings, ...added.map((object) => extra(object, schema))];
}

/** One that names the tables of another schema is told of by itself, with all others of its kind. */
function isStray({ kind, definition }: SchemaObject, schema: string): boolean {
  return kind === 'function' && [...definition.matchAll(/"([A-Za-z_][\w-]*)"[.]/g)].some(([, name]) => name !== schema);
}

/** Whether something that somebody has added can refuse or change what we write. */
function matters({ kind, name, definition }: SchemaObject): boolean {
  if (kind === 'index') return definition.startsWith('CREATE UNIQUE');
  return kind === 'column' || kind === 'constraint' || (kind === 'trigger' && name !== MADE_LATER);
}

/** An index that keeps nothing out only makes reading fast. */
function levelOf({ kind, definition }: SchemaObject): CheckFinding['level'] {
  return kind === 'index' && !definition.startsWith('CREATE UNIQUE') ? 'warn' : 'error';
}

function describe({ kind, table, name }: SchemaObject): string {
  return table === undefined ? `${kind} ${name}` : `${kind} ${name} of ${table}`;
}

const AS_OWNER = 'Run the SQL as the owner of the schema';

function missing(object: SchemaObject, all: readonly SchemaObject[], schema: string): CheckFinding {
  return {
    level: levelOf(object),
    check: 'schema.missing',
    what: `The ${describe(object)} is missing.`,
    advice: `${AS_OWNER}, then look again: rights on what is new are told of next. Find out who dropped it; rows that went with it are in a backup.`,
    repair: repairOf({ object, there: null, all, schema }),
  };
}

function differs(object: SchemaObject, there: SchemaObject, schema: string): CheckFinding {
  return {
    level: levelOf(object),
    check: 'schema.differs',
    what: `The ${describe(object)} is not as the migrations make it${difference(object, there)}.`,
    advice: `${AS_OWNER}. If it was changed on purpose, a later migration will not know of it.`,
    repair: repairOf({ object, there, all: [], schema }),
  };
}

function difference(object: SchemaObject, there: SchemaObject): string {
  if (object.kind === 'function') return '';
  // How a trigger is disabled stands behind it, where it would be cut off.
  if (there.definition.startsWith(`${object.definition} -- `))
    return `: it is ${there.definition.slice(object.definition.length + 4)}`;
  return `: it is ${oneLine(there.definition)}, and should be ${oneLine(object.definition)}`;
}

function rowSecurity({ name }: SchemaObject, schema: string): CheckFinding {
  return {
    level: 'error',
    check: 'schema.row-security',
    what: `Row level security is on for the table ${name}: a role without a policy sees none of its rows, and is told nothing.`,
    advice: 'Turn it off; rights on whole tables are what Holdfast goes by (docs/roles.md).',
    repair: `ALTER TABLE ${quoteIdentifier(schema)}.${quoteIdentifier(name)} DISABLE ROW LEVEL SECURITY;`,
  };
}

function extra(object: SchemaObject, schema: string): CheckFinding {
  const { kind, table = '', name } = object;
  const on = `${quoteIdentifier(schema)}.${quoteIdentifier(table)}`;
  const own = quoteIdentifier(name);
  const repairs: Readonly<Record<string, string>> = {
    index: `DROP INDEX CONCURRENTLY ${quoteIdentifier(schema)}.${own};`,
    trigger: `DROP TRIGGER ${own} ON ${on};`,
    column: `ALTER TABLE ${on} DROP COLUMN ${own};`,
    constraint: `ALTER TABLE ${on} DROP CONSTRAINT ${own};`,
  };
  return {
    level: 'note',
    check: 'schema.extra',
    what: `The ${describe(object)} is not of any migration: ${oneLine(object.definition)}`,
    advice: 'Fine when it is yours, refuses nothing that Holdfast writes and changes nothing of it; else drop it.',
    ...(repairs[kind] === undefined ? {} : { repair: repairs[kind] }),
  };
}

function oneLine(text: string): string {
  const line = text.replaceAll(/\s+/g, ' ').trim();
  return line.length > 160 ? `${line.slice(0, 159)}…` : line;
}
