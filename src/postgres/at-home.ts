/**
 * Whether the functions of a schema write into its own tables. They name them with the schema they were made for, so after a rename or
 * a copy of the schema they write into the original.
 */
import { HoldfastError } from '../errors.ts';
import { quoteIdentifier } from './quoting.ts';
import type { Queryable } from './sequences.ts';
import { sqlStateOf } from './sql-state.ts';

const NOT_AT_HOME = 'HF003';

/** An expression that is true, or fails the statement before it does anything. */
export function atHomeSql(schema: string): string {
  const quoted = quoteIdentifier(schema);
  return `${quoted}.at_home('${quoted.replaceAll("'", "''")}')`;
}

export interface StrayFunction {
  readonly name: string;
  /** The schema whose tables it names, as it stands there. */
  readonly schema: string;
}

/** Functions of the schema that name tables of another one. In our functions nothing but a schema stands in quotes before a dot. */
export async function strayFunctions(on: Queryable, schema: string): Promise<readonly StrayFunction[]> {
  const { rows } = await on.query<{ name: string; schema: string }>(
    `SELECT DISTINCT p.proname::text AS name, named[1] AS schema
     FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
       CROSS JOIN LATERAL regexp_matches(p.prosrc, '"([A-Za-z_][A-Za-z0-9_-]*)"[.]', 'g') AS named
     WHERE n.nspname = $1 AND named[1] <> $1 ORDER BY 1`,
    [schema],
  );
  return rows;
}

/** Rejects with HF_SCHEMA_MOVED. */
export async function assertAtHome(on: Queryable, schema: string): Promise<void> {
  const stray = await strayFunctions(on, schema);
  if (stray.length > 0) throw moved(schema, {});
}

/** Points stray functions at the tables of their own schema, in the caller's transaction. Resolves with their names. */
export async function bringHome(on: Queryable, schema: string): Promise<readonly string[]> {
  const stray = await strayFunctions(on, schema);
  for (const { name, schema: other } of stray) {
    const { rows } = await on.query<{ definition: string }>(
      `SELECT pg_catalog.pg_get_functiondef(p.oid) AS definition
       FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname = $1 AND p.proname = $2`,
      [schema, name],
    );
    for (const { definition } of rows)
      await on.query(definition.replaceAll(quoteIdentifier(other), quoteIdentifier(schema)));
  }
  return [...new Set(stray.map(({ name }) => name))];
}

/** HF_SCHEMA_MOVED, when that is what the database said; else undefined. */
export function notAtHome(error: unknown, schema: string): HoldfastError | undefined {
  if (sqlStateOf(error) !== NOT_AT_HOME) return undefined;
  return moved(schema, { cause: error });
}

function moved(schema: string, options: { readonly cause?: unknown }): HoldfastError {
  return new HoldfastError(
    'HF_SCHEMA_MOVED',
    `The functions of the schema ${quoteIdentifier(schema)} write into the tables of another one: it was renamed or copied.`,
    {
      advice: 'Run `holdfast migrate` with this schema; it points them at their own tables.',
      details: { schema },
      ...options,
    },
  );
}
