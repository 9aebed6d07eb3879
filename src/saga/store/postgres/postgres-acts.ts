/**
 * What people do to runs, on PostgreSQL: the run messages and the row of the audit in one statement, so that neither is there without the other,
 * also for roles that may write neither by themselves.
 */
import type { Act } from '../../../postgres/audit.ts';
import type { SchemaHandle } from '../../../postgres/schema-handle.ts';
import { quoteIdentifier } from '../../../postgres/quoting.ts';
import { translateSqlError } from '../../../postgres/sql-state.ts';
import type { RunStatus } from '../../journal/events.ts';
import type { PostAnswer, RunMessageBody } from '../store.ts';

export interface RunAct extends Act {
  readonly runId: string;
  readonly body: RunMessageBody;
  /** The run is met in one of these, or the act is refused. */
  readonly statuses: readonly RunStatus[];
  /** Facts for the audit beside the status. */
  readonly details: Readonly<Record<string, unknown>>;
}

/** Rejects with what translateSqlError makes of the driver's errors. */
export async function actOnRun(database: SchemaHandle, act: RunAct): Promise<PostAnswer> {
  const { runId, body, statuses, actor, reason, details } = act;
  try {
    const { rows } = await database.query<{ readonly answer: string }>(
      `SELECT ${quoteIdentifier(database.schema)}.act_on_saga_run($1::uuid, $2::text, $3::text[], $4::text, $5::text, $6::text)::text AS answer`,
      [runId, JSON.stringify(body), [...statuses], actor, reason ?? null, JSON.stringify(details)],
    );
    return JSON.parse(rows[0]?.answer ?? 'null') as PostAnswer;
  } catch (error) {
    throw translateSqlError(error);
  }
}
