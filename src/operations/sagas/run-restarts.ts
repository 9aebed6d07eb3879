/**
 * Which run was started in place of which: the two ends of a restart, as they are shown.
 */
import type { Expression } from 'kysely';
import type { SchemaHandle } from '../../postgres/schema-handle.ts';
import { tables } from '../reads/reads.ts';

/** What a run has to do with others that were started in its place; all null: nothing. */
export interface RunRestarts {
  /** It was started in place of this one, which retention may have removed since. */
  readonly of: string | null;
  /** This one was started in its place. */
  readonly as: string | null;
  /** The key that went to the run that was started in its place; null: it had none, or there is no such run. */
  readonly keyGone: string | null;
}

interface RestartRow {
  readonly run: string;
  readonly restarted_as: string;
  readonly key: string | null;
}

/** Both ends: at most a row each. */
export function restartsQuery(database: Pick<SchemaHandle, 'schema'>, id: string): Expression<RestartRow> {
  return tables(database)
    .selectFrom('saga_restart')
    .where((where) => where.or([where('run', '=', id), where('restarted_as', '=', id)]))
    .select(['run', 'restarted_as', 'key']);
}

/** Pure. */
export function restartsOf(id: string, found: readonly RestartRow[]): RunRestarts {
  const own = id.toLowerCase();
  const later = found.find(({ run }) => run === own);
  const earlier = found.find(({ restarted_as: restartedAs }) => restartedAs === own);
  return { of: earlier?.run ?? null, as: later?.restarted_as ?? null, keyGone: later?.key ?? null };
}
