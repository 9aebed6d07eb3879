/**
 * Whether a pooler stands between us and PostgreSQL that gives each transaction another session (PgBouncer in transaction mode, and its
 * like). What needs a session is refused there: settings would stay behind in sessions of other services, prepared statements and
 * LISTEN would be gone in the next transaction. Leaves nothing behind.
 */
import type pg from 'pg';
import { HoldfastError } from '../errors.ts';
import { pidOf } from './backend.ts';
import type { Database } from './database.ts';
import { translateSqlError } from './sql-state.ts';

const PROBE_MS = 10_000;
/** A busy pooler may by chance give two of our connections sessions of their own. */
const LOOKS = 3;

/** Rejects with HF_DATABASE_POOLED, or with what translateSqlError makes of the driver's errors. A server without a pooler is asked one question. */
export async function refuseTransactionPooler(database: Database, who: string): Promise<void> {
  if (await isPooled(database).catch((error: unknown) => Promise.reject(translateSqlError(error)))) throw pooled(who);
}

/** Rejects with the driver's errors. */
export async function isPooled(database: Database): Promise<boolean> {
  const one = await database.dedicatedConnection({ onLost: () => {}, queryTimeoutMs: PROBE_MS });
  try {
    // A pooler says a number of its own when a client connects.
    if ((await backendOf(one)) === pidOf(one)) return false;
    const other = await database.dedicatedConnection({ onLost: () => {}, queryTimeoutMs: PROBE_MS });
    try {
      for (let look = 0; look < LOOKS; look += 1) if (await shareSessions(one, other)) return true;
      return false;
    } finally {
      await other.end().catch(() => {});
    }
  } finally {
    await one.end().catch(() => {});
  }
}

/** Two connections that are open at the same time have two sessions, and each keeps its own, unless somebody hands them around. */
async function shareSessions(one: pg.Client, other: pg.Client): Promise<boolean> {
  const first = await backendOf(one);
  await other.query('BEGIN');
  try {
    if ((await backendOf(other)) === first) return true;
    // The other one holds a session now, perhaps the one that was this one's.
    return (await backendOf(one)) !== first;
  } finally {
    await other.query('ROLLBACK').catch(() => {});
  }
}

async function backendOf(client: pg.Client): Promise<number> {
  const { rows } = await client.query<{ pid: string }>('SELECT pg_backend_pid()::text AS pid');
  return Number(rows[0]?.pid);
}

function pooled(who: string): HoldfastError {
  return new HoldfastError(
    'HF_DATABASE_POOLED',
    `${who} is connected through a pooler that gives each transaction another session.`,
    {
      advice:
        'Connect relays and workers to PostgreSQL itself, or to a pool in session mode (PgBouncer: pool_mode = session). Services that only send, and consumers, may stay behind the pooler.',
    },
  );
}
