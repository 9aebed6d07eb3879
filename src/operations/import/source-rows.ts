/**
 * The statements of an import: counting, looking at, locking and taking the rows of a source, whichever it is.
 */
import type { PoolClient } from 'pg';
import type { Database } from '../../postgres/database.ts';
import { quoteIdentifier } from '../../postgres/quoting.ts';
import type { SourceJob } from './decide.ts';
import type { ImportSource, SourceState } from './source.ts';

export interface ImportCount {
  readonly name: string;
  readonly state: SourceState;
  readonly count: number;
}

export async function countJobs(database: Database, source: ImportSource): Promise<readonly ImportCount[]> {
  const { rows } = await database.query<{ name: string; state: SourceState; count: number }>(
    `SELECT ${source.name} AS name, ${source.state} AS state, count(*)::float8 AS count FROM ${source.from} GROUP BY 1, 2 ORDER BY 1, 2`,
  );
  return rows;
}

export interface JobRow {
  readonly identity: readonly string[];
  readonly place: readonly string[];
  readonly name: string | null;
  readonly state: SourceState;
  readonly attempts: number;
  readonly key: string | null;
  readonly due: string | null;
  readonly bytes: number;
  readonly payload: string | null;
}

/** $1: states, $2: most bytes of a payload, $3: how many. */
function pickSql(source: ImportSource, behind: string): string {
  const texts = (columns: readonly { readonly sql: string }[]): string =>
    `ARRAY[${columns.map(({ sql }) => `${sql}::text`).join(', ')}]`;
  const payload = `coalesce(${source.payload}::text, 'null')`;
  return `SELECT ${texts(source.identity)} AS identity, ${texts(source.order)} AS place, ${source.name} AS name,
      ${source.state} AS state, (${source.attempts})::float8 AS attempts, nullif(${source.key}, '') AS key,
      CASE WHEN ${source.due} > clock_timestamp()
        THEN CASE WHEN isfinite(${source.due}) THEN ceil(extract(epoch FROM ${source.due}) * 1000)::text ELSE 'never' END END AS due,
      octet_length(${payload})::float8 AS bytes, CASE WHEN octet_length(${payload}) <= $2 THEN ${payload} END AS payload
    FROM ${source.from}
    WHERE ${source.state} = ANY($1::text[]) ${behind}
    ORDER BY ${source.order.map(({ sql }) => sql).join(', ')} LIMIT $3`;
}

/** Which rows, and how many. */
export interface WantedRows {
  readonly states: readonly SourceState[];
  /** Larger payloads are not read. */
  readonly maxBytes: number;
  readonly most: number;
  /** The place of the row before the first; null: from the beginning. Default: null. */
  readonly behind?: readonly string[] | null;
}

export async function lookAtRows(
  database: Database,
  source: ImportSource,
  { states, maxBytes, most }: WantedRows,
): Promise<readonly JobRow[]> {
  return (await database.query<JobRow>(pickSql(source, ''), [states, maxBytes, most])).rows;
}

/** Those that nobody else has locked. */
export async function lockRows(
  tx: PoolClient,
  source: ImportSource,
  { states, maxBytes, most, behind = null }: WantedRows,
): Promise<readonly JobRow[]> {
  const place = source.order.map(({ type }, index) => `($4::text[])[${index + 1}]::${type}`);
  const after = behind === null ? '' : `AND (${source.order.map(({ sql }) => sql).join(', ')}) > (${place.join(', ')})`;
  const { rows } = await tx.query<JobRow>(`${pickSql(source, after)} FOR UPDATE OF j SKIP LOCKED`, [
    states,
    maxBytes,
    most,
    ...(behind === null ? [] : [behind]),
  ]);
  return rows;
}

/** A table that was restored has rows again that were moved. */
export async function idsWritten(tx: PoolClient, schema: string, ids: readonly string[]): Promise<ReadonlySet<string>> {
  if (ids.length === 0) return new Set();
  const s = quoteIdentifier(schema);
  const { rows } = await tx.query<{ id: string }>(
    `SELECT id::text AS id FROM ${s}.outbox WHERE id = ANY($1::uuid[])
     UNION ALL SELECT id::text FROM ${s}.scheduled_message WHERE id = ANY($1::uuid[])`,
    [ids],
  );
  return new Set(rows.map(({ id }) => id));
}

/** The rows are locked, so they are there. `taken` are of this transaction. */
export async function takeRows(
  tx: PoolClient,
  { table, identity, mark }: ImportSource,
  taken: readonly JobRow[],
): Promise<void> {
  const arrays = identity.map(({ type }, index) => `$${index + 1}::text[]::${type}[]`);
  const names = identity.map((_, index) => `c${index + 1}`);
  const fits = identity.map(({ sql }, index) => `${sql} = taken.c${index + 1}`).join(' AND ');
  const rows = `unnest(${arrays.join(', ')}) AS taken (${names.join(', ')})`;
  await tx.query(
    mark === null
      ? `DELETE FROM ${table} j USING ${rows} WHERE ${fits}`
      : `UPDATE ${table} j SET ${mark} FROM ${rows} WHERE ${fits}`,
    identity.map((_, index) => taken.map((row) => row.identity[index])),
  );
}

export function jobOf({ identity, name, state, attempts, key, due, bytes, payload }: JobRow): SourceJob {
  const dueMs = due === null || due === 'never' ? due : Number(due);
  return { ref: identity.join('/'), name: name ?? '', state, attempts, key, dueMs, bytes, payload };
}
