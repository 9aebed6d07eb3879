/**
 * How operations read: the tables as types, and queries built by Kysely but run through Database, whose connections survive being
 * cut while in use.
 * None of these types leaves operations/.
 */
import {
  DummyDriver,
  Kysely,
  PostgresAdapter,
  PostgresIntrospector,
  PostgresQueryCompiler,
  type Compilable,
  type Expression,
  type RawBuilder,
  sql,
} from 'kysely';
import type { SchemaHandle } from '../../postgres/schema-handle.ts';
import { quoteIdentifier } from '../../postgres/quoting.ts';
import { translateSqlError } from '../../postgres/sql-state.ts';
import type { JournalEvent, RunStatus, CompensationReason } from '../../saga/journal/events.ts';
import type { RunMessageBody } from '../../saga/store/store.ts';

/** bigint and xid8 come as texts from the driver, unless the service has told it otherwise. */
type Int8 = string | number | bigint;

export interface HoldfastTables {
  outbox: {
    xid: string;
    seq: Int8;
    id: string;
    topic: string;
    key: string | null;
    lane: number;
    payload: unknown;
    headers: unknown;
    created_at: Date;
  };
  scheduled_message: {
    id: string;
    due_at: Date;
    topic: string;
    key: string | null;
    payload: unknown;
    headers: unknown;
    created_at: Date;
  };
  subscription: {
    name: string;
    shard: number;
    shards: number;
    snapshot: string;
    high: Int8;
    catchup: string | null;
    catchup_seq: Int8 | null;
    floor: Int8;
    lease_owner: string | null;
    lease_epoch: Int8;
    claims_epoch: Int8 | null;
    lease_until: Date | null;
    stalls: number;
    lost_epochs: readonly Int8[] | null;
    lapsed_epochs: readonly Int8[] | null;
    probe: unknown;
    published: Int8;
    rate: number;
    trouble: string | null;
    retention: unknown;
    topics: readonly string[] | null;
    settings: unknown;
    broker: string | null;
    created_at: Date;
    advanced_at: Date | null;
  };
  parked_message: {
    subscription: string;
    seq: Int8;
    id: string;
    topic: string;
    key: string | null;
    lane: number;
    state: 'failed' | 'behind';
    reason: string;
    error: string | null;
    attempts: number;
    parked_at: Date;
    next_attempt_at: Date | null;
    fingerprint: string | null;
    revision: unknown;
    revised_due_at: Date | null;
    claim_epoch: Int8 | null;
    killed_epochs: readonly Int8[] | null;
  };
  parked_delivery: {
    consumer: string;
    message_id: string;
    topic: string;
    key: string | null;
    envelope: unknown;
    state: 'failed' | 'behind';
    reason: string;
    error: string | null;
    attempts: number;
    parked_at: Date;
    position: Int8;
    next_attempt_at: Date | null;
    fingerprint: string | null;
  };
  inbox: { consumer: string; message_id: string; handled_at: Date };
  delivery_attempt: { consumer: string; message_id: string; identity: string | null };
  replay: {
    id: string;
    subscription: string;
    from_seq: Int8;
    to_seq: Int8;
    topic: string | null;
    key: string | null;
    requested_at: Date;
    position: Int8;
    begun: Int8 | null;
    begun_times: number;
    published: Int8;
    unrouted: Int8;
    refused: Int8;
    finished_at: Date | null;
  };
  worker: {
    id: string;
    name: string;
    sagas: readonly string[];
    codes: Readonly<Record<string, string>>;
    max_bytes: number | null;
    max_events: number | null;
    max_journal_bytes: Int8 | null;
    settings: unknown;
    lease_until: Date;
    draining: boolean;
    started_at: Date;
  };
  saga_run: {
    id: string;
    saga: string;
    version: number;
    key: string | null;
    status: RunStatus;
    reason: CompensationReason | null;
    pivoted: boolean;
    worker: string | null;
    claims: number;
    lost: number;
    wake_at: Date | null;
    deadline_at: Date | null;
    parent: string | null;
    parent_call: string | null;
    result: unknown;
    error: unknown;
    started_at: Date;
    updated_at: Date;
    finished_at: Date | null;
  };
  saga_journal: { saga_id: string; n: number; events: readonly JournalEvent[]; at: Date };
  saga_restart: { run: string; restarted_as: string; key: string | null; at: Date };
  saga_mail: { id: Int8; saga_id: string; kind: RunMessageBody['kind']; body: unknown; at: Date };
  audit: {
    id: Int8;
    at: Date;
    actor: string;
    action: string;
    subject: string;
    reason: string | null;
    details: unknown;
    by_role: string | null;
  };
  operation_job: {
    id: string;
    act: unknown;
    actor: string;
    reason: string;
    state: 'open' | 'done' | 'aborted';
    planned: Int8 | null;
    rate: number | null;
    position: unknown;
    in_hand: unknown;
    done: Int8;
    passed_over: unknown;
    failed: unknown;
    examples: unknown;
    lease_owner: string | null;
    lease_until: Date | null;
    created_at: Date;
    updated_at: Date;
    finished_at: Date | null;
  };
}

const builder = new Kysely<HoldfastTables>({
  dialect: {
    createAdapter: () => new PostgresAdapter(),
    createDriver: () => new DummyDriver(),
    createIntrospector: (db) => new PostgresIntrospector(db),
    createQueryCompiler: () => new PostgresQueryCompiler(),
  },
});

/** Builds queries; `rows` runs them. */
export function tables(database: Pick<SchemaHandle, 'schema'>): Kysely<HoldfastTables> {
  return builder.withSchema(database.schema);
}

/**
 * The row type is what Kysely inferred for the query, but for times, which are texts to make a Date of.
 * Rejects with what translateSqlError makes of the driver's errors.
 */
export async function rows<O>(database: SchemaHandle, query: Compilable<O>): Promise<readonly O[]> {
  const { sql: text, parameters } = query.compile();
  // As JSON, times are ISO texts, whatever DateStyle and time zone the role has.
  const found = await rowsBySql<{ row: string }>(
    database,
    `SELECT to_json(holdfast_row)::text AS row FROM (${text}) AS holdfast_row`,
    parameters,
  );
  return found.map(({ row }) => JSON.parse(row) as O);
}

/** Of a query that is written out, as the driver reads its columns. Rejects as `rows` does. */
export async function rowsBySql<Row extends object>(
  database: SchemaHandle,
  text: string,
  parameters: readonly unknown[] = [],
): Promise<readonly Row[]> {
  try {
    return (await database.query<Row>(text, parameters)).rows;
  } catch (error) {
    throw translateSqlError(error);
  }
}

export async function firstRow<O>(database: SchemaHandle, query: Compilable<O>): Promise<O | undefined> {
  return (await rows(database, query))[0];
}

/** The rows of a query as one value of another, so that one statement reads them all. As with `rows`, times are texts. */
export function rowsAsJson<O>(query: Expression<O>): RawBuilder<readonly O[]> {
  return sql`(SELECT coalesce(json_agg(holdfast_row), '[]') FROM ${query} AS holdfast_row)`;
}

/** Milliseconds from a time in the past until now, by the database's clock. */
export function ageMs<T = number>(column: string): RawBuilder<T> {
  return sql<T>`extract(epoch from clock_timestamp() - ${sql.ref(column)})::float8 * 1000`;
}

/** Milliseconds from now until a time to come, by the database's clock; negative when it has passed. */
export function untilMs<T = number | null>(column: string): RawBuilder<T> {
  return sql<T>`extract(epoch from ${sql.ref(column)} - clock_timestamp())::float8 * 1000`;
}

/**
 * A recursive CTE `consumers (consumer)`: those with marks in the inbox of this database, and one null. They are few, and the marks
 * many, so it skips from one to the next along the primary key.
 */
export function consumersSql(schema: string): string {
  const inbox = `${quoteIdentifier(schema)}.inbox`;
  return `consumers (consumer) AS (
    (SELECT consumer FROM ${inbox} ORDER BY consumer LIMIT 1)
    UNION ALL
    SELECT (SELECT i.consumer FROM ${inbox} i WHERE i.consumer > c.consumer ORDER BY i.consumer LIMIT 1)
    FROM consumers c WHERE c.consumer IS NOT NULL)`;
}
