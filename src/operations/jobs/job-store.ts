/**
 * The table `operation_job`. A chunk locks the row of its job first and writes progress and position into it last, in one transaction with
 * what it does; who has another epoch than the row finds that out before it does anything.
 */
import { sql } from 'kysely';
import type { ClientBase } from 'pg';
import { HoldfastError } from '../../errors.ts';
import { isUuid } from '../../message/id.ts';
import type { Act } from '../../postgres/audit.ts';
import type { Database } from '../../postgres/database.ts';
import { schemaHandle, type SchemaHandle } from '../../postgres/schema-handle.ts';
import { quoteIdentifier } from '../../postgres/quoting.ts';
import { audited } from '../parked/interventions.ts';
import { checkLimit } from '../reads/messages.ts';
import { firstRow, rows, rowsBySql, tables } from '../reads/reads.ts';
import { IN_HAND, type HeldSubject } from './in-hand.ts';
import {
  MOST_EXAMPLES,
  type JobAct,
  type JobExample,
  type JobPosition,
  type JobState,
  type JobSummary,
} from './job.ts';

export interface NewJob {
  readonly id: string;
  readonly act: JobAct;
  readonly actor: string;
  readonly reason: string;
  readonly planned: number | null;
  readonly rate: number | null;
}

/** In the transaction of its audit row. */
export async function insertJob(client: ClientBase, schema: string, job: NewJob): Promise<void> {
  await client.query(
    `INSERT INTO ${tableOf(schema)} (id, act, actor, reason, planned, rate) VALUES ($1, $2::text::jsonb, $3, $4, $5, $6)`,
    [job.id, JSON.stringify(job.act), job.actor, job.reason, job.planned, job.rate],
  );
}

/** Which jobs {@link listJobs} lists. */
export interface JobFilter {
  readonly state?: JobState | undefined;
  /** Only those that are open and that nobody works on. */
  readonly orphaned?: boolean | undefined;
  /** Jobs with a smaller id: the next page. */
  readonly before?: string | undefined;
  /**
   * 1 to 1000.
   *
   * @defaultValue 50
   */
  readonly limit?: number | undefined;
}

/** Newest first. */
export async function readJobs(
  database: Database,
  { state, orphaned, before, limit }: JobFilter,
): Promise<readonly JobSummary[]> {
  let query = jobsQuery(database)
    .orderBy('id', 'desc')
    .limit(checkLimit(limit ?? 50));
  if (before !== undefined) query = query.where('id', '<', assertJobId(before));
  if (state !== undefined) query = query.where('state', '=', state);
  if (orphaned === true) {
    query = query.where(sql<boolean>`state = 'open'`);
    query = query.where(sql<boolean>`coalesce(lease_until < clock_timestamp(), true)`);
  }
  return (await rows(database, query)).map(toSummary);
}

/**
 * Ids of open jobs that somebody should go on with, oldest first: whoever worked on them died or has handed them over, or whoever wrote them
 * down for itself (an actor whose name begins so) died before it began. Not those that a person has stopped, and nobody wants gone on with.
 */
export async function readAbandoned(
  database: Database,
  { actors, limit }: { readonly actors: string; readonly limit: number },
): Promise<readonly string[]> {
  const found = await rowsBySql<{ id: string }>(
    database,
    `SELECT id::text AS id FROM ${tableOf(database.schema)}
     WHERE state = 'open' AND coalesce(lease_until < clock_timestamp(), true)
       AND (lease_owner IS NOT NULL OR lease_epoch = 0 AND starts_with(actor, $1))
     ORDER BY created_at LIMIT $2`,
    [actors, limit],
  );
  return found.map(({ id }) => id);
}

/** Rejects with HF_NOT_FOUND. */
export async function readJob(database: SchemaHandle, id: string): Promise<JobSummary> {
  const found = isUuid(id) ? await firstRow(database, jobsQuery(database).where('id', '=', id)) : undefined;
  if (found === undefined) throw noSuchJob(id);
  return toSummary(found);
}

/** Who takes a job, and for how long. */
export interface JobTaking {
  readonly owner: string;
  readonly leaseMs: number;
  /** A person who wants it gone on with, and why: stands in the audit, by the commit in which it is taken. */
  readonly resumedBy?: Act | undefined;
}

/**
 * Takes the job for `owner`, if it is open and nobody has it. Resolves with the epoch; null: it has ended.
 * Rejects with HF_NOT_FOUND, and with HF_LEASE_LOST while another one works on it.
 */
export async function takeJob(
  database: Database,
  id: string,
  { owner, leaseMs, resumedBy }: JobTaking,
): Promise<number | null> {
  const job = await readJob(database, id);
  const take = (on: SchemaHandle) =>
    rowsBySql<{ epoch: string }>(
      on,
      `UPDATE ${tableOf(database.schema)} SET lease_owner = $2, lease_epoch = lease_epoch + 1,
         lease_until = clock_timestamp() + $3 * interval '1 millisecond'
       WHERE id = $1 AND state = 'open' AND coalesce(lease_until < clock_timestamp(), true)
       RETURNING lease_epoch::text AS epoch`,
      [id, owner, leaseMs],
    );
  const resume = (by: Act) =>
    audited(database, async (client, audit) => {
      const resumed = await take(schemaHandle(client, database.schema));
      const details = { done: job.done };
      if (resumed.length > 0) await audit({ ...by, action: 'job.resume', subject: id, details });
      return resumed;
    });
  const [only] = await (resumedBy === undefined ? take(database) : resume(resumedBy));
  if (only !== undefined) return Number(only.epoch);
  const now = await readJob(database, id);
  if (now.state !== 'open') return null;
  throw new HoldfastError(
    'HF_LEASE_LOST',
    `Job ${id} is being worked on by ${now.runner ?? job.runner ?? 'another process'}.`,
    {
      advice: `If that one is gone, it can be taken over ${leaseMs / 1_000} seconds after its last sign of life.`,
      details: { job: id },
    },
  );
}

/**
 * Somebody wants it gone on with: should whoever is about to do that die, it is found by {@link readAbandoned}. Resolves with whether it was
 * open and nobody had it. In the transaction of the caller.
 */
export async function wantJob(
  client: ClientBase,
  schema: string,
  { id, by }: { readonly id: string; readonly by: string },
): Promise<boolean> {
  const result = await client.query(
    `UPDATE ${tableOf(schema)} SET lease_owner = $2, lease_until = clock_timestamp()
     WHERE id = $1 AND state = 'open' AND coalesce(lease_until < clock_timestamp(), true)`,
    [id, by],
  );
  return result.rowCount === 1;
}

export interface JobGivenBack {
  readonly id: string;
  readonly epoch: number;
  /** Somebody else is to go on with it; otherwise it rests until a person says so. */
  readonly handOver: boolean;
}

/** Gives it back, so that another one need not wait. Not when somebody else has it already. */
export async function giveJobBack(database: Database, { id, epoch, handOver }: JobGivenBack): Promise<void> {
  await rowsBySql(
    database,
    `UPDATE ${tableOf(database.schema)} SET lease_owner = CASE WHEN $3::boolean THEN lease_owner END,
       lease_until = CASE WHEN $3::boolean THEN clock_timestamp() END
     WHERE id = $1 AND lease_epoch = $2 AND state = 'open'`,
    [id, epoch, handOver],
  );
}

/** What a chunk needs to know of its job. */
export interface LockedJob {
  readonly id: string;
  readonly state: JobState;
  readonly position: JobPosition | null;
  /** To be come back to. */
  readonly inHand: readonly HeldSubject[];
}

/** Locks the row until the transaction ends. Rejects with HF_LEASE_LOST when somebody else has taken the job. */
export async function lockJob(
  client: ClientBase,
  schema: string,
  { id, epoch }: { readonly id: string; readonly epoch: number },
): Promise<LockedJob> {
  const result = await client.query<{ state: JobState; position: string | null; held: string; epoch: string }>(
    `SELECT state, position::text AS position, in_hand::text AS held, lease_epoch::text AS epoch
     FROM ${tableOf(schema)} WHERE id = $1 FOR UPDATE`,
    [id],
  );
  const [row] = result.rows;
  if (row === undefined) throw noSuchJob(id);
  if (Number(row.epoch) !== epoch) {
    throw new HoldfastError('HF_LEASE_LOST', `Job ${id} was taken over by another process, which goes on with it.`, {
      details: { job: id },
    });
  }
  return {
    id,
    state: row.state,
    position: row.position === null ? null : (JSON.parse(row.position) as JobPosition),
    inHand: JSON.parse(row.held) as readonly HeldSubject[],
  };
}

/** What a chunk adds to its job. */
export interface JobProgress {
  /** Null: it stays where it is. */
  readonly position: JobPosition | null;
  /** To be come back to. */
  readonly inHand: readonly HeldSubject[];
  /** Counts may be taken away, too. */
  readonly done: number;
  readonly passedOver: Readonly<Record<string, number>>;
  readonly failed: Readonly<Record<string, number>>;
  readonly examples: readonly JobExample[];
  /** Examples of before that hold no longer: those in somebody's hands of these subjects. */
  readonly settled: readonly string[];
  /** For how long the runner has the job from now on, in milliseconds. */
  readonly leaseMs: number;
}

/** In the transaction that has it locked; renews the lease. */
export async function noteProgress(
  client: ClientBase,
  schema: string,
  id: string,
  progress: JobProgress,
): Promise<void> {
  const sum = (column: string, parameter: string): string =>
    `${column} = (SELECT coalesce(jsonb_object_agg(code, n), '{}') FROM (
       SELECT code, sum(n::bigint) AS n FROM (
         SELECT * FROM jsonb_each_text(${column}) UNION ALL SELECT * FROM jsonb_each_text(${parameter}::text::jsonb)) AS entry (code, n)
       GROUP BY code HAVING sum(n::bigint) <> 0) AS summed)`;
  await client.query(
    `UPDATE ${tableOf(schema)} SET position = coalesce($2::text::jsonb, position), done = done + $3, ${sum('passed_over', '$4')},
       ${sum('failed', '$5')}, in_hand = $8::text::jsonb,
       examples = jsonb_path_query_array((
         SELECT coalesce(jsonb_agg(e.example ORDER BY e.n), '[]') FROM jsonb_array_elements(examples) WITH ORDINALITY AS e (example, n)
         WHERE NOT (e.example ->> 'code' = '${IN_HAND}' AND e.example ->> 'subject' = ANY ($9::text[]))) || $6::text::jsonb,
         '$[0 to ${MOST_EXAMPLES - 1}]'),
       updated_at = clock_timestamp(), lease_until = clock_timestamp() + $7 * interval '1 millisecond'
     WHERE id = $1`,
    [
      id,
      progress.position === null ? null : JSON.stringify(progress.position),
      progress.done,
      JSON.stringify(progress.passedOver),
      JSON.stringify(progress.failed),
      JSON.stringify(progress.examples),
      progress.leaseMs,
      JSON.stringify(progress.inHand),
      progress.settled,
    ],
  );
}

/** Ends an open job; resolves with whether it was open. In the transaction of the caller. */
export async function endJob(
  client: ClientBase,
  schema: string,
  id: string,
  state: 'done' | 'aborted',
): Promise<boolean> {
  const result = await client.query(
    `UPDATE ${tableOf(schema)} SET state = $2, finished_at = clock_timestamp(), updated_at = clock_timestamp(), lease_owner = NULL,
       lease_until = NULL
     WHERE id = $1 AND state = 'open'`,
    [id, state],
  );
  return result.rowCount === 1;
}

/** In the transaction of `client`. Rejects with HF_NOT_FOUND. */
export async function readJobIn(client: ClientBase, schema: string, id: string): Promise<JobSummary> {
  return readJob(schemaHandle(client, schema), id);
}

function tableOf(schema: string): string {
  return `${quoteIdentifier(schema)}.operation_job`;
}

function jobsQuery(database: Pick<SchemaHandle, 'schema'>) {
  return tables(database)
    .selectFrom('operation_job')
    .select(['id', 'act', 'actor', 'reason', 'state', 'planned', 'rate', 'done', 'passed_over', 'failed', 'examples'])
    .select(['created_at', 'updated_at', 'finished_at'])
    .select(sql<string | null>`case when lease_until >= clock_timestamp() then lease_owner end`.as('runner'));
}

type JobRow = Awaited<ReturnType<ReturnType<typeof jobsQuery>['execute']>>[number];

function toSummary(row: JobRow): JobSummary {
  return {
    id: row.id,
    act: reviveAct(row.act as JobAct),
    actor: row.actor,
    reason: row.reason,
    state: row.state,
    planned: row.planned === null ? null : Number(row.planned),
    rate: row.rate,
    done: Number(row.done),
    passedOver: row.passed_over as JobSummary['passedOver'],
    failed: row.failed as JobSummary['failed'],
    examples: row.examples as JobSummary['examples'],
    runner: row.runner,
    createdAt: new Date(row.created_at),
    updatedAt: new Date(row.updated_at),
    finishedAt: row.finished_at === null ? null : new Date(row.finished_at),
  };
}

/** Times are texts in JSON. */
function reviveAct(act: JobAct): JobAct {
  const { since, until } = act.select;
  const times = {
    ...(since === undefined ? {} : { since: new Date(since) }),
    ...(until === undefined ? {} : { until: new Date(until) }),
  };
  return { ...act, select: { ...act.select, ...times } };
}

function assertJobId(id: string): string {
  if (isUuid(id)) return id;
  throw new HoldfastError('HF_CONFIG', `${JSON.stringify(id)} is not the id of a job.`, {
    advice: 'Give the id of the last one that was listed.',
  });
}

function noSuchJob(id: string): HoldfastError {
  return new HoldfastError('HF_NOT_FOUND', `There is no job ${JSON.stringify(id)}.`, {
    advice: '`holdfast job ls` shows those that are.',
    details: { job: id },
  });
}
