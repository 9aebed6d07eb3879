/**
 * Reads over tables of any size: on one connection, in a transaction that only reads, each statement with a limit of time that the server
 * keeps. All settings are local to the transaction, so nothing of them stays on a connection of the user's.
 *
 * The planner is told to go along indexes: what these reads ask for is always near one end of an index, and a plan for the whole table
 * would read all of it.
 */
import type pg from 'pg';
import type { Database } from '../../postgres/database.ts';
import { OWN_TYPES } from '../../postgres/own-results.ts';
import { quoteIdentifier } from '../../postgres/quoting.ts';
import { sqlStateOf, translateSqlError } from '../../postgres/sql-state.ts';

/** The longest run of one statement, in milliseconds. */
const STATEMENT_MS = 1_000;
/** What the whole read may take by our own clock: the way out when the server falls silent. */
const WHOLE_MS = 30_000;
const QUERY_CANCELED = '57014';

export interface BoundedRead {
  /** The schema in quotes, as it stands in SQL. */
  readonly schema: string;
  /** The one value of a statement `SELECT (…)::text AS answer`: JSON. Null: it took too long. */
  readonly answer: (sql: string, parameters: readonly unknown[]) => Promise<string | null>;
}

/** The answer of a statement, parsed. Null: it took too long. */
// oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- as the driver's own `query` has it
export async function readJson<T>(
  read: BoundedRead,
  sql: string,
  parameters: readonly unknown[],
): Promise<{ readonly value: T } | null> {
  const text = await read.answer(sql, parameters);
  return text === null ? null : { value: JSON.parse(text) as T };
}

/** Rejects with what translateSqlError makes of the driver's errors. */
export async function boundedRead<T>(database: Database, use: (read: BoundedRead) => Promise<T>): Promise<T> {
  try {
    return await database.withConnection((client) => inReadTransaction(client, database.schema, use), {
      timeoutMs: WHOLE_MS,
    });
  } catch (error) {
    throw translateSqlError(error);
  }
}

const BEGIN = [
  'BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY',
  `SET LOCAL statement_timeout = ${STATEMENT_MS}`,
  'SET LOCAL enable_seqscan = off',
  'SET LOCAL enable_bitmapscan = off',
  'SET LOCAL jit = off',
].join(';');

async function inReadTransaction<T>(
  client: pg.PoolClient,
  schema: string,
  use: (read: BoundedRead) => Promise<T>,
): Promise<T> {
  await client.query(BEGIN);
  try {
    return await use({
      schema: quoteIdentifier(schema),
      async answer(sql, parameters) {
        try {
          const { rows } = await client.query<{ answer: string }>({
            text: sql,
            values: [...parameters],
            types: OWN_TYPES,
          });
          return rows[0]?.answer ?? 'null';
        } catch (error) {
          if (sqlStateOf(error) !== QUERY_CANCELED) throw error;
          await client.query(`ROLLBACK;${BEGIN}`);
          return null;
        }
      },
    });
  } finally {
    // Nothing was written. A connection that broke is thrown away by whoever lent it.
    await client.query('ROLLBACK').catch(() => undefined);
  }
}
