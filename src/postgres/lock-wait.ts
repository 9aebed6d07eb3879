/**
 * No lock of ours is waited for longer than a moment: behind a request that waits, everybody else's wait as well. Who asks again says
 * whom it waited for. Used by whatever locks rows or tables outside a user's own transaction.
 */
import { HoldfastError } from '../errors.ts';
import type { Database } from './database.ts';
import { sqlStateOf } from './sql-state.ts';

/** How long one request for a lock waits, in milliseconds; transactions of our own are over long before. */
export const LOCK_PATIENCE_MS = 1_000;

/** For the beginning of a transaction. */
export const SET_LOCAL_LOCK_PATIENCE = `SET LOCAL lock_timeout = ${LOCK_PATIENCE_MS}`;

/** For a statement that is a transaction of its own: to be read in it before anything is locked. */
export const LOCK_PATIENCE_CTE = `patience AS MATERIALIZED (SELECT set_config('lock_timeout', '${LOCK_PATIENCE_MS}', true) AS set)`;

interface Holder {
  readonly pid: number;
  readonly who: string;
  readonly what: string;
  readonly seconds: number;
}

/**
 * HF_LOCK_WAIT with the sessions that hold locks on these tables, when `error` says that a lock was not to be had; otherwise the
 * error itself. Never rejects. The error stays one that passes by itself.
 */
export async function explainLockWait(
  database: Database,
  error: unknown,
  { doing, tables }: { readonly doing: string; readonly tables: readonly string[] },
): Promise<unknown> {
  if (sqlStateOf(error) !== '55P03') return error;
  const holders = await lockHolders(database, tables).catch((): readonly Holder[] => []);
  const names = holders.map(({ pid, who, what, seconds }) => `${pid} (${who}, ${what} for ${seconds} s)`);
  return new HoldfastError(
    'HF_LOCK_WAIT',
    `${doing}: a lock was not to be had within ${LOCK_PATIENCE_MS} ms${names.length === 0 ? '' : `, held perhaps by process ${names.join(', ')}`}.`,
    {
      advice:
        'It is asked for again by itself. A transaction that was forgotten is ended with SELECT pg_terminate_backend(pid); a prepared one is in pg_prepared_xacts.',
      cause: error,
      details: { tables, holders },
    },
  );
}

/** Those whose transaction is older than our patience, the oldest first: a younger one cannot be what we waited for. */
async function lockHolders(database: Database, tables: readonly string[]): Promise<readonly Holder[]> {
  const { rows } = await database.query<{ holders: string }>(
    `SELECT coalesce(json_agg(h), '[]')::text AS holders FROM (
       SELECT l.pid, coalesce(nullif(a.application_name, ''), a.usename::text, 'a prepared transaction') AS who,
         coalesce(a.state, 'in a transaction') AS what,
         coalesce(round(extract(epoch FROM clock_timestamp() - min(a.xact_start))), 0)::int AS seconds
       FROM pg_locks l
       JOIN pg_class c ON c.oid = l.relation AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
       JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = $1
       LEFT JOIN pg_stat_activity a ON a.pid = l.pid
       WHERE c.relname = ANY ($2::text[]) AND l.granted AND l.mode <> 'AccessShareLock' AND l.pid IS DISTINCT FROM pg_backend_pid()
         AND coalesce(a.xact_start < clock_timestamp() - ${LOCK_PATIENCE_MS} * interval '1 millisecond', true)
       GROUP BY l.pid, a.application_name, a.usename, a.state ORDER BY seconds DESC LIMIT 5) AS h`,
    [database.schema, tables],
  );
  return JSON.parse(rows[0]?.holders ?? '[]') as readonly Holder[];
}
