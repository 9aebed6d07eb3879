/**
 * What people do to runs, on PostgreSQL: the run messages and the row of the audit in one statement, so that neither is there without the other,
 * also for roles that may write neither by themselves.
 */
import type { Act } from '../../../postgres/audit.ts';
import type { SchemaHandle } from '../../../postgres/schema-handle.ts';
import { quoteIdentifier } from '../../../postgres/quoting.ts';
import { classifySqlError, translateSqlError } from '../../../postgres/sql-state.ts';
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

export interface RestartAct extends Act {
  /** That has ended. */
  readonly runId: string;
  readonly newId: string;
  readonly version: number;
  /** JSON text in place of the input that the run had; null: the same. */
  readonly input: string | null;
  /** Milliseconds that the new run has, where the run had no such limit; null: none. */
  readonly deadlineMs: number | null;
  /** Facts for the audit. */
  readonly details: Readonly<Record<string, unknown>>;
}

/** What the function restart_run says: `accepted`, or why not. */
export interface RestartAnswer {
  readonly accepted: boolean;
  /** Of the run that had ended; null: there is none. */
  readonly status: RunStatus | null;
  /** That the new run has. */
  readonly key?: string | null;
  /** It is a child of this one. */
  readonly parent?: string | null;
  /** It was started once more before, as this one. */
  readonly restarted_as?: string;
  /** Most bytes of an input that the workers take. */
  readonly limit?: number;
  /** Its input is not in its journal. */
  readonly forgotten?: boolean;
}

/** Starts a run once more, as a new one. Rejects with what translateSqlError makes of the driver's errors. */
export async function restartEndedRun(database: SchemaHandle, act: RestartAct): Promise<RestartAnswer> {
  const { runId, newId, version, input, deadlineMs, actor, reason, details } = act;
  const fields = JSON.stringify({ id: newId, version, deadline_ms: deadlineMs });
  const request = input === null ? fields : `${fields.slice(0, -1)},"input":${input}}`;
  const ask = async (): Promise<RestartAnswer> => {
    const { rows } = await database.query<{ readonly answer: string }>(
      `SELECT ${quoteIdentifier(database.schema)}.restart_run($1::uuid, $2::text, $3::text, $4::text, $5::text)::text AS answer`,
      [runId, request, actor, reason ?? null, JSON.stringify(details)],
    );
    return JSON.parse(rows[0]?.answer ?? 'null') as RestartAnswer;
  };
  try {
    const answer = await ask().catch((error: unknown) => {
      // Nothing or all of it has happened, and the second time the new run is known by its id.
      if (classifySqlError(error) === 'connection') return ask();
      throw error;
    });
    return answer.restarted_as === newId ? { ...answer, accepted: true } : answer;
  } catch (error) {
    throw translateSqlError(error);
  }
}
