/**
 * How the sagas are doing, read from the database alone: it answers whether or not a worker runs. Each question goes along an
 * index, or is capped.
 */
import { sql } from 'kysely';
import { isHoldfastError } from '../../errors.ts';
import type { Database } from '../../postgres/database.ts';
import { quoteIdentifier } from '../../postgres/quoting.ts';
import type { RunStatus } from '../../saga/journal/events.ts';
import { rows, rowsBySql, tables, untilMs } from '../reads/reads.ts';
import { grownRuns, type GrownRuns } from './saga-growth.ts';

/** How one worker is doing. See {@link sagaStatus}. */
export interface WorkerStatus {
  readonly id: string;
  readonly name: string;
  /** 'place-order@1', ... */
  readonly sagas: readonly string[];
  /** Fingerprints of what it declares under these names. */
  readonly codes: Readonly<Record<string, string>>;
  /** Its lease lasts. */
  readonly live: boolean;
  /** 0 when it has run out. */
  readonly leaseMs: number;
  readonly draining: boolean;
  readonly startedAt: Date;
  /** Runs it has in memory; up to 10,000 are counted. */
  readonly runs: number;
}

/** Runs that could be taken up now, of one saga in one version. */
export interface DueRuns {
  readonly saga: string;
  readonly version: number;
  /** Up to 10,000 are counted; `atLeast` then says that there are more. */
  readonly runs: number;
  readonly atLeast: boolean;
  readonly oldestMs: number;
}

/** How many runs of one saga have one status. */
export interface RunCount {
  readonly saga: string;
  readonly status: RunStatus;
  readonly runs: number;
}

/** What of {@link sagaStatus} is cheap enough to be asked every second. */
export interface SagaHealth {
  readonly stuck: readonly { readonly saga: string; readonly runs: number; readonly oldestMs: number }[];
  readonly due: readonly DueRuns[];
  readonly workers: readonly WorkerStatus[];
  /** Due runs, and runs with run messages, whose saga and version no live worker has. */
  readonly unrunnable: readonly DueRuns[];
  /** Runs that have started children of a version that no live worker has. */
  readonly childless: readonly Childless[];
  /** Runs near what their journals may hold. */
  readonly grown: readonly GrownRuns[];
}

/** Runs of one saga with unfinished children of one version. */
export interface Childless {
  /** Of the parents. */
  readonly saga: string;
  /** Of the children, as 'charge-card@1'. */
  readonly child: string;
  /** Children. */
  readonly runs: number;
}

/** What {@link sagaStatus} found. */
export interface SagaStatus extends SagaHealth {
  readonly counts: RunCounts;
}

/** How many runs there are. See {@link sagaStatus}. */
export interface RunCounts {
  readonly counts: readonly RunCount[];
  /** Only the newest 100,000 runs have been counted: there are more. */
  readonly atLeast: boolean;
}

const COUNT_LIMIT = 100_000;
const DUE_LIMIT = 10_000;
const CHILD_LIMIT = 1_000;

/** Null for a role that may not read the sagas (docs/roles.md). */
export async function sagaStatus(database: Database): Promise<SagaStatus | null> {
  try {
    const [counts, health] = await Promise.all([runCounts(database), sagaHealth(database)]);
    return { counts, ...health };
  } catch (error) {
    if (isHoldfastError(error, 'HF_PERMISSION')) return null;
    throw error;
  }
}

/** Without the counts, which read far more than the rest: cheap enough to be asked every second. */
export async function sagaHealth(database: Database): Promise<SagaHealth> {
  const [stuck, due, addressed, workers, childless, grown] = await Promise.all([
    stuckRuns(database),
    dueRuns(database),
    addressedRuns(database),
    listWorkers(database),
    childlessRuns(database),
    grownRuns(database),
  ]);
  return { stuck, due, workers, unrunnable: findUnrunnable([...due, ...addressed], workers), childless, grown };
}

/** Newest runs first, up to 100,000. */
export async function runCounts(database: Database): Promise<RunCounts> {
  const from = tables(database);
  const newest = from
    .selectFrom('saga_run')
    .select(['saga', 'status'])
    .orderBy('id', 'desc')
    .limit(COUNT_LIMIT + 1);
  const counted = await rows(
    database,
    from
      .selectFrom(newest.as('newest'))
      .select(({ fn }) => ['saga', 'status', fn.countAll<string>().as('runs')])
      .groupBy(['saga', 'status'])
      .orderBy('saga')
      .orderBy('status'),
  );
  const counts = counted.map(({ saga, status, runs }) => ({ saga, status, runs: Number(runs) }));
  return { counts, atLeast: counts.reduce((sum, { runs }) => sum + runs, 0) > COUNT_LIMIT };
}

export async function listWorkers(database: Database): Promise<readonly WorkerStatus[]> {
  const from = tables(database);
  const found = await rows(
    database,
    from
      .selectFrom('worker as w')
      .select([
        'w.id',
        'w.name',
        'w.sagas',
        'w.codes',
        'w.draining',
        'w.started_at',
        untilMs<number>('w.lease_until').as('lease_ms'),
      ])
      .select((query) => [
        query
          .selectFrom(
            query
              .selectFrom('saga_run as r')
              .whereRef('r.worker', '=', 'w.id')
              .where('r.finished_at', 'is', null)
              .select('r.id')
              .limit(DUE_LIMIT)
              .as('held'),
          )
          .select(({ fn }) => fn.countAll<string>().as('count'))
          .as('runs'),
      ])
      .orderBy('w.name')
      .orderBy('w.id'),
  );
  return found.map((row) => ({
    id: row.id,
    name: row.name,
    sagas: row.sagas,
    codes: row.codes,
    live: row.lease_ms > 0,
    leaseMs: Math.max(0, row.lease_ms),
    draining: row.draining,
    startedAt: new Date(row.started_at),
    runs: Number(row.runs ?? 0),
  }));
}

/** Pure. What no live worker has; what is both due and has run messages counts once, as the larger of both. */
export function findUnrunnable(due: readonly DueRuns[], workers: readonly WorkerStatus[]): readonly DueRuns[] {
  const known = new Set(workers.filter(({ live, draining }) => live && !draining).flatMap(({ sagas }) => sagas));
  const found = new Map<string, DueRuns>();
  for (const each of due) {
    const name = `${each.saga}@${each.version}`;
    if (known.has(name)) continue;
    const before = found.get(name) ?? each;
    found.set(name, {
      ...before,
      runs: Math.max(before.runs, each.runs),
      atLeast: before.atLeast || each.atLeast,
      oldestMs: Math.max(before.oldestMs, each.oldestMs),
    });
  }
  return [...found.values()];
}

async function stuckRuns(database: Database): Promise<SagaHealth['stuck']> {
  const found = await rows(
    database,
    tables(database)
      .selectFrom('saga_run')
      // Spelled out, for the index of stuck runs.
      .where(sql<boolean>`status = 'stuck'`)
      .select(({ fn }) => ['saga', fn.countAll<string>().as('runs')])
      .select(sql<number>`extract(epoch from clock_timestamp() - min(updated_at))::float8 * 1000`.as('oldest_ms'))
      .groupBy('saga')
      .orderBy('saga'),
  );
  return found.map(({ saga, runs, oldest_ms: oldestMs }) => ({ saga, runs: Number(runs), oldestMs }));
}

/**
 * Skips from one saga and version to the next along the index of what can be claimed: few of them have, perhaps, very many runs that
 * wait for a timer. now() and not clock_timestamp(), which no index can be asked for.
 */
async function dueRuns(database: Database): Promise<readonly DueRuns[]> {
  const run = `${quoteIdentifier(database.schema)}.saga_run`;
  const free = 'worker IS NULL AND wake_at IS NOT NULL';
  return dueQuery(
    database,
    `WITH RECURSIVE kinds (saga, version) AS (
       (SELECT saga, version FROM ${run} WHERE ${free} ORDER BY saga, version LIMIT 1)
       UNION ALL
       SELECT n.saga, n.version FROM kinds k CROSS JOIN LATERAL (
         SELECT saga, version FROM ${run} WHERE ${free} AND (saga, version) > (k.saga, k.version) ORDER BY saga, version LIMIT 1) n)
     SELECT k.saga, k.version, d.runs, d.oldest_ms FROM kinds k CROSS JOIN LATERAL (
       SELECT count(*) AS runs, extract(epoch FROM now() - min(wake_at))::float8 * 1000 AS oldest_ms FROM (
         SELECT wake_at FROM ${run} r WHERE ${free} AND r.saga = k.saga AND r.version = k.version AND wake_at <= now()
         ORDER BY wake_at LIMIT ${DUE_LIMIT + 1}) due) d
     WHERE d.runs > 0`,
  );
}

/** Runs that nobody has and that run messages have come for. There are few at any time. */
async function addressedRuns(database: Database): Promise<readonly DueRuns[]> {
  const s = quoteIdentifier(database.schema);
  return dueQuery(
    database,
    `SELECT r.saga, r.version, count(DISTINCT r.id) AS runs, extract(epoch FROM now() - min(m.at))::float8 * 1000 AS oldest_ms
     FROM (SELECT saga_id, at FROM ${s}.saga_mail ORDER BY id LIMIT ${DUE_LIMIT + 1}) m
     JOIN ${s}.saga_run r ON r.id = m.saga_id AND r.worker IS NULL
     GROUP BY r.saga, r.version ORDER BY r.saga, r.version`,
  );
}

/** Of the children that were started last. Where a parent waits for one that nobody can go on with, nothing else would say so. */
async function childlessRuns(database: Database): Promise<readonly Childless[]> {
  const s = quoteIdentifier(database.schema);
  return rowsBySql<Childless>(
    database,
    `SELECT p.saga, c.offer AS child, count(*)::int AS runs FROM (
       SELECT parent, saga || '@' || version AS offer, finished_at FROM ${s}.saga_run
       WHERE parent IS NOT NULL ORDER BY parent DESC LIMIT ${CHILD_LIMIT}) c
     JOIN ${s}.saga_run p ON p.id = c.parent
     WHERE c.finished_at IS NULL AND p.finished_at IS NULL AND NOT EXISTS (
       SELECT 1 FROM ${s}.worker w WHERE w.lease_until > clock_timestamp() AND w.sagas ? c.offer)
     GROUP BY 1, 2 ORDER BY 1, 2`,
  );
}

async function dueQuery(database: Database, text: string): Promise<readonly DueRuns[]> {
  const found = await rowsBySql<{ saga: string; version: number; runs: string; oldest_ms: number }>(database, text);
  return found.map(({ saga, version, runs, oldest_ms: oldestMs }) => {
    const count = Number(runs);
    return {
      saga,
      version,
      runs: Math.min(count, DUE_LIMIT),
      atLeast: count > DUE_LIMIT,
      oldestMs: Math.max(0, oldestMs),
    };
  });
}
