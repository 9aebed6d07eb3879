/**
 * The table `parked_message`: messages a relay took out of the flow. Used by the subscription runner, and by operations for what
 * people do with them. The bodies stay in the outbox, which retention does not prune while they are parked.
 */
import type { ClientBase } from 'pg';
import { quoteIdentifier } from '../../postgres/quoting.ts';
import type { LogEntry } from '../log/log-reader.ts';
import { fenceSql, subscriptionLeaseLost, type LeaseHolder, type SubscriptionKey } from '../subscription/fence.ts';

export interface ParkedRecord {
  readonly seq: number;
  /** failed: could not be published itself; behind: waits for an earlier message of its key. */
  readonly state: 'failed' | 'behind';
  readonly reason: string;
  readonly error: string | null;
  readonly attempts: number;
  /** Milliseconds until a relay takes it up again; null: only a person will. */
  readonly retryInMs: number | null;
}

export interface RedriveCandidate {
  readonly seq: number;
  readonly key: string | null;
  readonly attempts: number;
  /** Milliseconds since it was first parked. */
  readonly parkedForMs: number;
}

export interface ParkingStore {
  /** Writes the rows, fenced by the lease; parking the same message again updates it. Rejects with HF_LEASE_LOST. */
  park(holder: LeaseHolder, records: readonly ParkedRecord[]): Promise<void>;
  /** Takes the rows out again after they were published. Rejects with HF_LEASE_LOST. */
  unpark(holder: LeaseHolder, seqs: readonly number[]): Promise<void>;
  /** Parked messages that killed relays: the cursor may still be before them, and they must not be sent again for that. */
  killers(client: ClientBase): Promise<ReadonlySet<number>>;
  /** Keys that have parked messages. Of all of them, so for the beginning of a session. */
  blockedKeys(client: ClientBase): Promise<Set<string>>;
  /** Which of these keys have parked messages. */
  stillBlocked(client: ClientBase, keys: readonly string[]): Promise<ReadonlySet<string>>;
  /**
   * Makes due what waits behind nothing any more. Whoever takes a message out makes the next of its key due, but does not see one that
   * is being parked at that moment. It looks at all keys, so it is for the beginning of a session, and for once in a while.
   */
  releaseOrphans(client: ClientBase): Promise<void>;
  /**
   * The messages to publish next: those due whose key has no earlier one parked, each with the ones waiting right behind it up to
   * the next that failed itself. In log order, at most `limit`.
   */
  redrivable(client: ClientBase, limit: number): Promise<readonly RedriveCandidate[]>;
}

export interface ParkingScope extends SubscriptionKey {
  readonly schema: string;
  readonly shards: number;
  /** Whether later messages of a parked key wait behind it. */
  readonly keepsOrder: boolean;
}

/** The reason that is stored for a message that killed the relays that published it. */
export const KILLED = 'it killed the relay that published it';

export function createParkingStore(scope: ParkingScope): ParkingStore {
  const s = quoteIdentifier(scope.schema);
  const fence = fenceSql(scope.schema);
  const ofShard = `lane % ${scope.shards} = ${scope.shard}`;
  const mine = `subscription = $1 AND ${ofShard}`;
  const table = `${s}.parked_message`;
  /** The first parked message of a row's key. */
  const first = (row: string) =>
    `(SELECT q.seq FROM ${table} q WHERE q.subscription = $1 AND q.key = ${row}.key ORDER BY q.seq LIMIT 1)`;

  return {
    async park({ writeClient, epoch }, records) {
      if (records.length === 0) return;
      const result = await writeClient.query<{ held: boolean }>(
        `WITH fence AS MATERIALIZED (${fence}),
         written AS (
           INSERT INTO ${s}.parked_message AS p
             (subscription, seq, id, topic, key, lane, state, reason, error, attempts, next_attempt_at)
           SELECT $1, o.seq, o.id, o.topic, o.key, o.lane, r.state, r.reason, r.error, r.attempts, CASE
               WHEN r.state = 'failed' THEN clock_timestamp() + r."retryInMs" * interval '1 millisecond'
               -- What it was to wait behind was taken out meanwhile.
               WHEN row_number() OVER (PARTITION BY o.key ORDER BY o.seq) = 1 AND coalesce(${first('o')} > o.seq, true) THEN clock_timestamp() END
           FROM fence, json_to_recordset($4::json)
             AS r (seq bigint, state text, reason text, error text, attempts int, "retryInMs" float8)
           JOIN ${s}.outbox o USING (seq)
           ON CONFLICT (subscription, seq) DO UPDATE SET state = excluded.state, reason = excluded.reason, error = excluded.error,
             attempts = excluded.attempts, next_attempt_at = CASE
               WHEN excluded.state = 'failed' THEN excluded.next_attempt_at ELSE coalesce(p.next_attempt_at, excluded.next_attempt_at) END
           -- A page that is read again finds its refused message in a blocked key; what is known of it stays.
           WHERE excluded.state = 'failed' OR p.state = 'behind')
         SELECT EXISTS (SELECT 1 FROM fence) AS held`,
        [scope.name, scope.shard, epoch, JSON.stringify(records)],
      );
      if (result.rows[0]?.held !== true) throw subscriptionLeaseLost(scope);
    },

    async unpark({ writeClient, epoch }, seqs) {
      if (seqs.length === 0) return;
      const result = await writeClient.query<{ held: boolean }>(
        `WITH fence AS MATERIALIZED (${fence}),
         gone AS (DELETE FROM ${table} USING fence WHERE subscription = $1 AND seq = ANY ($4::bigint[]) RETURNING subscription, key, seq),
         ${nextDueSql(scope.schema)}
         SELECT EXISTS (SELECT 1 FROM fence) AS held`,
        [scope.name, scope.shard, epoch, seqs],
      );
      if (result.rows[0]?.held !== true) throw subscriptionLeaseLost(scope);
    },

    async killers(client) {
      const result = await client.query<{ seq: string }>(
        `SELECT seq FROM ${s}.parked_message WHERE ${mine} AND state = 'failed' AND reason = $2`,
        [scope.name, KILLED],
      );
      return new Set(result.rows.map((row) => Number(row.seq)));
    },

    async blockedKeys(client) {
      if (!scope.keepsOrder) return new Set();
      // From key to key by the index, for one may have a million messages waiting; where there are very many keys, all rows at once.
      const few = await client.query<{ key: string; mine: boolean }>(
        `WITH RECURSIVE head AS (
           (SELECT key, lane FROM ${table} WHERE subscription = $1 AND key IS NOT NULL ORDER BY key, seq LIMIT 1)
           UNION ALL
           SELECT following.* FROM head CROSS JOIN LATERAL (
             SELECT key, lane FROM ${table} WHERE subscription = $1 AND key > head.key ORDER BY key, seq LIMIT 1) AS following)
         SELECT key, ${ofShard} AS mine FROM head LIMIT ${FEW_KEYS}`,
        [scope.name],
      );
      if (few.rows.length < FEW_KEYS) return new Set(few.rows.flatMap((row) => (row.mine ? [row.key] : [])));
      const { rows } = await client.query<{ key: string }>(
        `SELECT DISTINCT key FROM ${table} WHERE ${mine} AND key IS NOT NULL`,
        [scope.name],
      );
      return new Set(rows.map((row) => row.key));
    },

    async stillBlocked(client, keys) {
      if (!scope.keepsOrder || keys.length === 0) return new Set();
      const result = await client.query<{ key: string }>(
        `SELECT key FROM unnest($2::text[]) AS asked (key)
         WHERE EXISTS (SELECT 1 FROM ${table} p WHERE p.subscription = $1 AND p.key = asked.key)`,
        [scope.name, keys],
      );
      return new Set(result.rows.map((row) => row.key));
    },

    async releaseOrphans(client) {
      const orphans = scope.keepsOrder
        ? `seq IN (SELECT min(seq) FROM ${table} WHERE ${mine} AND key IS NOT NULL GROUP BY key)`
        : 'true';
      await client.query(
        `UPDATE ${table} SET next_attempt_at = clock_timestamp()
         WHERE ${mine} AND state = 'behind' AND next_attempt_at IS NULL AND ${orphans}`,
        [scope.name],
      );
    },

    async redrivable(client, limit) {
      // Due are failed messages whose time has come, and those that wait behind nothing any more: found by an index, however much
      // waits beside them. Then the first ones of each key from there.
      // `free`: everything from the head up to the next failed message that is not due, or never will be: bool_and skips nulls.
      const due = `SELECT seq, key, attempts, parked_at, next_attempt_at FROM ${table} p
        WHERE ${mine} AND next_attempt_at <= statement_timestamp()`;
      const order = scope.keepsOrder
        ? `SELECT p.* FROM head CROSS JOIN LATERAL (
             SELECT seq, key, attempts, parked_at,
               bool_and(state = 'behind' OR coalesce(next_attempt_at <= statement_timestamp(), false)) OVER (ORDER BY seq) AS free
             FROM (SELECT * FROM ${table} WHERE subscription = $1 AND key = head.key ORDER BY seq LIMIT $2) AS first) AS p
           UNION ALL
           (SELECT seq, key, attempts, parked_at, true FROM (${due} AND key IS NULL ORDER BY next_attempt_at LIMIT $2) AS keyless)`
        : `SELECT seq, key, attempts, parked_at, true AS free FROM head`;
      const heads = scope.keepsOrder ? `${due} AND key IS NOT NULL AND ${first('p')} = seq` : due;
      const result = await client.query<{ seq: string; key: string | null; attempts: number; parked_for_ms: number }>(
        `WITH head AS MATERIALIZED (${heads} ORDER BY next_attempt_at LIMIT $2)
         SELECT seq, key, attempts, extract(epoch FROM clock_timestamp() - parked_at)::float8 * 1000 AS parked_for_ms
         FROM (${order}) AS candidate WHERE free ORDER BY seq LIMIT $2`,
        [scope.name, limit],
      );
      return result.rows.map((row) => ({
        seq: Number(row.seq),
        key: row.key,
        attempts: row.attempts,
        parkedForMs: row.parked_for_ms,
      }));
    },
  };
}

/** As many keys are gone through one by one. */
const FEW_KEYS = 1_000;

/**
 * A CTE `released`: of the rows that leave, `gone (subscription, key, seq)`, makes due what waited right behind them. In the snapshot of
 * the statement they are still there.
 */
function nextDueSql(schema: string): string {
  const table = `${quoteIdentifier(schema)}.parked_message`;
  return `released AS (
    UPDATE ${table} p SET next_attempt_at = clock_timestamp()
    FROM (SELECT DISTINCT subscription, key FROM gone WHERE key IS NOT NULL) AS k
    CROSS JOIN LATERAL (
      SELECT q.seq, q.state FROM ${table} q
      WHERE q.subscription = k.subscription AND q.key = k.key
        AND NOT EXISTS (SELECT 1 FROM gone g WHERE g.subscription = q.subscription AND g.seq = q.seq)
      ORDER BY q.seq LIMIT 1) AS n
    WHERE p.subscription = k.subscription AND p.seq = n.seq AND n.state = 'behind' RETURNING 1)`;
}

/** Which parked messages a person means; what is left out does not narrow. */
export interface ParkedSelection {
  readonly subscription?: string | undefined;
  readonly id?: string | undefined;
  readonly key?: string | undefined;
}

export interface ParkedReference {
  readonly subscription: string;
  readonly seq: number;
  readonly id: string;
  readonly topic: string;
  readonly key: string | null;
  readonly state: 'failed' | 'behind';
  readonly reason: string;
  readonly error: string | null;
  readonly attempts: number;
}

const REFERENCE = 'subscription, seq, id::text AS id, topic, key, state, reason, error, attempts';
const SELECTED = `($1::text IS NULL OR subscription = $1) AND ($2::uuid IS NULL OR id = $2) AND ($3::text IS NULL OR key = $3)`;

const selectionValues = ({ subscription, id, key }: ParkedSelection) => [subscription ?? null, id ?? null, key ?? null];
type ReferenceRow = Omit<ParkedReference, 'seq'> & { readonly seq: string };
const toReference = (row: ReferenceRow): ParkedReference => ({ ...row, seq: Number(row.seq) });

/** What was made due: their number, and the ids and topics of the first of them. They may be a million. */
export interface RetryRequested {
  readonly messages: number;
  /** At most 100. */
  readonly ids: readonly string[];
  /** How many messages of which topic; at most 1000 topics. */
  readonly topics: readonly { readonly topic: string; readonly messages: number }[];
}

/**
 * Makes the failed messages of a selection due now, dead letters included; the relay takes them up within a second or so.
 * In the caller's transaction.
 */
export async function requestRetry(
  client: ClientBase,
  schema: string,
  selection: ParkedSelection,
): Promise<RetryRequested> {
  const result = await client.query<{ found: string }>(
    `WITH due AS (
       UPDATE ${quoteIdentifier(schema)}.parked_message SET next_attempt_at = clock_timestamp()
       WHERE state = 'failed' AND ${SELECTED} RETURNING seq, id, topic)
     SELECT json_build_object(
       'messages', (SELECT count(*) FROM due),
       'ids', (SELECT coalesce(json_agg(id ORDER BY seq), '[]') FROM (SELECT seq, id FROM due ORDER BY seq LIMIT 100) AS first),
       'topics', (SELECT coalesce(json_agg(t), '[]') FROM (
         SELECT topic, count(*) AS messages FROM due GROUP BY topic ORDER BY topic LIMIT 1000) AS t))::text AS found`,
    selectionValues(selection),
  );
  return JSON.parse(result.rows[0]?.found as string) as RetryRequested;
}

/** Gives up all that a subscription has parked, in the caller's transaction. Resolves with how many they were. */
export async function discardAllParked(client: ClientBase, schema: string, subscription: string): Promise<number> {
  const result = await client.query(`DELETE FROM ${quoteIdentifier(schema)}.parked_message WHERE subscription = $1`, [
    subscription,
  ]);
  return result.rowCount ?? 0;
}

/**
 * Gives parked messages up for good, in the caller's transaction: they will not be published. What waited behind one goes on by
 * itself. Resolves with what was given up.
 */
export async function discardParked(
  client: ClientBase,
  schema: string,
  selection: ParkedSelection,
): Promise<readonly ParkedReference[]> {
  const result = await client.query<ReferenceRow>(
    `WITH gone AS (DELETE FROM ${quoteIdentifier(schema)}.parked_message WHERE ${SELECTED} RETURNING *),
     ${nextDueSql(schema)}
     SELECT ${REFERENCE} FROM gone`,
    selectionValues(selection),
  );
  return result.rows.map(toReference);
}

export function behind(entry: LogEntry): ParkedRecord {
  return {
    seq: entry.seq,
    state: 'behind',
    reason: 'behind an earlier message of its key',
    error: null,
    attempts: 0,
    retryInMs: null,
  };
}
