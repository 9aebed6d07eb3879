/**
 * One act on all runs that match: retry, cancel, skip or resolve, with a count and a preview before. Each run has its own
 * transaction and its own audit row, as if it had been done alone, and all rows name the same bulk act; a run that has moved on
 * meanwhile is passed over and told.
 */
import { sql } from 'kysely';
import { HoldfastError, isHoldfastError, type ErrorCode } from '../../errors.ts';
import { messageId } from '../../message/id.ts';
import type { Database } from '../../postgres/database.ts';
import { refuseUnknownOptions } from '../../runtime/options.ts';
import type { RunStatus } from '../../saga/journal/events.ts';
import { rows, rowsBySql, tables } from '../reads/reads.ts';
import { cancelRun, resolveCall, retryRun, skipCall, type ReasonedAct, type Resolution } from './saga-interventions.ts';

/** What is left out does not narrow. */
export interface RunSelection {
  readonly saga?: string | undefined;
  readonly version?: number | undefined;
  /** Of the error it is stuck at, or is being compensated for: its code or name, or a part of its message. */
  readonly error?: string | undefined;
  /** Started at or after; before. */
  readonly since?: Date | undefined;
  readonly until?: Date | undefined;
  /** Cancel only: these instead of all that are under way. */
  readonly status?: readonly RunStatus[] | undefined;
}

/** What {@link actOnRuns} does to each run. */
export type BulkAct =
  | { readonly kind: 'retry' }
  | { readonly kind: 'cancel' }
  | { readonly kind: 'skip' }
  | { readonly kind: 'resolve'; readonly resolution: Resolution };

/** What {@link planBulk} found. */
export interface BulkPlan {
  /** Runs that match now; `atLeast`: counting stopped there. */
  readonly runs: number;
  readonly atLeast: boolean;
  /** By saga and error, the largest first, at most 20. */
  readonly groups: readonly {
    readonly saga: string;
    readonly version: number;
    readonly status: RunStatus;
    readonly error: string | null;
    readonly runs: number;
  }[];
  /** Some of them, the oldest first. */
  readonly sample: readonly string[];
}

/** What {@link actOnRuns} has done. */
export interface BulkResult {
  /** Stands in the audit row of each run. */
  readonly bulk: string;
  readonly done: number;
  /** Runs that had moved on, by the code of the refusal. */
  readonly passedOver: Readonly<Partial<Record<ErrorCode, number>>>;
}

const SELECTION = ['saga', 'version', 'error', 'since', 'until', 'status'] as const;
/** Counting more would read more than an answer is worth. */
const MOST_COUNTED = 100_000;
const PAGE = 200;

/**
 * What the act would meet now. Changes nothing.
 * Rejects with HF_CONFIG or HF_OPTION_UNKNOWN for a selection that cannot be used.
 */
export async function planBulk(database: Database, act: BulkAct, selection: RunSelection): Promise<BulkPlan> {
  const matching = matchingRuns(database, act, selection);
  const found = await rows(
    database,
    matching
      .select([
        'r.id',
        'r.saga',
        'r.version',
        'r.status',
        sql<string | null>`coalesce(r.error ->> 'code', r.error ->> 'name')`.as('error'),
      ])
      .orderBy('r.id')
      .limit(MOST_COUNTED + 1),
  );
  const counted = found.slice(0, MOST_COUNTED);
  const groups = new Map<
    string,
    { saga: string; version: number; status: RunStatus; error: string | null; runs: number }
  >();
  for (const { saga, version, status, error } of counted) {
    const name = JSON.stringify([saga, version, status, error]);
    const group = groups.get(name) ?? { saga, version, status, error, runs: 0 };
    group.runs += 1;
    groups.set(name, group);
  }
  return {
    runs: counted.length,
    atLeast: found.length > MOST_COUNTED,
    groups: [...groups.values()].toSorted((a, b) => b.runs - a.runs).slice(0, 20),
    sample: counted.slice(0, 5).map(({ id }) => id),
  };
}

/** Options of {@link actOnRuns}. */
export interface BulkOptions {
  /** Told after each page how many are done and passed over until then. */
  readonly onProgress?: ((progress: { readonly done: number; readonly passedOver: number }) => void) | undefined;
  /** Ends it between two runs; what is done stays done. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Acts on each run that matches, oldest first, each once: on those that match when it comes to them and were there when it began.
 * What is refused for its state (it went on, it ended) is passed over. Any other failure ends it; calling it again does the rest.
 */
export async function actOnRuns(
  database: Database,
  act: BulkAct,
  selection: RunSelection,
  { onProgress, signal, ...by }: ReasonedAct & BulkOptions,
): Promise<BulkResult> {
  const bulk = messageId();
  const passedOver: Partial<Record<ErrorCode, number>> = {};
  let done = 0;
  let skipped = 0;
  let after: string | null = null;
  const began = await databaseTime(database);
  const told = (): boolean => signal?.aborted === true;
  while (!told()) {
    let page = matchingRuns(database, act, selection).select('r.id').where('r.started_at', '<=', began);
    page = page.orderBy('r.id').limit(PAGE);
    if (after !== null) page = page.where('r.id', '>', after);
    // Page by page and run by run: an act is for the next worker to carry out, and thousands at once would only queue.
    // oxlint-disable-next-line no-await-in-loop
    const ids = (await rows(database, page)).map(({ id }) => id);
    for (const id of ids) {
      if (told()) break;
      try {
        // oxlint-disable-next-line no-await-in-loop
        await actOn(database, id, act, { ...by, bulk });
        done += 1;
      } catch (error) {
        if (!isHoldfastError(error) || !MOVED_ON.has(error.code)) throw error;
        passedOver[error.code] = (passedOver[error.code] ?? 0) + 1;
        skipped += 1;
      }
    }
    onProgress?.({ done, passedOver: skipped });
    if (ids.length < PAGE) break;
    after = ids.at(-1) ?? null;
  }
  return { bulk, done, passedOver };
}

const MOVED_ON: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'HF_NOT_FOUND',
  'HF_SAGA_FINISHED',
  'HF_SAGA_PIVOTED',
  'HF_SAGA_NOT_STUCK',
  // It is stuck at something that cannot be resolved so.
  'HF_CONFIG',
]);

async function actOn(database: Database, id: string, act: BulkAct, by: ReasonedAct & { bulk: string }): Promise<void> {
  switch (act.kind) {
    case 'retry':
      await retryRun(database, id, by);
      return;
    case 'cancel':
      await cancelRun(database, id, by);
      return;
    case 'skip':
      await skipCall(database, id, null, by);
      return;
    case 'resolve':
      await resolveCall(database, id, act.resolution, by);
  }
}

const UNDER_WAY: readonly RunStatus[] = ['pending', 'running', 'waiting', 'stuck'];

function matchingRuns(database: Database, act: BulkAct, selection: RunSelection) {
  refuseUnknownOptions(selection, SELECTION, 'selection');
  const { saga, version, error, since, until, status } = selection;
  if (status !== undefined && act.kind !== 'cancel') {
    throw new HoldfastError('HF_CONFIG', `Only stuck runs are for ${act.kind}; no other status can be chosen.`, {
      advice: 'Leave the status out.',
    });
  }
  const wrong = status?.find((each) => !UNDER_WAY.includes(each));
  if (wrong !== undefined || status?.length === 0) {
    throw new HoldfastError('HF_CONFIG', `Runs that are ${wrong ?? 'nothing'} cannot be cancelled.`, {
      advice: `Give some of: ${UNDER_WAY.join(', ')}.`,
    });
  }
  let query = tables(database).selectFrom('saga_run as r');
  // Spelled out: the index of stuck runs serves only who asks for that status in so many words.
  if (act.kind !== 'cancel') query = query.where(sql<boolean>`r.status = 'stuck'`);
  else query = query.where('r.status', 'in', status ?? UNDER_WAY);
  if (saga !== undefined) query = query.where('r.saga', '=', saga);
  if (version !== undefined) query = query.where('r.version', '=', version);
  if (since !== undefined) query = query.where('r.started_at', '>=', since);
  if (until !== undefined) query = query.where('r.started_at', '<', until);
  if (error !== undefined) {
    query = query.where(
      sql<boolean>`(r.error ->> 'code' = ${error} OR r.error ->> 'name' = ${error} OR strpos(r.error ->> 'message', ${error}) > 0)`,
    );
  }
  return query;
}

/** By the database's clock: runs that start while it works are not its business. */
async function databaseTime(database: Database): Promise<Date> {
  const found = await rowsBySql<{ readonly now: number }>(
    database,
    'SELECT round(extract(epoch FROM clock_timestamp()) * 1000)::float8 AS now',
  );
  return new Date(found[0]?.now ?? 0);
}
