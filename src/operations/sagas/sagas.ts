/**
 * Looking at runs of sagas: lists, and everything known about one. How the workers are doing is in saga-status.ts.
 */
import { sql, type RawBuilder } from 'kysely';
import { HoldfastError } from '../../errors.ts';
import { isUuid } from '../../message/id.ts';
import type { Database } from '../../postgres/database.ts';
import type { SchemaHandle } from '../../postgres/schema-handle.ts';
import { refuseUnknownOptions } from '../../runtime/options.ts';
import type { JournalRow, RecordedError, RunStatus, CompensationReason } from '../../saga/journal/events.ts';
import { noSuchRun } from './find-run.ts';
import { checkLimit } from '../reads/messages.ts';
import { ageMs, rows, rowsAsJson, tables } from '../reads/reads.ts';
import { restartsOf, restartsQuery, type RunRestarts } from './run-restarts.ts';
import { journalFill, type JournalFill } from './saga-growth.ts';
import { sentByRun, type SentMessages } from './sent-by-run.ts';

/** Which runs {@link listRuns} lists. */
export interface RunFilter {
  readonly saga?: string | undefined;
  readonly version?: number | undefined;
  readonly status?: readonly RunStatus[] | undefined;
  readonly key?: string | undefined;
  /** Only runs that need a person. */
  readonly stuck?: boolean | undefined;
  /** Started at or after. */
  readonly since?: Date | undefined;
  /** Runs with a smaller id: the next page. */
  readonly before?: string | undefined;
  /**
   * 1 to 1000.
   *
   * @defaultValue 50
   */
  readonly limit?: number | undefined;
}

/** A run, as {@link listRuns} lists it. */
export interface RunSummary {
  readonly id: string;
  readonly saga: string;
  readonly version: number;
  readonly key: string | null;
  readonly status: RunStatus;
  /** Why it is being compensated, or was. */
  readonly reason: CompensationReason | null;
  readonly pivoted: boolean;
  /** Who has it in memory; the name is null when that worker is gone. */
  readonly worker: { readonly id: string; readonly name: string | null } | null;
  /** When a worker is to take it up; null: when a run message comes, or never again. */
  readonly wakeAt: Date | null;
  readonly deadlineAt: Date | null;
  readonly parent: { readonly id: string; readonly call: string } | null;
  /** Workers that died while they had it. */
  readonly lost: number;
  /** Of a failure, a cancellation, or what it is stuck at. */
  readonly error: RecordedError | null;
  readonly startedAt: Date;
  /** Its last change of status, worker or timer. */
  readonly updatedAt: Date;
  readonly finishedAt: Date | null;
  /** Since its start, and since its last change; by the database's clock. */
  readonly ageMs: number;
  readonly quietMs: number;
}

/** A message to a run that no worker has taken in yet. */
export interface PendingRunMessage {
  readonly id: string;
  /** What it is: a signal, a cancellation, a retry … */
  readonly kind: string;
  readonly body: unknown;
  readonly at: Date;
}

/** Everything known about one run. See {@link showRun}. */
export interface RunDetails {
  readonly run: RunSummary;
  readonly result: unknown;
  readonly journal: readonly JournalRow[];
  /** What no worker has taken in yet, oldest first, at most 100. */
  readonly runMessages: readonly PendingRunMessage[];
  /** Runs that its child steps started, oldest first, at most 1000. */
  readonly children: readonly RunSummary[];
  /** What it sent, and what was written with its start. */
  readonly sent: SentMessages;
  /** Which run was started in its place, and in place of which it was started. */
  readonly restarts: RunRestarts;
  /** How much is in its journal. */
  readonly fill: JournalFill;
  /** The database's time, in milliseconds. */
  readonly now: number;
}

export const RUN_STATUSES: readonly RunStatus[] = [
  'pending',
  'running',
  'waiting',
  'compensating',
  'completed',
  'compensated',
  'stuck',
];

const FILTERS = ['saga', 'version', 'status', 'key', 'stuck', 'since', 'before', 'limit'] as const;

/**
 * Newest first, by id. Along the primary key, or, for stuck runs and keys, along their indexes; the journals are not touched.
 * Throws HF_CONFIG or HF_OPTION_UNKNOWN for a filter that is not usable.
 */
export async function listRuns(database: Database, filter: RunFilter = {}): Promise<readonly RunSummary[]> {
  refuseUnknownOptions(filter, FILTERS, 'listRuns');
  const { saga, version, status, key, stuck, since, before } = filter;
  let query = runsQuery(database)
    .orderBy('r.id', 'desc')
    .limit(checkLimit(filter.limit ?? 50));
  if (saga !== undefined) query = query.where('r.saga', '=', saga);
  if (version !== undefined) query = query.where('r.version', '=', version);
  // Spelled out: the index of stuck runs serves only who asks for that status in so many words.
  if (stuck === true) query = query.where(sql<boolean>`r.status = 'stuck'`);
  if (status !== undefined) query = query.where('r.status', 'in', checkStatuses(status));
  if (key !== undefined) query = query.where('r.key', '=', key);
  if (since !== undefined) query = query.where('r.started_at', '>=', since);
  if (before !== undefined) {
    assertRunId(before);
    query = query.where('r.id', '<', before);
  }
  return (await rows(database, query)).map(toSummary);
}

/** Those that are there, in no order. */
export async function runsByIds(database: Database, ids: readonly string[]): Promise<readonly RunSummary[]> {
  if (ids.length === 0) return [];
  return (await rows(database, runsQuery(database).where('r.id', 'in', ids))).map(toSummary);
}

/** Rejects with HF_NOT_FOUND. */
export async function showRun(database: Database, id: string): Promise<RunDetails> {
  return (await showRunUpTo(database, id, null)) as RunDetails;
}

/** Of a run whose journal has more UTF-8 bytes, only how many they are. Rejects with HF_NOT_FOUND. */
export async function showRunUpTo(
  database: Database,
  id: string,
  mostBytes: number | null,
): Promise<RunDetails | number> {
  assertRunId(id);
  const { run, journal, runMessages, children, fill, restarts, now_ms: now } = await readParts(database, id, mostBytes);
  const [row] = run;
  if (row === undefined || fill === null) throw noSuchRun(id);
  if (journal === null) return fill.bytes;
  const rowsOfJournal = journal.map(toJournalRow);
  return {
    run: toSummary(row),
    result: row.result,
    sent: await sentByRun(database, id, rowsOfJournal),
    journal: rowsOfJournal,
    runMessages: runMessages.map((each) => ({ ...each, id: String(each.id), at: new Date(each.at) })),
    children: children.map(toSummary),
    restarts: restartsOf(id, restarts),
    fill,
    now,
  };
}

/** In one statement: one after the other, they would take as many exchanges with the server, or as many connections. */
async function readParts(database: Database, id: string, mostBytes: number | null) {
  const from = tables(database);
  const messages = from
    .selectFrom('saga_mail')
    .where('saga_id', '=', id)
    .select(['id', 'kind', 'body', 'at'])
    .orderBy('id')
    .limit(100);
  const children = runsQuery(database).where('r.parent', '=', id).orderBy('r.started_at').orderBy('r.id').limit(1000);
  const [found] = await rows(
    database,
    from.selectNoFrom([
      rowsAsJson(runsQuery(database).where('r.id', '=', id).select('r.result')).as('run'),
      journalUpTo(database, id, mostBytes).as('journal'),
      rowsAsJson(messages).as('runMessages'),
      rowsAsJson(children).as('children'),
      journalFill(database, id).as('fill'),
      rowsAsJson(restartsQuery(database, id)).as('restarts'),
      sql<number>`extract(epoch from clock_timestamp())::float8 * 1000`.as('now_ms'),
    ]),
  );
  if (found === undefined) throw noSuchRun(id);
  return found;
}

/** Null: it has more bytes. */
function journalUpTo(database: Database, id: string, mostBytes: number | null): RawBuilder<JournalRows | null> {
  const journal = rowsAsJson(journalQuery(database, id));
  if (mostBytes === null) return journal.$castTo<JournalRows | null>();
  const bytes = tables(database)
    .selectFrom('saga_journal')
    .where('saga_id', '=', id)
    .select(sql<number>`coalesce(sum(coalesce(bytes, octet_length(events::text))), 0)`.as('bytes'));
  return sql`CASE WHEN ${bytes} <= ${mostBytes}::float8 THEN ${journal} END`;
}

function journalQuery(database: SchemaHandle, id: string) {
  return tables(database)
    .selectFrom('saga_journal')
    .where('saga_id', '=', id)
    .select(['n', 'events', sql<number>`round(extract(epoch from at) * 1000)::float8`.as('at_ms')])
    .orderBy('n');
}

type JournalRows = readonly Awaited<ReturnType<ReturnType<typeof journalQuery>['execute']>>[number][];

function toJournalRow({ n, events, at_ms: at }: JournalRows[number]): JournalRow {
  return { n, at, events };
}

/** The rows as they are stored; none for a run that is not there. */
export async function readJournal(database: SchemaHandle, id: string): Promise<readonly JournalRow[]> {
  assertRunId(id);
  return (await rows(database, journalQuery(database, id))).map(toJournalRow);
}

/** Throws HF_CONFIG: an id that is no UUID would only be an error of the database. */
export function assertRunId(id: string): void {
  if (isUuid(id)) return;
  throw new HoldfastError('HF_CONFIG', `${JSON.stringify(id)} is not the id of a run.`, {
    advice: 'Ids are UUIDs such as 0199f3a0-7b1c-7cc0-9d7e-3a4b5c6d7e8f; `holdfast saga ls` shows them.',
  });
}

/** Throws HF_CONFIG. */
export function checkStatuses(given: readonly RunStatus[]): readonly RunStatus[] {
  const unknown = given.find((each) => !RUN_STATUSES.includes(each));
  if (unknown === undefined && given.length > 0) return given;
  throw new HoldfastError(
    'HF_CONFIG',
    unknown === undefined ? 'No status is given.' : `There is no status ${JSON.stringify(unknown)}.`,
    {
      advice: `Give some of: ${RUN_STATUSES.join(', ')}.`,
    },
  );
}

function runsQuery(database: Database) {
  return tables(database)
    .selectFrom('saga_run as r')
    .leftJoin('worker as w', 'w.id', 'r.worker')
    .select([
      'r.id',
      'r.saga',
      'r.version',
      'r.key',
      'r.status',
      'r.reason',
      'r.pivoted',
      'r.worker',
      'w.name as worker_name',
    ])
    .select(['r.wake_at', 'r.deadline_at', 'r.parent', 'r.parent_call', 'r.lost', 'r.error'])
    .select(['r.started_at', 'r.updated_at', 'r.finished_at'])
    .select([ageMs('r.started_at').as('age_ms'), ageMs('r.updated_at').as('quiet_ms')]);
}

type RunRow = Awaited<ReturnType<ReturnType<typeof runsQuery>['execute']>>[number];

function toSummary(row: RunRow): RunSummary {
  return {
    id: row.id,
    saga: row.saga,
    version: row.version,
    key: row.key,
    status: row.status,
    reason: row.reason,
    pivoted: row.pivoted,
    // A finished run keeps the name of who finished it; nobody has it any more.
    worker: row.worker === null || row.finished_at !== null ? null : { id: row.worker, name: row.worker_name },
    wakeAt: toDate(row.wake_at),
    deadlineAt: toDate(row.deadline_at),
    parent: row.parent === null ? null : { id: row.parent, call: row.parent_call ?? '' },
    lost: row.lost,
    error: row.error as RecordedError | null,
    startedAt: new Date(row.started_at),
    updatedAt: new Date(row.updated_at),
    finishedAt: toDate(row.finished_at),
    ageMs: row.age_ms,
    quietMs: row.quiet_ms,
  };
}

function toDate(value: Date | null): Date | null {
  return value === null ? null : new Date(value);
}
