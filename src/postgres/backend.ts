/**
 * The server's side of a connection: its process, and ending it with what it does. To close a connection does not end a statement that
 * is running, nor let go of its locks.
 */
import type pg from 'pg';
import type { Database } from './database.ts';

/** Ends the process $1, if it is one of ours. */
export const END_BACKEND =
  'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = $1 AND usename = current_user AND datname = current_database()';

export interface EndBackendOptions {
  /** In milliseconds; default: that of the database. */
  readonly timeoutMs?: number;
  /** Only with a transaction that is older than this, in milliseconds: the number may belong to another process by now. Default 0. */
  readonly olderThanMs?: number;
}

/** The number of the server process, as it was said when the connection was made; null when none was said. */
export function pidOf(client: pg.ClientBase): number | null {
  const { processID } = client as { readonly processID?: unknown };
  return typeof processID === 'number' ? processID : null;
}

/** Rejects as a query does. Does nothing when the number is not known. */
export async function endBackend(
  database: Database,
  pid: number | null,
  { timeoutMs, olderThanMs = 0 }: EndBackendOptions = {},
): Promise<void> {
  if (pid === null) return;
  const [text, values] =
    olderThanMs === 0
      ? [END_BACKEND, [pid]]
      : [`${END_BACKEND} AND xact_start < clock_timestamp() - $2 * interval '1 millisecond'`, [pid, olderThanMs]];
  await database.query(text, values, timeoutMs === undefined ? {} : { timeoutMs });
}
