/**
 * What people do with parked deliveries: retry and discard. Each act commits together with its audit row.
 * operations/parked/parked.ts lists them. It needs no running consumer, whose redrive loop does the rest.
 */
import { withOwnTypes } from '../../postgres/own-results.ts';
import { HoldfastError } from '../../errors.ts';
import { isUuid } from '../../message/id.ts';
import { recordAudit, type Act } from '../../postgres/audit.ts';
import type { Database } from '../../postgres/database.ts';
import { toExecutor, type SqlExecutor } from '../../postgres/executor.ts';
import { patientTransaction } from '../../postgres/lock-wait.ts';
import { quoteIdentifier } from '../../postgres/quoting.ts';
import { createInboxStore, keyLock } from './inbox-store.ts';
import { PARK_REASONS } from '../handlers/decide.ts';
import { createParkedDeliveryStore } from './parked-delivery-store.ts';

/** Which messages an act is for: one, all of a key, or all of the consumer. */
export type ParkedTarget = { readonly id: string } | { readonly key: string } | { readonly all: true };

/**
 * Makes failed messages due now, dead letters included; resolves with how many. For a message that waits behind another, that is the
 * first of its key: order is kept. With `withoutPredecessor`, one parked as 'predecessor missing' goes on without it.
 * Rejects with HF_NOT_FOUND when an id is not parked.
 */
export async function retryParkedDeliveries(
  database: Database,
  consumer: string,
  target: ParkedTarget,
  act: Act & { readonly withoutPredecessor?: boolean | undefined },
): Promise<number> {
  const table = `${quoteIdentifier(database.schema)}.parked_delivery`;
  return patientTransaction(database, NOT_DONE, async (client) => {
    const execute = toExecutor(withOwnTypes(client));
    const rows = await execute(
      `UPDATE ${table} SET next_attempt_at = now(), reason = CASE WHEN $4::boolean AND reason = $5 THEN $6 ELSE reason END
       WHERE consumer = $1 AND state = 'failed' AND CASE
         WHEN $2::uuid IS NOT NULL THEN message_id = $2::uuid OR key = (
           SELECT w.key FROM ${table} w WHERE w.consumer = $1 AND w.message_id = $2::uuid AND w.state = 'behind')
         WHEN $3::text IS NOT NULL THEN key = $3::text
         ELSE true END
       RETURNING message_id`,
      [consumer, ...place(target), act.withoutPredecessor === true, PARK_REASONS.predecessor, PARK_REASONS.released],
    );
    if (rows.length === 0 && 'id' in target) throw notFound(consumer, target.id);
    await recordAudit(execute, database.schema, {
      actor: act.actor,
      reason: act.reason,
      action: 'parked.retry',
      subject: subject(consumer, target),
      details: {
        messages: rows.length,
        ids: rows.slice(0, 100).map((row) => row['message_id']),
        withoutPredecessor: act.withoutPredecessor === true,
      },
    });
    return rows.length;
  });
}

/**
 * Takes one parked message out for good: its handler will never run, and a duplicate of it is still recognised. The next of its key
 * becomes due. Rejects with HF_NOT_FOUND.
 */
export async function discardParkedDelivery(
  database: Database,
  consumer: string,
  id: string,
  act: Act & { readonly reason: string },
): Promise<void> {
  if (typeof act.reason !== 'string' || act.reason.trim() === '') {
    throw new HoldfastError('HF_CONFIG', 'discardParked needs a reason.', {
      advice: 'Say why the message may be lost; it stands in the audit.',
    });
  }
  const table = `${quoteIdentifier(database.schema)}.parked_delivery`;
  const where = 'WHERE consumer = $1 AND message_id = $2';
  const parameters = [consumer, assertId(id)];
  await patientTransaction(database, NOT_DONE, async (client) => {
    const execute = toExecutor(withOwnTypes(client));
    const [peek] = await execute(`SELECT key FROM ${table} ${where}`, parameters);
    // A message that arrives now and finds its key parked must not line up behind the row that is leaving.
    const lock = typeof peek?.['key'] === 'string' ? keyLock(consumer, peek['key']) : null;
    if (lock !== null) await execute('SELECT pg_advisory_xact_lock($1::bigint)', [lock]);
    const [row] = await execute(
      `SELECT topic, key, state, reason, attempts, redrives FROM ${table} ${where} FOR UPDATE`,
      parameters,
    );
    if (row === undefined) throw notFound(consumer, id);
    await createInboxStore(database.schema, consumer).mark(execute, id);
    await createParkedDeliveryStore(database.schema, consumer).remove(execute, id);
    await recordAudit(execute, database.schema, {
      actor: act.actor,
      reason: act.reason,
      action: 'parked.discard',
      subject: subject(consumer, { id }),
      details: { ...row },
    });
  });
}

/**
 * In the caller's transaction: makes those of these failed messages due that nobody works on just now; resolves with their ids. One that is
 * being handled is locked, and is being tried anyway.
 */
export async function retryTheseDeliveries(
  execute: SqlExecutor,
  { schema, consumer }: ParkedPlace,
  ids: readonly string[],
  { withoutPredecessor }: { readonly withoutPredecessor: boolean },
): Promise<readonly string[]> {
  const table = `${quoteIdentifier(schema)}.parked_delivery`;
  const rows = await execute(
    `WITH free AS MATERIALIZED (
       SELECT message_id FROM ${table} WHERE consumer = $1 AND message_id = ANY ($2::uuid[]) AND state = 'failed'
       FOR UPDATE SKIP LOCKED)
     UPDATE ${table} p SET next_attempt_at = now(), reason = CASE WHEN $3::boolean AND reason = $4 THEN $5 ELSE reason END
     FROM free WHERE p.consumer = $1 AND p.message_id = free.message_id RETURNING p.message_id::text AS id`,
    [consumer, `{${ids.join(',')}}`, withoutPredecessor, PARK_REASONS.predecessor, PARK_REASONS.released],
  );
  return rows.map((row) => String(row['id']));
}

/** One that was taken out for good: facts for the audit. */
export interface DiscardedDelivery {
  readonly id: string;
  readonly topic: string;
  readonly key: string | null;
  readonly reason: string;
  readonly attempts: number;
  readonly redrives: number;
}

/**
 * In the caller's transaction: takes those of these messages out for good that nobody works on just now, as discardParkedDelivery does with
 * one. Those whose key or row is locked are left, and are not among the answers.
 */
export async function discardTheseDeliveries(
  execute: SqlExecutor,
  { schema, consumer }: ParkedPlace,
  messages: readonly { readonly id: string; readonly key: string | null }[],
): Promise<readonly DiscardedDelivery[]> {
  const s = quoteIdentifier(schema);
  // In a statement of its own: what was parked behind them until the locks were had is seen by the next one. Never waited for, for a handler
  // may hold one for long, and so several can be taken in any order.
  const free = await execute(
    `SELECT id FROM unnest($1::text[], $2::bigint[]) AS asked (id, lock)
     WHERE CASE WHEN lock IS NULL THEN true ELSE pg_try_advisory_xact_lock(lock) END`,
    [messages.map(({ id }) => id), messages.map(({ key }) => (key === null ? null : keyLock(consumer, key)))],
  );
  if (free.length === 0) return [];
  const rows = await execute(
    `WITH free AS MATERIALIZED (
       SELECT message_id FROM ${s}.parked_delivery WHERE consumer = $1 AND message_id = ANY ($2::uuid[]) FOR UPDATE SKIP LOCKED),
     gone AS (
       DELETE FROM ${s}.parked_delivery p USING free WHERE p.consumer = $1 AND p.message_id = free.message_id
       RETURNING p.message_id, p.topic, p.key, p.reason, p.attempts, p.redrives),
     marked AS (
       INSERT INTO ${s}.inbox (consumer, message_id) SELECT $1, message_id FROM gone
       ON CONFLICT (consumer, message_id) DO UPDATE SET handled_at = now()),
     woken AS (
       UPDATE ${s}.parked_delivery p SET next_attempt_at = now()
       FROM (SELECT DISTINCT key FROM gone WHERE key IS NOT NULL) AS k
       CROSS JOIN LATERAL (
         SELECT r.message_id, r.state, r.reason FROM ${s}.parked_delivery r
         WHERE r.consumer = $1 AND r.key = k.key AND NOT EXISTS (SELECT 1 FROM gone g WHERE g.message_id = r.message_id)
         ORDER BY r.position LIMIT 1) AS next
       WHERE p.consumer = $1 AND p.message_id = next.message_id AND (next.state = 'behind' OR next.reason = $3))
     SELECT message_id::text AS id, topic, key, reason, attempts, redrives FROM gone`,
    [consumer, `{${free.map((row) => String(row['id'])).join(',')}}`, PARK_REASONS.predecessor],
  );
  return rows as unknown as readonly DiscardedDelivery[];
}

/** What a parked message is before it is edited. */
export interface ParkedEnvelope {
  readonly topic: string;
  readonly key: string | null;
  readonly state: 'failed' | 'behind';
  /** As it is stored: JSON text. */
  readonly envelope: string;
}

/** In the caller's transaction: locks the row; null when it is not parked. Waits for whoever handles it no longer than the transaction says. */
export async function lockParkedEnvelope(
  execute: SqlExecutor,
  { schema, consumer }: ParkedPlace,
  id: string,
): Promise<ParkedEnvelope | null> {
  const [row] = await execute(
    `SELECT topic, key, state, envelope::text AS envelope FROM ${quoteIdentifier(schema)}.parked_delivery
     WHERE consumer = $1 AND message_id = $2 FOR UPDATE`,
    [consumer, assertId(id)],
  );
  return (row as unknown as ParkedEnvelope | undefined) ?? null;
}

/**
 * In the caller's transaction, which has the row locked: puts a new version in the place of a message. The row stays what and where it is in
 * the line of its key, so what waits behind it still does; only who was tried and how often begins anew. A redrive that has read the old
 * version finds no row of that id, and does nothing. The mark of the old id stays for its duplicates, and for those that name it as their
 * predecessor, from now on for as long as any mark.
 */
export async function replaceParkedEnvelope(
  execute: SqlExecutor,
  { schema, consumer }: ParkedPlace,
  { id, newId, envelope }: { readonly id: string; readonly newId: string; readonly envelope: string },
): Promise<void> {
  await createInboxStore(schema, consumer).mark(execute, id);
  // What waits for its predecessor, or was let go on without it, has to keep saying so.
  await execute(
    `UPDATE ${quoteIdentifier(schema)}.parked_delivery SET message_id = $3, envelope = $4::text::jsonb, attempts = 0, redrives = 0,
       error = NULL, parked_at = clock_timestamp(),
       reason = CASE WHEN state = 'behind' OR reason IN ($5, $6) THEN reason ELSE $7 END,
       next_attempt_at = CASE WHEN state = 'failed' THEN now() ELSE next_attempt_at END
     WHERE consumer = $1 AND message_id = $2`,
    [consumer, id, newId, envelope, PARK_REASONS.predecessor, PARK_REASONS.released, PARK_REASONS.revised],
  );
}

/** Where the messages of an act are parked. */
export interface ParkedPlace {
  readonly schema: string;
  readonly consumer: string;
}

const NOT_DONE = { doing: 'What was asked for is not done', tables: ['inbox', 'parked_delivery', 'audit'] };

/** The parameters $2 (id) and $3 (key). */
function place(target: ParkedTarget): [string | null, string | null] {
  return ['id' in target ? assertId(target.id) : null, 'key' in target ? target.key : null];
}

function subject(consumer: string, target: ParkedTarget): string {
  if ('id' in target) return `${consumer}/${target.id}`;
  return 'key' in target ? `${consumer}/key/${target.key}` : `${consumer}/*`;
}

function assertId(id: string): string {
  if (!isUuid(id))
    throw new HoldfastError('HF_NOT_FOUND', `${JSON.stringify(id)} is no message id.`, {
      advice: 'Message ids are UUIDs.',
    });
  return id.toLowerCase();
}

function notFound(consumer: string, id: string): HoldfastError {
  return new HoldfastError('HF_NOT_FOUND', `Consumer ${consumer} has no parked message ${id}.`, {
    advice: 'It may have been handled or discarded meanwhile; list what is parked.',
    details: { consumer, id },
  });
}
