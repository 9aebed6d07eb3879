/**
 * The table `parked_delivery`: messages whose handling gave up and, for ordered consumers, those waiting behind them.
 */
import { readRows } from '../../postgres/own-results.ts';
import type { SqlExecutor } from '../../postgres/executor.ts';
import { quoteIdentifier } from '../../postgres/quoting.ts';
import { errorFingerprint } from '../../runtime/error-fingerprint.ts';
import type { ParkedSize } from '../handlers/decide-refused.ts';
import { PARK_REASONS, type ParkReason } from '../handlers/decide.ts';

export interface ParkingStatus {
  readonly state: 'failed' | 'behind';
  readonly reason: string;
  readonly error: string | null;
  /** Milliseconds until the next redrive; null: none by itself. */
  readonly retryInMs: number | null;
}

export interface ParkingRecord extends ParkingStatus {
  readonly messageId: string;
  readonly topic: string;
  readonly key: string | null;
  /** JSON text. */
  readonly envelope: string;
  /** Handler runs so far. */
  readonly attempts: number;
  /** Ordered consumers: what its place among the parked messages of its key depends on. The lock of the key must be held. */
  readonly line?: { /** From sentAt(). */ readonly sentAt: string | null } | undefined;
}

/** What a redrive needs of a row. */
export interface ParkedRow {
  readonly messageId: string;
  readonly key: string | null;
  /** JSON text. */
  readonly envelope: string;
  readonly reason: string;
  readonly attempts: number;
  readonly redrives: number;
}

export interface DueOptions {
  readonly limit: number;
  readonly ordered: boolean;
  readonly topics: readonly string[];
}

export interface PruneOptions {
  readonly reason: ParkReason;
  readonly olderThanMs: number;
  readonly most: number;
  readonly limit: number;
}

export interface ParkedDeliveryStore {
  /** Does nothing when the message is parked already. */
  insert(execute: SqlExecutor, record: ParkingRecord): Promise<void>;
  /**
   * Locks up to `limit` rows that are due, skipping those that others work on and those of topics that are not in `topics`: another
   * process has their handlers. With `ordered`, only the first of each key.
   */
  lockDue(execute: SqlExecutor, options: DueOptions): Promise<readonly ParkedRow[]>;
  /** Counts a redrive that is about to be made, and says when to try again if nothing is heard of it. */
  claim(execute: SqlExecutor, messageId: string, retryInMs: number | null): Promise<void>;
  /** Locks one row for its redrive; null when it is gone, taken, or (`ordered`) no longer the first of its key. */
  lock(execute: SqlExecutor, messageId: string, ordered: boolean): Promise<{ readonly reason: string } | null>;
  /** Takes the row out and makes the next of its key due, if that one waited behind or for a predecessor. */
  remove(execute: SqlExecutor, messageId: string): Promise<void>;
  /** Makes the first of the key due if it waits for this message as its predecessor, also when its redrives had come to their end. */
  wakeSuccessor(execute: SqlExecutor, messageId: string, key: string): Promise<void>;
  /**
   * Puts a row that was taken up behind all others of its key, gives the redrive back, and makes the first of the key due, if something
   * that was sent before it stands in the line: its `predecessorId`, or with null anything. Else false, and nothing is done.
   */
  moveBehindEarlier(execute: SqlExecutor, messageId: string, predecessorId: string | null): Promise<boolean>;
  /** Makes the first of the key due if its state is 'behind', and with `waiting` also if it waits for a predecessor. */
  wakeFirst(execute: SqlExecutor, key: string, options: { readonly waiting: boolean }): Promise<void>;
  /** After a failed redrive. */
  keep(execute: SqlExecutor, messageId: string, state: ParkingStatus): Promise<void>;
  /** Gives the redrive back and leaves the row to a process that has a handler for it. */
  handOn(execute: SqlExecutor, messageId: string, error: string): Promise<void>;
  /** Makes due what was parked for want of a handler and is of these topics; resolves with how many rows. */
  wakeHandled(execute: SqlExecutor, topics: readonly string[]): Promise<number>;
  /** Gives the redrive back. */
  postpone(execute: SqlExecutor, messageId: string, delayMs: number): Promise<void>;
  count(execute: SqlExecutor): Promise<number>;
  /** How much is parked for this reason. */
  sizeFor(execute: SqlExecutor, reason: ParkReason): Promise<ParkedSize>;
  /** Deletes up to `limit` rows of a reason, those older than `olderThanMs` and those beyond the newest `most`. Resolves with how many. */
  prune(execute: SqlExecutor, which: PruneOptions): Promise<number>;
}

/**
 * Positions below zero come before all others of their key. They are for a message that comes late and fails, while the first of the key
 * waits for it or for a message after it. Behind the first it would wait for ever, and later messages would overtake it.
 */
const AHEAD = -1_000_000_000_000_000;

/** Rows made due in one statement. */
const WAKE_AT_ONCE = 1_000;

/** Reasons for which any process of the consumer takes a message up, whatever handlers it has. */
const FOR_ANYBODY = [PARK_REASONS.undecodable, PARK_REASONS.noHandler, PARK_REASONS.unverified]
  .map((reason) => `'${reason}'`)
  .join(', ');

const IN_MS = (parameter: string): string => `now() + ${parameter}::float8 * interval '1 millisecond'`;

/** Whether message $3, sent at $4, comes before a row that waits for a predecessor. */
function precedes(row: string): string {
  return `${row}.reason = $5 AND (lower(${row}.envelope ->> 'predecessorid') = $3 OR $4 COLLATE "C" < rtrim(${row}.envelope ->> 'time', 'Z') COLLATE "C")`;
}

export function createParkedDeliveryStore(schema: string, consumer: string): ParkedDeliveryStore {
  return new ParkedDeliveryTable(schema, consumer);
}

class ParkedDeliveryTable implements ParkedDeliveryStore {
  readonly #consumer: string;
  readonly #table: string;
  /** Whether row `p` is the first parked message of its key. */
  readonly #first: string;

  constructor(schema: string, consumer: string) {
    const table = `${quoteIdentifier(schema)}.parked_delivery`;
    this.#consumer = consumer;
    this.#table = table;
    this.#first = `NOT EXISTS (SELECT 1 FROM ${table} e WHERE e.consumer = p.consumer AND e.key = p.key AND e.position < p.position)`;
  }

  async insert(execute: SqlExecutor, record: ParkingRecord): Promise<void> {
    const position = await this.#placeAhead(execute, record);
    await execute(
      `INSERT INTO ${this.#table} (consumer, message_id, topic, key, envelope, state, reason, error, attempts, next_attempt_at, fingerprint${position === null ? '' : ', position'})
       ${position === null ? '' : 'OVERRIDING SYSTEM VALUE'} VALUES ($1, $2, $3, $4, $5::text::jsonb, $6, $7, $8, $9, ${IN_MS('$10')}, $11${position === null ? '' : ', $12::bigint'})
       ON CONFLICT (consumer, message_id) DO NOTHING`,
      [
        this.#consumer,
        record.messageId,
        record.topic,
        record.key,
        record.envelope,
        record.state,
        record.reason,
        record.error,
        record.attempts,
        record.retryInMs,
        errorFingerprint(record.reason, record.error),
        ...(position === null ? [] : [position]),
      ],
    );
  }

  async lockDue(execute: SqlExecutor, { limit, ordered, topics }: DueOptions): Promise<readonly ParkedRow[]> {
    const rows = await readRows<{
      id: string;
      key: string | null;
      envelope: string;
      reason: string;
      attempts: number;
      redrives: number;
    }>(
      execute,
      `SELECT message_id AS id, key, envelope::text AS envelope, reason, attempts, redrives FROM ${this.#table} p
       WHERE consumer = $1 AND next_attempt_at <= now()
         AND (topic = ANY (string_to_array($3, ' ')) OR reason IN (${FOR_ANYBODY}))
         ${ordered ? `AND (key IS NULL OR ${this.#first})` : ''}
       ORDER BY next_attempt_at LIMIT $2::int FOR UPDATE OF p SKIP LOCKED`,
      [this.#consumer, limit, topics.join(' ')],
    );
    return rows.map(({ id, ...row }) => ({ messageId: id, ...row }));
  }

  async claim(execute: SqlExecutor, messageId: string, retryInMs: number | null): Promise<void> {
    await execute(
      `UPDATE ${this.#table} SET redrives = redrives + 1, attempts = attempts + 1, next_attempt_at = ${IN_MS('$3')} WHERE consumer = $1 AND message_id = $2`,
      [this.#consumer, messageId, retryInMs],
    );
  }

  async lock(execute: SqlExecutor, messageId: string, ordered: boolean): Promise<{ readonly reason: string } | null> {
    const rows = await execute(
      `SELECT reason FROM ${this.#table} p WHERE consumer = $1 AND message_id = $2 ${ordered ? `AND (key IS NULL OR ${this.#first})` : ''} FOR UPDATE SKIP LOCKED`,
      [this.#consumer, messageId],
    );
    return rows.length === 0 ? null : { reason: rows[0]?.['reason'] as string };
  }

  async remove(execute: SqlExecutor, messageId: string): Promise<void> {
    await execute(
      `WITH gone AS (DELETE FROM ${this.#table} WHERE consumer = $1 AND message_id = $2 RETURNING key)
       UPDATE ${this.#table} SET next_attempt_at = now() WHERE consumer = $1 AND message_id = (
         SELECT next.message_id FROM gone CROSS JOIN LATERAL (
           SELECT r.message_id, r.state, r.reason FROM ${this.#table} r
           WHERE r.consumer = $1 AND r.key = gone.key AND r.message_id <> $2 ORDER BY r.position LIMIT 1) AS next
         WHERE next.state = 'behind' OR next.reason = $3)`,
      [this.#consumer, messageId, PARK_REASONS.predecessor],
    );
  }

  async wakeSuccessor(execute: SqlExecutor, messageId: string, key: string): Promise<void> {
    await execute(
      `UPDATE ${this.#table} SET next_attempt_at = now() WHERE consumer = $1 AND message_id = (
         SELECT head.message_id FROM (
           SELECT message_id, reason, envelope FROM ${this.#table} WHERE consumer = $1 AND key = $2 ORDER BY position LIMIT 1) AS head
         WHERE head.reason = $3 AND lower(head.envelope ->> 'predecessorid') = $4)`,
      [this.#consumer, key, PARK_REASONS.predecessor, messageId],
    );
  }

  async moveBehindEarlier(execute: SqlExecutor, messageId: string, predecessorId: string | null): Promise<boolean> {
    // Two texts: of a predecessor only its own row is looked at, however long the line is.
    const sent = (row: string): string => `rtrim(${row}.envelope ->> 'time', 'Z') COLLATE "C"`;
    const rows = await execute(
      `UPDATE ${this.#table} p SET position = DEFAULT, state = 'behind', reason = $3, error = NULL, fingerprint = $4, next_attempt_at = NULL,
         redrives = greatest(redrives - 1, 0), attempts = greatest(attempts - 1, 0)
       WHERE consumer = $1 AND message_id = $2 AND EXISTS (
         SELECT 1 FROM ${this.#table} e WHERE e.consumer = $1 AND e.key = p.key AND ${sent('e')} < ${sent('p')}
           ${predecessorId === null ? '' : 'AND e.message_id = $5'})
       RETURNING key`,
      [
        this.#consumer,
        messageId,
        PARK_REASONS.behind,
        errorFingerprint(PARK_REASONS.behind, null),
        ...(predecessorId === null ? [] : [predecessorId]),
      ],
    );
    const key = rows[0]?.['key'];
    if (typeof key !== 'string') return false;
    await this.wakeFirst(execute, key, { waiting: true });
    return true;
  }

  async wakeFirst(execute: SqlExecutor, key: string, { waiting }: { readonly waiting: boolean }): Promise<void> {
    await execute(
      `UPDATE ${this.#table} SET next_attempt_at = now() WHERE consumer = $1 AND message_id = (
         SELECT head.message_id FROM (
           SELECT message_id, state, reason FROM ${this.#table} WHERE consumer = $1 AND key = $2 ORDER BY position LIMIT 1) AS head
         WHERE head.state = 'behind' OR ($4::boolean AND head.reason = $3))`,
      [this.#consumer, key, PARK_REASONS.predecessor, waiting],
    );
  }

  async keep(
    execute: SqlExecutor,
    messageId: string,
    { state, reason, error, retryInMs }: ParkingStatus,
  ): Promise<void> {
    await execute(
      `UPDATE ${this.#table} SET state = $3, reason = $4, error = $5, fingerprint = $7, next_attempt_at = ${IN_MS('$6')} WHERE consumer = $1 AND message_id = $2`,
      [this.#consumer, messageId, state, reason, error, retryInMs, errorFingerprint(reason, error)],
    );
  }

  async handOn(execute: SqlExecutor, messageId: string, error: string): Promise<void> {
    await execute(
      `UPDATE ${this.#table} SET redrives = greatest(redrives - 1, 0), attempts = greatest(attempts - 1, 0), reason = $3, error = $4,
         fingerprint = $5, next_attempt_at = NULL
       WHERE consumer = $1 AND message_id = $2`,
      [this.#consumer, messageId, PARK_REASONS.noHandler, error, errorFingerprint(PARK_REASONS.noHandler, error)],
    );
  }

  async wakeHandled(execute: SqlExecutor, topics: readonly string[]): Promise<number> {
    // The words of the partial index parked_delivery_unhandled. One that was taken up before (redrives) is another's to decide on.
    const rows = await execute(
      `UPDATE ${this.#table} SET next_attempt_at = now() WHERE ctid = ANY (ARRAY(
         SELECT ctid FROM ${this.#table}
         WHERE consumer = $1 AND topic = ANY (string_to_array($2, ' ')) AND reason = '${PARK_REASONS.noHandler}' AND next_attempt_at IS NULL
           AND redrives = 0
         LIMIT ${WAKE_AT_ONCE} FOR UPDATE SKIP LOCKED))
       RETURNING 1 AS woken`,
      [this.#consumer, topics.join(' ')],
    );
    return rows.length;
  }

  async postpone(execute: SqlExecutor, messageId: string, delayMs: number): Promise<void> {
    await execute(
      `UPDATE ${this.#table} SET redrives = greatest(redrives - 1, 0), attempts = greatest(attempts - 1, 0), next_attempt_at = ${IN_MS('$3')}
       WHERE consumer = $1 AND message_id = $2`,
      [this.#consumer, messageId, delayMs],
    );
  }

  async sizeFor(execute: SqlExecutor, reason: ParkReason): Promise<ParkedSize> {
    // The size as it is on disk, for which no envelope is read.
    const rows = await execute(
      `SELECT count(*)::text AS messages, coalesce(sum(pg_column_size(envelope)), 0)::text AS bytes FROM ${this.#table}
       WHERE consumer = $1 AND reason = $2`,
      [this.#consumer, reason],
    );
    return { messages: Number(rows[0]?.['messages']), bytes: Number(rows[0]?.['bytes']) };
  }

  async prune(execute: SqlExecutor, { reason, olderThanMs, most, limit }: PruneOptions): Promise<number> {
    const rows = await execute(
      `WITH ranked AS (
         SELECT message_id, parked_at, row_number() OVER (ORDER BY parked_at DESC) AS place FROM ${this.#table}
         WHERE consumer = $1 AND reason = $2),
       old AS (
         SELECT message_id FROM ranked
         WHERE place > $4::int OR parked_at < now() - $3::float8 * interval '1 millisecond' LIMIT $5::int),
       gone AS (DELETE FROM ${this.#table} WHERE consumer = $1 AND message_id IN (SELECT message_id FROM old) RETURNING 1)
       SELECT count(*)::int AS pruned FROM gone`,
      [this.#consumer, reason, olderThanMs, most, limit],
    );
    return (rows[0] as { pruned: number }).pruned;
  }

  async count(execute: SqlExecutor): Promise<number> {
    const rows = await execute(`SELECT count(*)::text AS parked FROM ${this.#table} WHERE consumer = $1`, [
      this.#consumer,
    ]);
    return Number(rows[0]?.['parked']);
  }

  /** The position of a message that must not go to the end of the line; else null. */
  async #placeAhead(execute: SqlExecutor, { messageId, key, line }: ParkingRecord): Promise<string | null> {
    if (line === undefined || key === null) return null;
    const rows = await execute(
      `WITH line AS NOT MATERIALIZED (SELECT position, reason, envelope FROM ${this.#table} WHERE consumer = $1 AND key = $2),
         head AS (SELECT * FROM line ORDER BY position LIMIT 1),
         waiting AS (SELECT * FROM line WHERE position > 0 ORDER BY position LIMIT 1)
       SELECT (CASE WHEN head.position < 0 AND ${precedes('head')} THEN head.position - 1
         WHEN ${precedes('waiting')} THEN coalesce((SELECT max(position) FROM line WHERE position < 0), ${AHEAD}) + 1 END)::text AS position
       FROM head LEFT JOIN waiting ON true`,
      [this.#consumer, key, messageId, line.sentAt, PARK_REASONS.predecessor],
    );
    return (rows[0]?.['position'] as string | null | undefined) ?? null;
  }
}
