/**
 * The table `audit`: what people did to messages and subscriptions. Written in the same transaction as the act itself, so that
 * neither is there without the other.
 */
import type { SqlExecutor } from './executor.ts';
import { quoteIdentifier } from './quoting.ts';

/** Who acts, and why; both stand in the audit. */
export interface Act {
  /** A person or a machine, as the caller names itself. */
  readonly actor: string;
  readonly reason?: string | undefined;
}

export interface AuditEntry {
  readonly actor: Act['actor'];
  /** What was done, as `noun.verb`: 'parked.retry', 'parked.discard', 'outbox.replay', 'subscription.drop'. */
  readonly action: string;
  /** To what: a message id, a subscription, a key. */
  readonly subject: string;
  readonly reason?: string | null | undefined;
  /** Facts to reconstruct the act by. Never payloads. */
  readonly details?: Readonly<Record<string, unknown>> | undefined;
}

/** `execute` runs in the transaction of the act. */
export async function recordAudit(execute: SqlExecutor, schema: string, entry: AuditEntry): Promise<void> {
  await execute(
    `INSERT INTO ${quoteIdentifier(schema)}.audit (actor, action, subject, reason, details) VALUES ($1, $2, $3, $4, $5::text::jsonb)`,
    [entry.actor, entry.action, entry.subject, entry.reason ?? null, JSON.stringify(entry.details ?? {})],
  );
}

/** Many at once, in one statement. `execute` runs in the transaction of the acts. */
export async function recordAudits(
  execute: SqlExecutor,
  schema: string,
  entries: readonly AuditEntry[],
): Promise<void> {
  if (entries.length === 0) return;
  await execute(
    `INSERT INTO ${quoteIdentifier(schema)}.audit (actor, action, subject, reason, details)
     SELECT e.actor, e.action, e.subject, e.reason, coalesce(e.details, '{}')
     FROM json_to_recordset($1::text::json) AS e (actor text, action text, subject text, reason text, details jsonb)`,
    [JSON.stringify(entries)],
  );
}
