/**
 * Another payload for a message that a relay has parked. The log stays as it was written; what is published in its place stands in the
 * parked row. In a transaction of the caller's.
 *
 * Only while nobody can be publishing what was there before: a relay claims what it publishes (redrive.ts), and claims only what it has
 * parked once its cursor is past it.
 */
import { HoldfastError } from '../../errors.ts';
import type { SqlExecutor } from '../../postgres/executor.ts';
import { quoteIdentifier } from '../../postgres/quoting.ts';
import { MAX_ENTRY_BYTES } from '../log/log-reader.ts';
import { PASSED_SQL } from '../log/passed.ts';
import type { ParkedRevision } from './parking-store.ts';

/** The reason of a message that was revised and not tried since. */
export const REVISED = 'a new version, not tried yet';

/** Which message is meant, and where it is parked. */
export interface ParkedAtRelay {
  readonly schema: string;
  readonly subscription: string;
  readonly id: string;
}

/** A parked message before it is revised. */
export interface RevisableMessage {
  readonly seq: number;
  readonly topic: string;
  readonly key: string | null;
  readonly state: 'failed' | 'behind';
  /** When it was written, RFC 3339. */
  readonly time: string;
  /** JSON text of what would be published now; null: it is larger than anybody reads. */
  readonly payload: string | null;
  /** JSON text of the attributes beside it. */
  readonly headers: string;
  /** A relay was lost while it published it, and nobody knows whether it went out. */
  readonly inDoubt: boolean;
}

interface ParkedFacts {
  /** A relay has its shard. */
  readonly held: boolean;
  /** It is of a version that claims what it publishes. */
  readonly claims: boolean;
  /** It has claimed this message. */
  readonly claimed: boolean;
  /** No relay reads it from the log again. */
  readonly passed: boolean;
}

interface NotNow {
  readonly why: string;
  readonly advice: string;
}

/** Why it cannot be revised just now; null: it can. Pure. */
export function whyNotNow({ held, claims, claimed, passed }: ParkedFacts): NotNow | null {
  if (held && !claims) {
    return {
      why: 'A relay of a version that does not say what it publishes runs its subscription.',
      advice: 'Wait until a relay of this version has taken over, or stop the others.',
    };
  }
  if (held && claimed) {
    return {
      why: 'A relay is publishing it.',
      advice:
        'Look at it again in a moment: it will have gone out, or be parked again. Where the relay is dead, start one.',
    };
  }
  if (passed) return null;
  return {
    why: 'The relay that parked it has not noted yet that it is past it in the log.',
    advice: 'Try it again in a moment. Where no relay runs, start one.',
  };
}

/**
 * Locks the row, and keeps its shard from going to another relay meanwhile; null when it is not parked. Rejects with HF_PARKED_BUSY when
 * it cannot be revised just now, and with HF_NOT_FOUND when its row of the log is gone.
 */
export async function lockParkedMessage(
  execute: SqlExecutor,
  { schema, subscription, id }: ParkedAtRelay,
): Promise<RevisableMessage | null> {
  const s = quoteIdentifier(schema);
  // First the subscription, then what is parked: so do relays.
  await execute(
    `SELECT 1 FROM ${s}.subscription s WHERE s.name = $1
       AND EXISTS (SELECT 1 FROM ${s}.parked_message p WHERE p.subscription = $1 AND p.id = $2 AND p.lane % s.shards = s.shard) FOR SHARE`,
    [subscription, id],
  );
  const [row] = await execute(
    `SELECT p.seq::text AS seq, p.topic, p.key, p.state, o.seq IS NOT NULL AS logged,
       to_char(o.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS time,
       CASE WHEN p.revision IS NOT NULL THEN (p.revision -> 'payload')::text
         WHEN octet_length(o.payload::text) <= ${MAX_ENTRY_BYTES} THEN o.payload::text END AS payload,
       coalesce((p.revision -> 'headers')::text, o.headers::text) AS headers,
       p.claim_epoch IS NOT NULL AS in_doubt,
       s.lease_owner IS NOT NULL AS held, coalesce(s.claims_epoch = s.lease_epoch, false) AS claims,
       coalesce(p.claim_epoch = s.lease_epoch, false) AS claimed, s.name IS NULL OR ${PASSED_SQL} AS passed
     FROM ${s}.parked_message p
     LEFT JOIN ${s}.outbox o ON o.seq = p.seq
     LEFT JOIN ${s}.subscription s ON s.name = p.subscription AND p.lane % s.shards = s.shard
     WHERE p.subscription = $1 AND p.id = $2 FOR UPDATE OF p`,
    [subscription, id],
  );
  if (row === undefined) return null;
  const { seq, logged, in_doubt: inDoubt, ...message } = row as unknown as FoundRow;
  if (!logged) throw goneFromLog(id);
  const notNow = whyNotNow(message);
  if (notNow !== null) throw busy(id, notNow);
  return { ...message, seq: Number(seq), inDoubt };
}

interface FoundRow extends Omit<RevisableMessage, 'seq' | 'inDoubt'>, ParkedFacts {
  readonly seq: string;
  readonly logged: boolean;
  readonly in_doubt: boolean;
}

/**
 * In a transaction that has the row locked: what is published from now on, at once when it is its turn. The row stays where it is in the
 * line of its key, so what waits behind it still does; only who was tried and how often begins anew.
 */
export async function storeRevision(
  execute: SqlExecutor,
  { schema, subscription, seq }: Pick<ParkedAtRelay, 'schema' | 'subscription'> & { readonly seq: number },
  { payload, headers }: ParkedRevision,
): Promise<void> {
  // Failed, also when it only waited: what waits is taken along by relays of before.
  await execute(
    `UPDATE ${quoteIdentifier(schema)}.parked_message SET revision = $3::json, state = 'failed', reason = $4, error = NULL, attempts = 0,
       parked_at = clock_timestamp(), next_attempt_at = clock_timestamp(), revised_due_at = NULL, claim_epoch = NULL
     WHERE subscription = $1 AND seq = $2`,
    [subscription, seq, `{"payload":${payload},"headers":${headers}}`, REVISED],
  );
}

function busy(id: string, { why, advice }: NotNow): HoldfastError {
  return new HoldfastError('HF_PARKED_BUSY', `Message ${id} cannot be edited just now. ${why}`, {
    advice,
    details: { id },
  });
}

function goneFromLog(id: string): HoldfastError {
  return new HoldfastError('HF_NOT_FOUND', `Message ${id} is parked, and is not in the log any more.`, {
    advice: 'Somebody deleted its row. Discard it, and have its service send what is right.',
    details: { id },
  });
}
