/**
 * The table `delivery_attempt`: attempts, marked in a commit of their own before they are made. Only messages that came back because a
 * process died are marked, so the usual message costs nothing. The table also holds what is known of the consumer itself, under ids
 * that no message has: when an ordered one first ran, and the identity of its name.
 */
import type { SqlExecutor } from '../../postgres/executor.ts';
import { quoteIdentifier } from '../../postgres/quoting.ts';

const FIRST_RUN = '00000000-0000-0000-0000-000000000000';
const IDENTITY = '00000000-0000-0000-0000-000000000001';

export interface SuspectStore {
  /** Counts an attempt that is about to be made; resolves with how many are marked, this one included. */
  markAttempt(execute: SqlExecutor, messageId: string): Promise<number>;
  /** The process outlived it. */
  clear(execute: SqlExecutor, messageId: string): Promise<void>;
  prune(execute: SqlExecutor, olderThanMs: number): Promise<void>;
  /** When this consumer first ran, by the database's clock: now, at the first call of all. */
  firstRunAt(execute: SqlExecutor): Promise<Date>;
  /** The identity of its name, as JSON; null before its first start. */
  identity(execute: SqlExecutor): Promise<string | null>;
  /** Resolves with false, and has done nothing, when what is stored is no longer `known`. */
  storeIdentity(execute: SqlExecutor, known: string | null, next: string): Promise<boolean>;
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
        `DELETE FROM ${table} WHERE consumer = $1 AND message_id <> ALL ($2::uuid[]) AND at < now() - $3::float8 * interval '1 millisecond'`,
        [consumer, `{${FIRST_RUN},${IDENTITY}}`, olderThanMs],
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
    async identity(execute) {
      const rows = await execute(`SELECT identity FROM ${table} WHERE consumer = $1 AND message_id = $2`, [
        consumer,
        IDENTITY,
      ]);
      return (rows[0]?.['identity'] as string | null | undefined) ?? null;
    },
    async storeIdentity(execute, known, next) {
      const rows = await execute(
        `INSERT INTO ${table} AS a (consumer, message_id, attempts, identity) VALUES ($1, $2, 0, $4::text)
         ON CONFLICT (consumer, message_id) DO UPDATE SET identity = $4::text WHERE a.identity IS NOT DISTINCT FROM $3::text
         RETURNING 1 AS stored`,
        [consumer, IDENTITY, known, next],
      );
      return rows.length > 0;
    },
  };
}
