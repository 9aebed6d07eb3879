/**
 * What people do with parked deliveries: retry and discard. Each act commits together with its audit row.
 * operations/parked/parked.ts lists them. It needs no running consumer, whose redrive loop does the rest.
 */
import { withOwnTypes } from '../../postgres/own-results.ts';
import { HoldfastError } from '../../errors.ts';
import { isUuid } from '../../message/id.ts';
import { recordAudit, type Act } from '../../postgres/audit.ts';
import type { Database } from '../../postgres/database.ts';
import { toExecutor } from '../../postgres/executor.ts';
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
