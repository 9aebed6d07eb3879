/**
 * The table `parked_message`: messages a relay took out of the flow. The bodies stay in the outbox, which retention does not prune while
 * they are parked. What people do with them stands in parked-selection.ts.
 */
import type { ClientBase } from 'pg';
import { quoteIdentifier } from '../../postgres/quoting.ts';
import { errorFingerprint } from '../../runtime/error-fingerprint.ts';
import { PAGE_BYTES, type LogEntry } from '../log/log-reader.ts';
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
  /** The leases under which it was being published, when it seems to have killed those who held them. */
  readonly killedEpochs?: readonly number[];
}

export interface RedriveCandidate {
  readonly seq: number;
  readonly key: string | null;
  readonly attempts: number;
  /** Milliseconds since it was first parked. */
  readonly parkedForMs: number;
}

/** What is published in place of what the log has: JSON texts. */
export interface ParkedRevision {
  readonly payload: string;
  readonly headers: string;
}

/** A message that is parked, and claimed. */
export interface ClaimedMessage {
  readonly seq: number;
  /** null: it goes out as it was written. 'later': all together are too large to be read at once. */
  readonly revision: ParkedRevision | 'later' | null;
}

export interface ParkingStore {
  /** Writes the rows, fenced by the lease; parking the same message again updates it, and ends its claim. Rejects with HF_LEASE_LOST. */
  park(holder: LeaseHolder, records: readonly ParkedRecord[]): Promise<void>;
  /** Takes the rows out again after they were published. Rejects with HF_LEASE_LOST. */
  unpark(holder: LeaseHolder, seqs: readonly number[]): Promise<void>;
  /**
   * Claims what is about to be published, in a commit of its own, and reads what it is: until it is taken out, parked again or released,
   * nobody can revise it. What is not parked any more is left out. Rejects with HF_LEASE_LOST.
   */
  claim(holder: LeaseHolder, seqs: readonly number[]): Promise<readonly ClaimedMessage[]>;
  /** Ends claims of what was not published after all. Rejects with HF_LEASE_LOST. */
  release(holder: LeaseHolder, seqs: readonly number[]): Promise<void>;
  /** What seems to have killed the holder of a lease, who lives, says so from now on. It stays parked. Resolves with how many there are. */
  noteAlive(client: Updates, epoch: number): Promise<number>;
  /**
   * Parked messages that must not go out as the log has them, though the cursor may still be before them: they killed relays, or were
   * revised.
   */
  setAside(client: ClientBase): Promise<ReadonlySet<number>>;
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
   * the next that failed itself and is not due, or was revised. In log order, at most `limit`.
   */
  redrivable(client: ClientBase, limit: number): Promise<readonly RedriveCandidate[]>;
}

/** A connection, or a pool. */
interface Updates {
  query(text: string, values: unknown[]): Promise<{ readonly rowCount: number | null }>;
}

export interface ParkingScope extends SubscriptionKey {
  readonly schema: string;
  readonly shards: number;
  /** Whether later messages of a parked key wait behind it. */
  readonly keepsOrder: boolean;
}

/** The reason that is stored for a message that killed the relays that published it. */
export const KILLED = 'it killed the relay that published it';
/** ... and for one that did so to relays that live. */
export const HELD_UP = 'it held up the relay that published it for longer than its lease, again and again';
const ALIVE =
  'A relay that seemed to have died of it lives: it had stood still for longer than its lease. Publish it again.';

export function createParkingStore(scope: ParkingScope): ParkingStore {
  return new ParkedMessageTable(scope);
}

class ParkedMessageTable implements ParkingStore {
  readonly #scope: ParkingScope;
  readonly #schema: string;
  readonly #table: string;
  readonly #fence: string;
  /** SQL conditions; $1 is the subscription. */
  readonly #ofShard: string;
  readonly #mine: string;

  constructor(scope: ParkingScope) {
    this.#scope = scope;
    this.#schema = quoteIdentifier(scope.schema);
    this.#table = `${this.#schema}.parked_message`;
    this.#fence = fenceSql(scope.schema);
    this.#ofShard = `lane % ${scope.shards} = ${scope.shard}`;
    this.#mine = `subscription = $1 AND ${this.#ofShard}`;
  }

  async park({ writeClient, epoch }: LeaseHolder, records: readonly ParkedRecord[]): Promise<void> {
    if (records.length === 0) return;
    const result = await writeClient.query<{ held: boolean }>(
      `WITH fence AS MATERIALIZED (${this.#fence}),
       written AS (
         INSERT INTO ${this.#table} AS p
           (subscription, seq, id, topic, key, lane, state, reason, error, attempts, fingerprint, killed_epochs, next_attempt_at)
         SELECT $1, o.seq, o.id, o.topic, o.key, o.lane, r.state, r.reason, r.error, r.attempts, r.fingerprint, r."killedEpochs", CASE
             WHEN r.state = 'failed' THEN clock_timestamp() + r."retryInMs" * interval '1 millisecond'
             -- What it was to wait behind was taken out meanwhile.
             WHEN row_number() OVER (PARTITION BY o.key ORDER BY o.seq) = 1 AND coalesce(${this.#first('o')} > o.seq, true) THEN clock_timestamp() END
         FROM fence, json_to_recordset($4::json)
           AS r (seq bigint, state text, reason text, error text, attempts int, "retryInMs" float8, fingerprint text, "killedEpochs" bigint[])
         JOIN ${this.#schema}.outbox o USING (seq)
         ON CONFLICT (subscription, seq) DO UPDATE SET state = excluded.state, reason = excluded.reason, error = excluded.error,
           attempts = excluded.attempts, fingerprint = excluded.fingerprint,
           killed_epochs = excluded.killed_epochs, claim_epoch = NULL, revised_due_at = NULL, next_attempt_at = CASE
             WHEN excluded.state = 'failed' THEN excluded.next_attempt_at ELSE coalesce(p.next_attempt_at, excluded.next_attempt_at) END
         -- A page that is read again finds its refused message in a blocked key; what is known of it stays.
         WHERE excluded.state = 'failed' OR p.state = 'behind')
       SELECT EXISTS (SELECT 1 FROM fence) AS held`,
      [this.#scope.name, this.#scope.shard, epoch, JSON.stringify(records.map(withFingerprint))],
    );
    if (result.rows[0]?.held !== true) throw subscriptionLeaseLost(this.#scope);
  }

  async unpark({ writeClient, epoch }: LeaseHolder, seqs: readonly number[]): Promise<void> {
    if (seqs.length === 0) return;
    const result = await writeClient.query<{ held: boolean }>(
      `WITH fence AS MATERIALIZED (${this.#fence}),
       gone AS (DELETE FROM ${this.#table} USING fence WHERE subscription = $1 AND seq = ANY ($4::bigint[]) RETURNING subscription, key, seq),
       ${nextDueSql(this.#scope.schema)}
       SELECT EXISTS (SELECT 1 FROM fence) AS held`,
      [this.#scope.name, this.#scope.shard, epoch, seqs],
    );
    if (result.rows[0]?.held !== true) throw subscriptionLeaseLost(this.#scope);
  }

  async claim({ writeClient, epoch }: LeaseHolder, seqs: readonly number[]): Promise<readonly ClaimedMessage[]> {
    if (seqs.length === 0) return [];
    // It waits for whoever is revising one of them, and has the row as it is after that.
    const { rows } = await writeClient.query<ClaimedRow>(
      `WITH fence AS MATERIALIZED (${this.#fence}),
       claimed AS (
         UPDATE ${this.#table} SET claim_epoch = $3 FROM fence WHERE subscription = $1 AND seq = ANY ($4::bigint[])
         RETURNING seq, revision),
       sized AS (
         SELECT seq, revision, coalesce(sum(octet_length(revision::text)) OVER (
           ORDER BY seq ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) >= ${PAGE_BYTES} AND revision IS NOT NULL AS later
         FROM claimed)
       SELECT held, seq::text, later, (fit -> 'payload')::text AS payload, (fit -> 'headers')::text AS headers
       FROM (SELECT EXISTS (SELECT 1 FROM fence) AS held) AS one
       LEFT JOIN (SELECT seq, later, CASE WHEN NOT later THEN revision END AS fit FROM sized) AS message ON true ORDER BY message.seq`,
      [this.#scope.name, this.#scope.shard, epoch, seqs],
    );
    if (rows[0]?.held !== true) throw subscriptionLeaseLost(this.#scope);
    return rows.flatMap(toClaimed);
  }

  async release({ writeClient, epoch }: LeaseHolder, seqs: readonly number[]): Promise<void> {
    if (seqs.length === 0) return;
    const result = await writeClient.query<{ held: boolean }>(
      `WITH fence AS MATERIALIZED (${this.#fence}),
       released AS (
         UPDATE ${this.#table} SET claim_epoch = NULL FROM fence WHERE subscription = $1 AND seq = ANY ($4::bigint[]))
       SELECT EXISTS (SELECT 1 FROM fence) AS held`,
      [this.#scope.name, this.#scope.shard, epoch, seqs],
    );
    if (result.rows[0]?.held !== true) throw subscriptionLeaseLost(this.#scope);
  }

  async noteAlive(client: Updates, epoch: number): Promise<number> {
    const { rowCount } = await client.query(
      `UPDATE ${this.#table} SET error = $3, killed_epochs = array_remove(killed_epochs, $2::bigint)
       WHERE ${this.#mine} AND killed_epochs IS NOT NULL AND $2::bigint = ANY (killed_epochs)`,
      [this.#scope.name, epoch, ALIVE],
    );
    return rowCount ?? 0;
  }

  async setAside(client: ClientBase): Promise<ReadonlySet<number>> {
    const result = await client.query<{ seq: string }>(
      `SELECT seq FROM ${this.#table} WHERE ${this.#mine} AND state = 'failed' AND (reason = ANY ($2) OR revision IS NOT NULL)`,
      [this.#scope.name, [KILLED, HELD_UP]],
    );
    return new Set(result.rows.map((row) => Number(row.seq)));
  }

  async blockedKeys(client: ClientBase): Promise<Set<string>> {
    if (!this.#scope.keepsOrder) return new Set();
    // From key to key by the index, for one may have a million messages waiting; where there are very many keys, all rows at once.
    const few = await client.query<{ key: string; mine: boolean }>(
      `WITH RECURSIVE head AS (
         (SELECT key, lane FROM ${this.#table} WHERE subscription = $1 AND key IS NOT NULL ORDER BY key, seq LIMIT 1)
         UNION ALL
         SELECT following.* FROM head CROSS JOIN LATERAL (
           SELECT key, lane FROM ${this.#table} WHERE subscription = $1 AND key > head.key ORDER BY key, seq LIMIT 1) AS following)
       SELECT key, ${this.#ofShard} AS mine FROM head LIMIT ${FEW_KEYS}`,
      [this.#scope.name],
    );
    if (few.rows.length < FEW_KEYS) return new Set(few.rows.flatMap((row) => (row.mine ? [row.key] : [])));
    const { rows } = await client.query<{ key: string }>(
      `SELECT DISTINCT key FROM ${this.#table} WHERE ${this.#mine} AND key IS NOT NULL`,
      [this.#scope.name],
    );
    return new Set(rows.map((row) => row.key));
  }

  async stillBlocked(client: ClientBase, keys: readonly string[]): Promise<ReadonlySet<string>> {
    if (!this.#scope.keepsOrder || keys.length === 0) return new Set();
    const result = await client.query<{ key: string }>(
      `SELECT key FROM unnest($2::text[]) AS asked (key)
       WHERE EXISTS (SELECT 1 FROM ${this.#table} p WHERE p.subscription = $1 AND p.key = asked.key)`,
      [this.#scope.name, keys],
    );
    return new Set(result.rows.map((row) => row.key));
  }

  async releaseOrphans(client: ClientBase): Promise<void> {
    const orphans = this.#scope.keepsOrder
      ? `seq IN (SELECT min(seq) FROM ${this.#table} WHERE ${this.#mine} AND key IS NOT NULL GROUP BY key)`
      : 'true';
    await client.query(
      `UPDATE ${this.#table} SET next_attempt_at = clock_timestamp()
       WHERE ${this.#mine} AND state = 'behind' AND next_attempt_at IS NULL AND ${orphans}`,
      [this.#scope.name],
    );
  }

  async redrivable(client: ClientBase, limit: number): Promise<readonly RedriveCandidate[]> {
    // Due are failed messages whose time has come, and those that wait behind nothing any more: found by two indexes, of which the second
    // has the revised ones, however much waits beside them. Then the first ones of each key from there.
    // `free`: everything from the head up to the next failed message that is not due, or never will be, or was revised: that one goes
    // alone, when it is the head itself.
    const dueBy = (column: string, condition: string) =>
      `(SELECT seq, key, attempts, parked_at, ${column} AS due_at FROM ${this.#table} p
        WHERE ${this.#mine} AND ${column} <= statement_timestamp() AND ${condition} ORDER BY ${column} LIMIT $2)`;
    const due = (condition: string) =>
      `${dueBy('next_attempt_at', condition)} UNION ALL ${dueBy('revised_due_at', condition)}`;
    const order = this.#scope.keepsOrder
      ? `SELECT p.* FROM head CROSS JOIN LATERAL (
           SELECT seq, key, attempts, parked_at,
             bool_and(seq = head.seq OR state = 'behind' OR coalesce(next_attempt_at <= statement_timestamp(), false))
               OVER (ORDER BY seq) AS free
           FROM (SELECT * FROM ${this.#table} WHERE subscription = $1 AND key = head.key ORDER BY seq LIMIT $2) AS first) AS p
         UNION ALL
         (SELECT seq, key, attempts, parked_at, true FROM (${due('key IS NULL')}) AS keyless ORDER BY due_at LIMIT $2)`
      : `SELECT seq, key, attempts, parked_at, true AS free FROM head`;
    const heads = due(this.#scope.keepsOrder ? `key IS NOT NULL AND ${this.#first('p')} = seq` : 'true');
    const result = await client.query<{ seq: string; key: string | null; attempts: number; parked_for_ms: number }>(
      `WITH head AS MATERIALIZED (SELECT * FROM (${heads}) AS due ORDER BY due_at LIMIT $2)
       SELECT seq, key, attempts, extract(epoch FROM clock_timestamp() - parked_at)::float8 * 1000 AS parked_for_ms
       FROM (${order}) AS candidate WHERE free ORDER BY seq LIMIT $2`,
      [this.#scope.name, limit],
    );
    return result.rows.map((row) => ({
      seq: Number(row.seq),
      key: row.key,
      attempts: row.attempts,
      parkedForMs: row.parked_for_ms,
    }));
  }

  /** SQL: the first parked message of a row's key. */
  #first(row: string): string {
    return `(SELECT q.seq FROM ${this.#table} q WHERE q.subscription = $1 AND q.key = ${row}.key ORDER BY q.seq LIMIT 1)`;
  }
}

interface ClaimedRow {
  readonly held: boolean;
  /** Null when none of them is parked. */
  readonly seq: string | null;
  readonly later: boolean;
  readonly payload: string | null;
  readonly headers: string | null;
}

function toClaimed({ seq, later, payload, headers }: ClaimedRow): readonly ClaimedMessage[] {
  if (seq === null) return [];
  const revision = payload === null || headers === null ? null : { payload, headers };
  return [{ seq: Number(seq), revision: later ? 'later' : revision }];
}

/** Here and not by the trigger, which takes a hundred times as long. */
function withFingerprint(record: ParkedRecord): ParkedRecord & { readonly fingerprint?: string | null } {
  return record.error === null ? record : { ...record, fingerprint: errorFingerprint(record.reason, record.error) };
}

/** As many keys are gone through one by one. */
const FEW_KEYS = 1_000;

/**
 * A CTE `released`: of the rows that leave, `gone (subscription, key, seq)`, makes due what waited right behind them. In the snapshot of
 * the statement they are still there.
 */
export function nextDueSql(schema: string): string {
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
