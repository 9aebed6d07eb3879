/**
 * The doctor's look at the ways to and from the server: a pooler in between, sessions whose clients are gone, the queue of
 * notifications, and clocks that differ.
 */
import type { Database } from '../../postgres/database.ts';
import { isPooled } from '../../postgres/pooler.ts';
import { translateSqlError } from '../../postgres/sql-state.ts';
import { systemClock } from '../../runtime/clock.ts';
import { rowsBySql } from '../reads/reads.ts';
import type { Check, CheckFinding, SettledOptions } from './finding.ts';

export const checkConnections: Check = async (database, options) => [
  ...(await pooler(database)),
  ...(await deadListeners(database, options)),
  ...(await notifications(database, options)),
  ...(await clocks(database, options)),
];

async function pooler(database: Database): Promise<readonly CheckFinding[]> {
  const pooled = await isPooled(database).catch((error: unknown) => {
    throw translateSqlError(error);
  });
  if (!pooled) return [];
  return [
    {
      level: 'warn',
      check: 'postgres.pooler',
      what: 'A pooler stands between this process and PostgreSQL that gives each transaction another session.',
      advice:
        'Connect relays and workers to PostgreSQL itself, or to a pool in session mode. Services that only send, and consumers, may stay behind it.',
      repair: 'pool_mode = session ; in pgbouncer.ini, for the database that relays and workers name',
    },
  ];
}

/** A session that cannot write to its client is stopped in the middle of it, whatever it was about to do. */
async function deadListeners(database: Database, { limits }: SettledOptions): Promise<readonly CheckFinding[]> {
  const found = await rowsBySql<{ readonly pid: number; readonly who: string; readonly since: string }>(
    database,
    `SELECT pid::int AS pid, concat_ws(', ', usename, nullif(application_name, ''), host(client_addr)) AS who,
       to_char(state_change AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS"Z"') AS since
     FROM pg_stat_activity
     WHERE wait_event = 'ClientWrite' AND backend_type = 'client backend' AND state_change < clock_timestamp() - $1 * interval '1 millisecond'
     ORDER BY state_change LIMIT 10`,
    [limits.unreadMs],
  );
  return found.map(({ pid, who, since }) => ({
    level: 'warn',
    check: 'postgres.dead-listener',
    what: `pid ${pid} (${who}) has not been able to write to its client since ${since}: the client is gone, or does not read.`,
    advice:
      'See whether its process lives; if not, end the session. tcp_keepalives_idle has the server notice by itself.',
    repair: `SELECT pg_terminate_backend(${pid});`,
  }));
}

async function notifications(database: Database, { limits }: SettledOptions): Promise<readonly CheckFinding[]> {
  const [queue] = await rowsBySql<{
    readonly used: number;
    readonly oldest: number | null;
    readonly who: string | null;
  }>(
    database,
    // Who keeps it full is whoever listens and has a transaction open: the oldest of these is the likely one.
    `SELECT pg_notification_queue_usage() AS used, a.pid::int AS oldest, a.who FROM (SELECT) AS one
     LEFT JOIN LATERAL (
       SELECT pid, concat_ws(', ', usename, nullif(application_name, ''), host(client_addr)) AS who FROM pg_stat_activity
       WHERE pid <> pg_backend_pid() AND backend_type = 'client backend' AND (xact_start IS NOT NULL OR wait_event = 'ClientWrite')
       ORDER BY coalesce(xact_start, state_change) LIMIT 1) AS a ON true`,
  );
  if (queue === undefined || queue.used <= limits.notifyQueue) return [];
  const { used, oldest, who } = queue;
  const suspect = oldest === null ? null : `pid ${oldest} (${who})`;
  return [
    {
      level: used > 0.5 ? 'error' : 'warn',
      check: 'postgres.notify-queue',
      what: `The queue of notifications is ${(used * 100).toFixed(used < 0.01 ? 4 : 0)} % full: a session that listens does not take them${suspect === null ? '' : `; the oldest transaction is that of ${suspect}`}.`,
      advice:
        'End the session that listens and has a transaction open. No session of Holdfast listens in a transaction.',
      ...(oldest === null ? {} : { repair: `SELECT pg_terminate_backend(${oldest});` }),
    },
  ];
}

/** What the way there and back may have taken is not counted. */
async function clocks(database: Database, { limits }: SettledOptions): Promise<readonly CheckFinding[]> {
  const { askedMs, answeredMs, serverMs } = await database.withConnection(async (client) => {
    const before = systemClock.now();
    const { rows } = await client.query<{ ms: string }>(
      'SELECT (extract(epoch FROM clock_timestamp()) * 1000)::text AS ms',
    );
    return { askedMs: before, answeredMs: systemClock.now(), serverMs: Number(rows[0]?.ms ?? before) };
  });
  return judgeClocks({ askedMs, answeredMs, serverMs }, limits.clockMs);
}

/** Pure. All in milliseconds since the epoch, the first two by the clock of this process. */
export function judgeClocks(
  { askedMs, answeredMs, serverMs }: Readonly<Record<'askedMs' | 'answeredMs' | 'serverMs', number>>,
  limitMs: number,
): readonly CheckFinding[] {
  const ahead = Math.max(askedMs - serverMs, serverMs - answeredMs, 0);
  if (ahead <= limitMs) return [];
  const direction = askedMs > serverMs ? 'ahead of' : 'behind';
  return [
    {
      level: 'warn',
      check: 'postgres.clock',
      what: `The clock of this process is ${(ahead / 1_000).toFixed(1)} s ${direction} that of PostgreSQL.`,
      advice:
        'Have both hosts keep their clocks by NTP. Leases and timers of runs go by the clock of PostgreSQL alone.',
    },
  ];
}
