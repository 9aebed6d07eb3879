/**
 * Looking into the audit: what people did, newest first.
 */
import { sql } from 'kysely';
import { HoldfastError } from '../../errors.ts';
import { isUuid } from '../../message/id.ts';
import type { Database } from '../../postgres/database.ts';
import { refuseUnknownOptions } from '../../runtime/options.ts';
import { checkLimit } from './messages.ts';
import { rows, tables } from './reads.ts';

/** Which acts {@link listAudit} lists. */
export interface AuditFilter {
  readonly actor?: string | undefined;
  /** Such as 'parked.retry'. */
  readonly action?: string | undefined;
  /** Message id, run id, subscription: the whole text. */
  readonly subject?: string | undefined;
  /** Id of a job: all that it did to each, its start and its end. */
  readonly job?: string | undefined;
  /** At or after. */
  readonly since?: Date | undefined;
  /** Acts with a smaller id: the next page. */
  readonly before?: string | undefined;
  /**
   * 1 to 1000.
   *
   * @defaultValue 50
   */
  readonly limit?: number | undefined;
}

/** One act of a person, as the audit has it. */
export interface AuditedAct {
  readonly id: string;
  readonly at: Date;
  readonly actor: string;
  /** What was done, such as 'parked.retry'. */
  readonly action: string;
  /** To what: a message id, a run id, a subscription, a key. */
  readonly subject: string;
  readonly reason: string | null;
  readonly details: Readonly<Record<string, unknown>>;
  /** The role of the database that wrote it, whatever the actor is called; null: from before that was noted. */
  readonly byRole: string | null;
}

const FILTERS = ['actor', 'action', 'subject', 'job', 'since', 'before', 'limit'] as const;

/** As the index on it has it, word for word. */
const JOB = sql<string>`CASE WHEN starts_with(action, 'job.') THEN subject ELSE coalesce(details ->> 'job', details ->> 'bulk') END`;

/** Newest first, along the primary key, or along the index by job. Throws HF_CONFIG or HF_OPTION_UNKNOWN for a filter that is not usable. */
export async function listAudit(database: Database, filter: AuditFilter = {}): Promise<readonly AuditedAct[]> {
  refuseUnknownOptions(filter, FILTERS, 'listAudit');
  const { actor, action, subject, job, since, before } = filter;
  let query = tables(database)
    .selectFrom('audit')
    .select(['at', 'actor', 'action', 'subject', 'reason', 'details'])
    .select([sql<string>`id::text`.as('act'), 'by_role'])
    .orderBy('id', 'desc')
    .limit(checkLimit(filter.limit ?? 50));
  if (actor !== undefined) query = query.where('actor', '=', actor);
  if (action !== undefined) query = query.where('action', '=', action);
  if (subject !== undefined) query = query.where('subject', '=', subject);
  if (job !== undefined) query = query.where(JOB, '=', assertJob(job));
  if (since !== undefined) query = query.where('at', '>=', since);
  if (before !== undefined) query = query.where('id', '<', assertAct(before));
  return (await rows(database, query)).map((row) => ({
    id: row.act,
    at: new Date(row.at),
    actor: row.actor,
    action: row.action,
    subject: row.subject,
    reason: row.reason,
    details: row.details as AuditedAct['details'],
    byRole: row.by_role,
  }));
}

function assertJob(id: string): string {
  if (isUuid(id)) return id.toLowerCase();
  throw new HoldfastError('HF_CONFIG', `${JSON.stringify(id)} is not the id of a job.`, {
    advice: '`holdfast job ls` shows them.',
  });
}

function assertAct(id: string): string {
  if (/^\d{1,18}$/.test(id)) return id;
  throw new HoldfastError('HF_CONFIG', `${JSON.stringify(id)} is not the id of an act.`, {
    advice: 'Give the id of the last one that was listed.',
  });
}
