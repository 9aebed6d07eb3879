/**
 * The table `delivery_attempt`: attempts marked, in a commit of their own, before they are made. Only messages that came back from a
 * process that died are marked, so the usual message pays nothing. Also holds, under the nil UUID, when an ordered consumer
 * first ran. Used by deliver.ts, parking.ts and consumer.ts.
 */
import type { SqlExecutor } from '../postgres/executor.ts';
import { quoteIdentifier } from '../postgres/quoting.ts';

const FIRST_RUN = '00000000-0000-0000-0000-000000000000';

export interface SuspectStore {
  /** Counts an attempt that is about to be made; resolves with how many are marked, this one included. */
  markAttempt(execute: SqlExecutor, messageId: string): Promise<number>;
  /** The process outlived it. */
  clear(execute: SqlExecutor, messageId: string): Promise<void>;
  prune(execute: SqlExecutor, olderThanMs: number): Promise<void>;
  /** When this consumer first ran, by the database's clock: now, at the first call of all. */
  firstRunAt(execute: SqlExecutor): Promise<Date>;
}

export function createSuspectStore(schema: string, consumer: string): SuspectStore {
  const table = `${quoteIdentifier(schema)}.delivery_attempt`;
  return {
    async markAttempt(execute, messageId) {
      const rows = await execute(
        `INSERT INTO ${table} AS a (consumer, message_id, attempts) VALUES ($1, $2, 1)
         ON CONFLICT (consumer, message_id) DO UPDATE SET attempts = a.attempts + 1, at = now() RETURNING attempts::text AS marked`,
        [consumer, messageId],
      );
      return Number(rows[0]?.['marked']);
    },
    async clear(execute, messageId) {
      await execute(`DELETE FROM ${table} WHERE consumer = $1 AND message_id = $2`, [consumer, messageId]);
    },
    async prune(execute, olderThanMs) {
      await execute(
        `DELETE FROM ${table} WHERE consumer = $1 AND message_id <> $2 AND at < now() - $3::float8 * interval '1 millisecond'`,
        [consumer, FIRST_RUN, olderThanMs],
      );
    },
    async firstRunAt(execute) {
      const rows = await execute(
        `INSERT INTO ${table} AS a (consumer, message_id, attempts) VALUES ($1, $2, 0)
         ON CONFLICT (consumer, message_id) DO UPDATE SET attempts = a.attempts RETURNING (extract(epoch FROM at) * 1000)::text AS ms`,
        [consumer, FIRST_RUN],
      );
      return new Date(Number(rows[0]?.['ms']));
    },
  };
}
