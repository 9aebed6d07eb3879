/**
 * What a relay said to the database before there were revisions: while a new version is rolled out, such relays run beside those of now.
 * Of one shard, with order per key.
 */
import type { Database } from '../../src/postgres/database.ts';

export interface OldRelay {
  /** Takes the lease, whoever has it. */
  take(): Promise<void>;
  /** The seqs that it would publish now, as the log has them. */
  redrivable(): Promise<readonly number[]>;
  /** After they were published. */
  unpark(...seqs: number[]): Promise<void>;
  /** After one was refused. */
  parkAgain(seq: number, retryInMs: number | null): Promise<void>;
}

const FIRST =
  '(SELECT q.seq FROM holdfast.parked_message q WHERE q.subscription = $1 AND q.key = p.key ORDER BY q.seq LIMIT 1)';
const DUE = `SELECT seq, key, next_attempt_at FROM holdfast.parked_message p
  WHERE subscription = $1 AND next_attempt_at <= statement_timestamp()`;
const FENCE = `SELECT 1 FROM holdfast.subscription WHERE name = $1 AND shard = 0 AND lease_owner IS NOT NULL FOR SHARE`;

export function oldRelay(database: Database, subscription = 'main'): OldRelay {
  return {
    async take() {
      await database.query(
        `UPDATE holdfast.subscription SET lease_owner = gen_random_uuid()::text, lease_epoch = lease_epoch + 1,
           lease_until = clock_timestamp() + interval '1 minute' WHERE name = $1`,
        [subscription],
      );
    },
    async redrivable() {
      const { rows } = await database.query<{ seq: number }>(
        `WITH head AS MATERIALIZED (${DUE} AND key IS NOT NULL AND ${FIRST} = seq ORDER BY next_attempt_at LIMIT 100)
         SELECT seq::int FROM (
           SELECT p.* FROM head CROSS JOIN LATERAL (
             SELECT seq, bool_and(state = 'behind' OR coalesce(next_attempt_at <= statement_timestamp(), false)) OVER (ORDER BY seq) AS free
             FROM holdfast.parked_message WHERE subscription = $1 AND key = head.key ORDER BY seq) AS p
           UNION ALL (SELECT seq, true FROM (${DUE} AND key IS NULL) AS keyless)) AS candidate WHERE free ORDER BY seq`,
        [subscription],
      );
      return rows.map(({ seq }) => seq);
    },
    async unpark(...seqs) {
      await database.query(
        `WITH fence AS MATERIALIZED (${FENCE}),
         gone AS (DELETE FROM holdfast.parked_message USING fence WHERE subscription = $1 AND seq = ANY ($2::bigint[]) RETURNING subscription, key, seq)
         UPDATE holdfast.parked_message p SET next_attempt_at = clock_timestamp()
         FROM (SELECT DISTINCT subscription, key FROM gone WHERE key IS NOT NULL) AS k
         CROSS JOIN LATERAL (
           SELECT q.seq, q.state FROM holdfast.parked_message q
           WHERE q.subscription = k.subscription AND q.key = k.key AND NOT EXISTS (SELECT 1 FROM gone g WHERE g.seq = q.seq)
           ORDER BY q.seq LIMIT 1) AS n
         WHERE p.subscription = k.subscription AND p.seq = n.seq AND n.state = 'behind'`,
        [subscription, seqs],
      );
    },
    async parkAgain(seq, retryInMs) {
      await database.query(
        `INSERT INTO holdfast.parked_message AS p (subscription, seq, id, topic, key, lane, state, reason, error, attempts, next_attempt_at)
         SELECT $1, o.seq, o.id, o.topic, o.key, o.lane, 'failed', 'the broker refuses it for now', 'Error: no', 1,
           clock_timestamp() + $3 * interval '1 millisecond'
         FROM holdfast.outbox o WHERE seq = $2
         ON CONFLICT (subscription, seq) DO UPDATE SET state = excluded.state, reason = excluded.reason, error = excluded.error,
           attempts = excluded.attempts, next_attempt_at = excluded.next_attempt_at`,
        [subscription, seq, retryInMs],
      );
    },
  };
}
