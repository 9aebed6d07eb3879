/**
 * Why no answer comes to a statement: it hangs in the server, or the network has fallen silent. A server process that waits for us while we
 * wait for it does not hear us, or is not heard. Its transaction is ended either way.
 */
import type pg from 'pg';
import { END_BACKEND, pidOf } from './backend.ts';
import { noteSilence } from './checkout.ts';
import type { Database } from './database.ts';
import { withOwnTypes } from './own-results.ts';
import { classifySqlError } from './sql-state.ts';

/** unknown: behind a pooler, which says numbers of its own, or where the server keeps to itself what its processes do. */
export type Unheard = 'hangs' | 'silent' | 'unknown';

export interface UnheardBackend {
  readonly pid: number | null;
  /** The number was answered by the server, and not said when the connection was made. */
  readonly isAnswered: boolean;
}

export interface SeenBackend {
  /** Whether the number is that of a process of the server. */
  readonly isNumbered: boolean;
  readonly isThere: boolean;
  /** As in pg_stat_activity; null: we may not see it. */
  readonly state: string | null;
  readonly waitEvent: string | null;
}

/** Its statement was sent long ago. */
export function whyUnheard({ isNumbered, isThere, state, waitEvent }: SeenBackend): Unheard {
  if (!isNumbered) return 'unknown';
  // It has ended, as it does when it waits for too long, and that was not heard either.
  if (!isThere) return 'silent';
  if (state === null || state === 'disabled') return 'unknown';
  return state.startsWith('idle') || waitEvent === 'ClientWrite' ? 'silent' : 'hangs';
}

const LOOK = `SELECT pg_backend_pid() AS own, seen.pid IS NOT NULL AS "isThere", seen.state, seen.wait_event AS "waitEvent"
  FROM (SELECT $1::integer AS pid) AS asked LEFT JOIN pg_stat_activity AS seen ON seen.pid = asked.pid`;
/** The number may have gone to another process of ours meanwhile; only one in a transaction as old as that is meant. */
const END = `${END_BACKEND} AND xact_start < clock_timestamp() - interval '500 milliseconds'`;

/** Looks at it, and ends it. Never rejects: a server that cannot be asked in time either is silent. */
export async function endUnheard(
  database: Database,
  { pid, isAnswered }: UnheardBackend,
  timeoutMs: number,
): Promise<Unheard> {
  if (pid === null) return 'unknown';
  // What lies idle in the pool may have fallen silent as well, and must not be asked.
  noteSilence(database.pool);
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<Unheard>((resolve) => {
    timer = setTimeout(() => resolve('silent'), timeoutMs);
  });
  const looked = database
    .withConnection((client) => lookAndEnd(client, { pid, isAnswered }), { timeoutMs })
    .then(whyUnheard)
    .catch((error: unknown) => (classifySqlError(error) === 'connection' ? 'silent' : 'unknown'));
  const why = await Promise.race([looked, late]);
  clearTimeout(timer);
  return why;
}

async function lookAndEnd(client: pg.PoolClient, { pid, isAnswered }: UnheardBackend): Promise<SeenBackend> {
  const own = withOwnTypes(client);
  const { rows } = await own.query<Omit<SeenBackend, 'isNumbered'> & { readonly own: number }>(LOOK, [pid]);
  await own.query(END, [pid]);
  const [seen] = rows;
  if (seen === undefined) throw new TypeError('A look at one server process has one row.');
  return { ...seen, isNumbered: isAnswered || seen.own === pidOf(client) };
}
