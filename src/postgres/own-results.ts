/**
 * Results that look the same whatever the service has told its driver, and however its sessions are set up. A process may have type
 * parsers of its own (JSON as text, bigint as BigInt), a client may rename columns (CamelCasePlugin, postgres.js transform), a role or a
 * database may have any DateStyle.
 *
 * Times never travel as PostgreSQL writes them: as milliseconds, or as text made by the query.
 */
import pg, { type CustomTypesConfig } from 'pg';
import type { Row, SqlExecutor } from './executor.ts';

const number = (text: string): number => Number(text);
const json = (text: string): unknown => JSON.parse(text);

/** By the fixed numbers of pg_type. bigint stays a text. */
const PARSERS: Readonly<Record<number, (text: string) => unknown>> = {
  16: (text) => text === 't', // boolean
  20: String, // bigint
  21: number, // smallint
  23: number, // integer
  26: number, // oid
  114: json,
  700: number, // real
  701: number, // double precision
  1009: textArray,
  1015: textArray, // varchar[]
  3802: json, // jsonb
};

/** What the driver is to make of the columns that we read; of others, what it always does. */
export const OWN_TYPES: CustomTypesConfig = {
  getTypeParser: (oid, format): unknown =>
    (format === 'binary' ? undefined : PARSERS[oid]) ?? pg.types.getTypeParser(oid, format),
};

/** The same client; what is read through it is read by OWN_TYPES. */
export function withOwnTypes<C extends pg.ClientBase>(client: C): C {
  const query = (first: unknown, ...rest: unknown[]): unknown => {
    const config =
      typeof first === 'string'
        ? { text: first, values: rest[0], types: OWN_TYPES }
        : { ...(first as object), types: OWN_TYPES };
    return (client.query as (one: unknown) => unknown).call(client, config);
  };
  return new Proxy(client, {
    get: (target, property) => (property === 'query' ? query : (Reflect.get(target, property, target) as unknown)),
  });
}

/**
 * The rows of a statement that runs in a client of the user's: they come as one text, in a column of one word. Times become ISO texts.
 * Not for statements that begin with WITH and write.
 */
export async function readRows<R extends Row>(
  execute: SqlExecutor,
  sql: string,
  parameters: readonly unknown[],
): Promise<readonly R[]> {
  const [row] = await execute(
    `WITH holdfast_rows AS (${sql}) SELECT coalesce(json_agg(holdfast_rows), '[]')::text AS answer FROM holdfast_rows`,
    parameters,
  );
  return JSON.parse(String(row?.['answer'])) as readonly R[];
}

/** One array of texts, as PostgreSQL writes it: {a,"b \"c\"",NULL}. */
function textArray(text: string): readonly (string | null)[] {
  const found: (string | null)[] = [];
  for (const [, quoted, plain] of text.slice(1, -1).matchAll(/(?:"((?:[^"\\]|\\.)*)"|([^,]+))(?:,|$)/gs)) {
    if (quoted !== undefined) found.push(quoted.replaceAll(/\\(.)/gs, '$1'));
    else found.push(plain === 'NULL' ? null : (plain ?? ''));
  }
  return found;
}
