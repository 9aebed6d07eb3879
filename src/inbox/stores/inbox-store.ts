/**
 * The table `inbox`: one row (the mark) for each message that a consumer has taken charge of. The row commits together with the effect, or
 * together with the row in `parked_delivery`. So one INSERT finds duplicates of both.
 */
import { readRows } from '../../postgres/own-results.ts';
import { createHash } from 'node:crypto';
import { quoteIdentifier } from '../../postgres/quoting.ts';
import type { SqlExecutor } from '../../postgres/executor.ts';
import { PARK_REASONS, type OrderedFacts } from '../handlers/decide.ts';
import type { Statement } from '../handlers/unit-of-work.ts';

export interface InboxStore {
  /** Writes the mark. Counts one row when the message is new, none when it is a duplicate. */
  markStatement(messageId: string): Statement;
  /**
   * For ordered consumers: first takes the lock of the key (`locked`), then writes the mark as above, but only if nothing of the key
   * is parked and the predecessor is handled. No row: ask `orderedFacts`.
   */
  orderedMarkStatements(arrival: OrderedArrival): readonly Statement[];
  orderedFacts(execute: SqlExecutor, arrival: OrderedArrival): Promise<Omit<OrderedFacts, 'locked'>>;
  /** Writes marks; returns the ids of those that are new. */
  markAllStatement(messageIds: readonly string[]): Statement;
  /** Takes back marks that the same transaction has written. */
  unmarkStatement(messageIds: readonly string[]): Statement;
  lockStatement(lock: string): Statement;
  /** Writes the mark, whatever stands there; for messages that are in this consumer's hands already. */
  mark(execute: SqlExecutor, messageId: string): Promise<void>;
  /** True when the mark was written, false when there was one. Waits for a transaction that is writing the same mark. */
  tryMark(execute: SqlExecutor, messageId: string): Promise<boolean>;
  has(execute: SqlExecutor, messageId: string): Promise<boolean>;
  /** Deletes up to `limit` marks older than `olderThanMs`; resolves with how many. */
  prune(execute: SqlExecutor, olderThanMs: number, limit: number): Promise<number>;
}

export interface OrderedArrival {
  readonly messageId: string;
  readonly key: string;
  /** The number of the key's advisory lock. */
  readonly lock: string;
  /** null: none, or none that must be waited for. */
  readonly predecessorId: string | null;
  /** When it was sent, from sentAt(); null when that cannot be compared. */
  readonly sentAt: string | null;
}

const LOCK_SQL = 'SELECT pg_try_advisory_xact_lock($1::bigint)::text AS locked';
const ON_CONFLICT = ' ON CONFLICT DO NOTHING';

export function createInboxStore(schema: string, consumer: string): InboxStore {
  return new InboxTable(schema, consumer);
}

class InboxTable implements InboxStore {
  readonly #consumer: string;
  /** Quoted. */
  readonly #schema: string;
  readonly #markSql: string;
  /** Writes the mark if nothing of the key is parked; goes on with `#afterSql` or ON_CONFLICT. */
  readonly #lineSql: string;
  /** And if the predecessor is handled. */
  readonly #afterSql: string;

  constructor(schema: string, consumer: string) {
    const s = quoteIdentifier(schema);
    this.#consumer = consumer;
    this.#schema = s;
    this.#markSql = `INSERT INTO ${s}.inbox (consumer, message_id) VALUES ($1, $2)${ON_CONFLICT}`;
    // Asked for the first by position instead of NOT EXISTS, for which the planner reads the whole table when one key fills much of it.
    this.#lineSql = `INSERT INTO ${s}.inbox (consumer, message_id) SELECT $1::text, $2::uuid
    WHERE (SELECT position FROM ${s}.parked_delivery WHERE consumer = $1::text AND key = $3 ORDER BY position LIMIT 1) IS NULL`;
    this.#afterSql = ` AND EXISTS (SELECT 1 FROM ${s}.inbox WHERE consumer = $1::text AND message_id = $4::uuid)`;
  }

  markStatement(messageId: string): Statement {
    return { sql: this.#markSql, parameters: [this.#consumer, messageId], counted: true };
  }

  markAllStatement(messageIds: readonly string[]): Statement {
    return {
      sql: `INSERT INTO ${this.#schema}.inbox (consumer, message_id)
    SELECT $1, id FROM unnest($2::uuid[]) AS id${ON_CONFLICT} RETURNING message_id::text AS id`,
      parameters: [this.#consumer, `{${messageIds.join(',')}}`],
    };
  }

  unmarkStatement(messageIds: readonly string[]): Statement {
    return {
      sql: `DELETE FROM ${this.#schema}.inbox WHERE consumer = $1 AND message_id = ANY ($2::uuid[])`,
      parameters: [this.#consumer, `{${messageIds.join(',')}}`],
    };
  }

  lockStatement(lock: string): Statement {
    return { sql: LOCK_SQL, parameters: [lock] };
  }

  orderedMarkStatements({ messageId, key, lock, predecessorId }: OrderedArrival): readonly Statement[] {
    const mark: Statement =
      predecessorId === null
        ? { sql: this.#lineSql + ON_CONFLICT, parameters: [this.#consumer, messageId, key], counted: true }
        : {
            sql: this.#lineSql + this.#afterSql + ON_CONFLICT,
            parameters: [this.#consumer, messageId, key, predecessorId],
            counted: true,
          };
    return [{ sql: LOCK_SQL, parameters: [lock] }, mark];
  }

  async orderedFacts(
    execute: SqlExecutor,
    { messageId, key, predecessorId, sentAt }: OrderedArrival,
  ): Promise<Omit<OrderedFacts, 'locked'>> {
    const [facts] = await readRows<{
      handled: boolean;
      predecessor: boolean;
      found: boolean | null;
      awaits: string | null;
      later: boolean;
      parked: boolean;
    }>(
      execute,
      `SELECT EXISTS (SELECT 1 FROM ${this.#schema}.inbox WHERE consumer = $1 AND message_id = $2::uuid) AS handled,
         $4::uuid IS NULL OR EXISTS (SELECT 1 FROM ${this.#schema}.inbox WHERE consumer = $1 AND message_id = $4::uuid) AS predecessor,
         head.found, head.awaits, head.awaits IS NOT NULL AND $6::text IS NOT NULL AND (
           SELECT position FROM ${this.#schema}.parked_delivery WHERE consumer = $1 AND key = $3
             AND coalesce(rtrim(envelope ->> 'time', 'Z'), '') COLLATE "C" <= $6::text COLLATE "C"
           ORDER BY position LIMIT 1) IS NULL AS later,
         EXISTS (SELECT 1 FROM ${this.#schema}.parked_delivery WHERE consumer = $1 AND message_id = $4::uuid
           AND rtrim(envelope ->> 'time', 'Z') COLLATE "C" < $6::text COLLATE "C") AS parked
       FROM (SELECT 1) AS one LEFT JOIN LATERAL (
         SELECT true AS found, CASE WHEN reason = $5 THEN lower(envelope ->> 'predecessorid') END AS awaits
         FROM ${this.#schema}.parked_delivery WHERE consumer = $1 AND key = $3 ORDER BY position LIMIT 1) AS head ON true`,
      [this.#consumer, messageId, key, predecessorId, PARK_REASONS.predecessor, sentAt],
    );
    if (facts === undefined) throw new TypeError('The query for the facts of an ordered message returned no row.');
    return {
      handled: facts.handled,
      head: facts.found === true ? { awaits: facts.awaits, allLater: facts.later } : null,
      predecessorSeen: predecessorId === null ? null : facts.predecessor,
      predecessorParked: facts.parked,
    };
  }

  async mark(execute: SqlExecutor, messageId: string): Promise<void> {
    await execute(
      `INSERT INTO ${this.#schema}.inbox (consumer, message_id) VALUES ($1, $2)
       ON CONFLICT (consumer, message_id) DO UPDATE SET handled_at = now()`,
      [this.#consumer, messageId],
    );
  }

  async tryMark(execute: SqlExecutor, messageId: string): Promise<boolean> {
    return (await execute(`${this.#markSql} RETURNING 1 AS written`, [this.#consumer, messageId])).length > 0;
  }

  async has(execute: SqlExecutor, messageId: string): Promise<boolean> {
    return (
      (
        await execute(`SELECT 1 AS found FROM ${this.#schema}.inbox WHERE consumer = $1 AND message_id = $2`, [
          this.#consumer,
          messageId,
        ])
      ).length > 0
    );
  }

  async prune(execute: SqlExecutor, olderThanMs: number, limit: number): Promise<number> {
    // By ctid, so that each chunk is found by the BRIN index on handled_at and deleted without looking up the primary key.
    // Rows whose message is still parked stay: they are what a duplicate of it meets.
    const rows = await execute(
      `WITH old AS (
         SELECT i.ctid FROM ${this.#schema}.inbox i
         WHERE i.consumer = $1 AND i.handled_at < now() - $2::float8 * interval '1 millisecond'
           AND NOT EXISTS (SELECT 1 FROM ${this.#schema}.parked_delivery p WHERE p.consumer = i.consumer AND p.message_id = i.message_id)
         LIMIT $3::int FOR UPDATE OF i SKIP LOCKED),
       gone AS (DELETE FROM ${this.#schema}.inbox WHERE ctid = ANY (ARRAY(SELECT ctid FROM old)) RETURNING 1)
       SELECT count(*)::text AS pruned FROM gone`,
      [this.#consumer, olderThanMs, limit],
    );
    return Number(rows[0]?.['pruned']);
  }
}

/** The number of the advisory lock of a key: 64 bits of a hash. A collision makes one key wait for another, no more. */
export function keyLock(consumer: string, key: string): string {
  return createHash('sha256').update(`holdfast.inbox\0${consumer}\0${key}`).digest().readBigInt64BE(0).toString();
}
