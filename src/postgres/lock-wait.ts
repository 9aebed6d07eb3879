/**
 * No lock of ours is waited for longer than a moment: behind a request that waits, everybody else's wait as well. Who asks again says
 * whom it waited for.
 */
import type pg from 'pg';
import { HoldfastError } from '../errors.ts';
import type { Database } from './database.ts';
import { withOwnTypes } from './own-results.ts';
import { sqlStateOf } from './sql-state.ts';

/** How long one request for a lock waits, in milliseconds; transactions of our own are over long before. */
export const LOCK_PATIENCE_MS = 1_000;

/** The SQLSTATE of a lock that was not to be had. */
export const LOCK_NOT_AVAILABLE = '55P03';

/** For the beginning of a transaction. */
export const SET_LOCAL_LOCK_PATIENCE = `SET LOCAL lock_timeout = ${LOCK_PATIENCE_MS}`;

/** Takes the advisory lock $1 until the transaction ends, which is ours alone. Its number can be guessed, so it too is not waited for long. */
export const PATIENT_LOCK_SQL = `SELECT pg_advisory_xact_lock($1::bigint)::text AS locked
  FROM set_config('lock_timeout', '${LOCK_PATIENCE_MS}', true)`;

export interface LockWait {
  /** What is being done, for the message. */
  readonly doing: string;
  /** The tables whose locks it needs; default: all of the schema. */
  readonly tables?: readonly string[];
  /** The advisory lock that it needs. */
  readonly advisory?: string;
  /** How long the whole may take by our own clock, in milliseconds; default a minute. */
  readonly timeoutMs?: number;
}

/** Longer than a transaction of ours takes, in milliseconds; only a peer that has fallen silent needs it. */
export const TRANSACTION_MS = 60_000;

/** Runs what locks these tables; its rejection says who holds them, when that was the reason. */
export async function explainingLockWaits<T>(database: Database, wait: LockWait, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw await explainLockWait(database, error, wait);
  }
}

/** A transaction of ours that waits a moment for each of its locks; its rejection says who holds them. */
export async function patientTransaction<T>(
  database: Database,
  wait: LockWait,
  work: (client: pg.PoolClient) => Promise<T>,
): Promise<T> {
  return explainingLockWaits(database, wait, () =>
    database.transaction(
      async (client) => {
        await client.query(SET_LOCAL_LOCK_PATIENCE);
        return work(withOwnTypes(client));
      },
      { timeoutMs: wait.timeoutMs ?? TRANSACTION_MS },
    ),
  );
}

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
export async function explainLockWait(database: Database, error: unknown, wait: LockWait): Promise<unknown> {
  if (sqlStateOf(error) !== LOCK_NOT_AVAILABLE) return error;
  const { doing } = wait;
  const holders = await lockHolders(database, wait).catch((): readonly Holder[] => []);
  const names = holders.map(({ pid, who, what, seconds }) => `${pid} (${who}, ${what} for ${seconds} s)`);
  return new HoldfastError(
    'HF_LOCK_WAIT',
    `${doing}: a lock was not to be had within ${LOCK_PATIENCE_MS} ms${names.length === 0 ? '' : `, held perhaps by process ${names.join(', ')}`}.`,
    {
      advice:
        'It is asked for again by itself. A transaction that was forgotten is ended with SELECT pg_terminate_backend(pid); a prepared one is in pg_prepared_xacts.',
      cause: error,
      details: { ...wait, holders },
    },
  );
}

/** Those whose transaction is older than our patience, the oldest first: a younger one cannot be what we waited for. */
async function lockHolders(database: Database, wait: LockWait): Promise<readonly Holder[]> {
  const { tables = null, advisory = null } = wait;
  const { rows } = await database.query<{ holders: string }>(
    `SELECT coalesce(json_agg(h), '[]')::text AS holders FROM (
       SELECT l.pid, coalesce(nullif(a.application_name, ''), a.usename::text, 'a prepared transaction') AS who,
         coalesce(a.state, 'in a transaction') AS what,
         coalesce(round(extract(epoch FROM clock_timestamp() - min(a.xact_start))), 0)::int AS seconds
       FROM pg_locks l
       LEFT JOIN pg_class c ON c.oid = l.relation AND c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = $1)
       LEFT JOIN pg_stat_activity a ON a.pid = l.pid
       WHERE l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
         AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid()
         AND (c.relname IS NOT NULL AND ($2::text[] IS NULL OR c.relname = ANY ($2)) AND l.mode <> 'AccessShareLock'
           OR l.locktype = 'advisory' AND l.objsubid = 1 AND (l.classid::bigint << 32 | l.objid::bigint) = $3::bigint)
         AND coalesce(a.xact_start < clock_timestamp() - ${LOCK_PATIENCE_MS} * interval '1 millisecond', true)
       GROUP BY l.pid, a.application_name, a.usename, a.state ORDER BY seconds DESC LIMIT 5) AS h`,
    [database.schema, tables, advisory],
  );
  return JSON.parse(rows[0]?.holders ?? '[]') as readonly Holder[];
}
