/**
 * The SQL that makes one object of the schema as the migrations make it. Pure: it is shown, and run by nobody but people.
 */
import { quoteIdentifier } from '../../postgres/quoting.ts';
import type { SchemaObject } from './schema-objects.ts';

export interface RepairRequest {
  /** As it should be. */
  readonly object: SchemaObject;
  /** As it is; null: it is missing. */
  readonly there: SchemaObject | null;
  /** All that should be, from which a missing table is made whole. */
  readonly all: readonly SchemaObject[];
  readonly schema: string;
}

export function repairOf({ object, there, all, schema }: RepairRequest): string {
  if (object.kind === 'table') {
    const parts = all.filter(({ table }) => table === object.name);
    const columns = parts.filter(({ kind }) => kind === 'column');
    const others = parts.filter(({ kind }) => kind !== 'column');
    return [
      `CREATE TABLE ${placed(schema, object.name)} (\n${columns.map((each) => `  ${columnSql(each)}`).join(',\n')}\n);`,
      // Nobody waits for a table that is not there yet, so its indexes need not be made beside what goes on.
      ...others.map((each) => (each.kind === 'index' ? `${each.definition};` : changeOf(each, null, schema))),
    ].join('\n');
  }
  return changeOf(object, there, schema);
}

function changeOf(object: SchemaObject, there: SchemaObject | null, schema: string): string {
  const { kind, table = '', name, definition } = object;
  const on = placed(schema, table);
  const own = quoteIdentifier(name);
  switch (kind) {
    case 'table':
      return '';
    case 'sequence':
      return there === null
        ? `CREATE SEQUENCE ${placed(schema, name)} ${definition};`
        : `ALTER SEQUENCE ${placed(schema, name)} ${definition}${definition.endsWith(' CYCLE') ? '' : ' NO CYCLE'};`;
    case 'type':
      return there === null
        ? `CREATE TYPE ${placed(schema, name)} AS (${definition});`
        : changedType(object, there, schema);
    case 'column':
      return there === null
        ? `ALTER TABLE ${on} ADD COLUMN ${columnSql(object)};`
        : `ALTER TABLE ${on} ${changedColumn(own, partsOf(definition), partsOf(there.definition)).join(', ')};`;
    case 'constraint':
      return `ALTER TABLE ${on} ${there === null ? '' : `DROP CONSTRAINT ${own}, `}ADD CONSTRAINT ${own} ${definition};`;
    case 'index': {
      // Beside the old one it cannot be made, for it has its name.
      const drop = there === null ? '' : `DROP INDEX CONCURRENTLY ${placed(schema, name)};\n`;
      return `${drop}${definition.replace(/^CREATE (UNIQUE )?INDEX /, 'CREATE $1INDEX CONCURRENTLY ')};`;
    }
    case 'trigger':
      return there !== null && there.definition.replace(/ -- .*$/, '') === definition
        ? `ALTER TABLE ${on} ENABLE TRIGGER ${own};`
        : `${there === null ? '' : `DROP TRIGGER ${own} ON ${on};\n`}${definition};`;
    case 'function':
      return functionSql(object, there, schema);
  }
}

/** A function that is made anew may be executed by everybody, until that is taken back. */
function functionSql({ name, definition, forAll }: SchemaObject, there: SchemaObject | null, schema: string): string {
  const [, own = name, parameters = ''] = /^(\w+)\((.*)\)$/s.exec(name) ?? [];
  const revoke =
    there !== null || forAll === true
      ? ''
      : `\nREVOKE ALL ON FUNCTION ${placed(schema, own)}(${parameters}) FROM PUBLIC;`;
  return `${definition.trimEnd()};${revoke}`;
}

function columnSql({ name, definition }: SchemaObject): string {
  return `${quoteIdentifier(name)} ${definition}`;
}

interface ColumnParts {
  readonly type: string;
  readonly identity: string;
  readonly value: string;
  readonly notNull: boolean;
}

function partsOf(definition: string): ColumnParts {
  const [, type = definition, identity = '', value = '', notNull] =
    /^(.*?)(?: GENERATED (ALWAYS|BY DEFAULT) AS IDENTITY)?(?: DEFAULT (.*?))?( NOT NULL)?$/s.exec(definition) ?? [];
  return { type, identity, value, notNull: notNull !== undefined };
}

/** Parts of one ALTER TABLE. */
function changedColumn(own: string, wanted: ColumnParts, there: ColumnParts): readonly string[] {
  const changes: string[] = [];
  if (wanted.type !== there.type) changes.push(`TYPE ${wanted.type} USING ${own}::${wanted.type}`);
  if (wanted.value !== there.value) changes.push(wanted.value === '' ? 'DROP DEFAULT' : `SET DEFAULT ${wanted.value}`);
  if (wanted.notNull !== there.notNull) changes.push(wanted.notNull ? 'SET NOT NULL' : 'DROP NOT NULL');
  if (wanted.identity !== there.identity) {
    if (wanted.identity === '') changes.push('DROP IDENTITY');
    else
      changes.push(
        there.identity === '' ? `ADD GENERATED ${wanted.identity} AS IDENTITY` : `SET GENERATED ${wanted.identity}`,
      );
  }
  return changes.map((change) => `ALTER COLUMN ${own} ${change}`);
}

/** Attributes are added at the end, as migrations do it; whatever else differs wants a look. */
function changedType({ name, definition }: SchemaObject, there: SchemaObject, schema: string): string {
  const type = placed(schema, name);
  if (!definition.startsWith(`${there.definition}, `))
    return `-- ${type} should be (${definition}); functions depend on it.`;
  return definition
    .slice(there.definition.length + 2)
    .split(', ')
    .map((attribute) => `ALTER TYPE ${type} ADD ATTRIBUTE ${attribute};`)
    .join('\n');
}

function placed(schema: string, name: string): string {
  return `${quoteIdentifier(schema)}.${quoteIdentifier(name)}`;
}
