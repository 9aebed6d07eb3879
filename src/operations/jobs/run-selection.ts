/**
 * Which runs an act on many is for, and what it would meet.
 */
import { sql } from 'kysely';
import { HoldfastError } from '../../errors.ts';
import type { Database } from '../../postgres/database.ts';
import type { SchemaHandle } from '../../postgres/schema-handle.ts';
import { refuseUnknownOptions } from '../../runtime/options.ts';
import type { RunStatus } from '../../saga/journal/events.ts';
import { rows, tables } from '../reads/reads.ts';

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

/** What is done to runs. */
export type RunActKind = 'retry' | 'cancel' | 'skip' | 'resolve';

const SELECTION = ['saga', 'version', 'error', 'since', 'until', 'status'] as const;
const UNDER_WAY: readonly RunStatus[] = ['pending', 'running', 'waiting', 'stuck'];
/** Counting more would read more than an answer is worth. */
const MOST_COUNTED = 100_000;

/** Throws HF_CONFIG or HF_OPTION_UNKNOWN for a selection that cannot be used. */
// Its type is what the builder of queries infers.
// oxlint-disable-next-line explicit-module-boundary-types
export function matchingRuns(database: Pick<SchemaHandle, 'schema'>, kind: RunActKind, selection: RunSelection) {
  refuseUnknownOptions(selection, SELECTION, 'selection');
  const { saga, version, error, since, until, status } = selection;
  if (status !== undefined && kind !== 'cancel') {
    throw new HoldfastError('HF_CONFIG', `Only stuck runs are for ${kind}; no other status can be chosen.`, {
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
  if (kind !== 'cancel') query = query.where(sql<boolean>`r.status = 'stuck'`);
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

/** What the act would meet now. Changes nothing. Rejects as matchingRuns throws. */
export async function planOfRuns(database: Database, kind: RunActKind, selection: RunSelection): Promise<BulkPlan> {
  const matching = matchingRuns(database, kind, selection);
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
