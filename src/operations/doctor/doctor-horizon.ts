/**
 * The doctor's look at what holds the xmin horizon: sessions, prepared transactions, replication slots and queries on standbys. Open
 * transactions do not hold up the relay, but they keep vacuum from removing what it leaves behind.
 */
import type { Database } from '../../postgres/database.ts';
import { rowsBySql } from '../reads/reads.ts';
import type { Check, CheckFinding, SettledOptions } from './finding.ts';

export const checkSessions: Check = async (database, options) => [
  ...(await longTransactions(database, options)),
  ...(await preparedTransactions(database, options)),
  ...(await slots(database, options)),
  ...(await standbys(database, options)),
  ...(await unseenSessions(database)),
];

/** A moment as text, in UTC. */
const moment = (column: string): string => `to_char(${column} AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS"Z"')`;

const ADVICE = 'Publishing goes on, but vacuum cannot clean up behind it.';

interface OpenSession {
  readonly pid: number;
  readonly who: string;
  readonly what: string;
  readonly since: string;
  readonly age_s: number;
  readonly xids: string;
}

async function longTransactions(
  database: Database,
  { longTransactionMs }: SettledOptions,
): Promise<readonly CheckFinding[]> {
  const found = await rowsBySql<OpenSession>(
    database,
    `SELECT pid::int AS pid, concat_ws(', ', usename, nullif(application_name, ''), host(client_addr)) AS who,
       concat_ws(': ', state, left(regexp_replace(query, '\\s+', ' ', 'g'), 80)) AS what, ${moment('xact_start')} AS since,
       extract(epoch FROM clock_timestamp() - xact_start)::float8 AS age_s,
       greatest(age(backend_xmin), age(backend_xid))::text AS xids
     FROM pg_stat_activity
     -- A vacuum holds nobody up; what a standby holds is told of below.
     WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type NOT IN ('autovacuum worker', 'walsender')
       AND (backend_xmin IS NOT NULL OR backend_xid IS NOT NULL) AND xact_start < clock_timestamp() - $1 * interval '1 millisecond'
     ORDER BY xact_start LIMIT 10`,
    [longTransactionMs],
  );
  return found.map(({ pid, who, what, since, age_s, xids }) => ({
    level: 'warn',
    check: 'postgres.long-transaction',
    what: `pid ${pid} (${who}) has a transaction open since ${since}, for ${minutes(age_s)}, and holds back ${xids} transactions: ${what}`,
    advice: `${ADVICE} End it: SELECT pg_terminate_backend(${pid}).`,
    repair: `SELECT pg_terminate_backend(${pid});`,
  }));
}

async function preparedTransactions(
  database: Database,
  { longTransactionMs }: SettledOptions,
): Promise<readonly CheckFinding[]> {
  const found = await rowsBySql<Record<'gid' | 'owner' | 'since', string> & { readonly age_s: number }>(
    database,
    `SELECT quote_literal(gid) AS gid, owner, ${moment('prepared')} AS since,
       extract(epoch FROM clock_timestamp() - prepared)::float8 AS age_s
     FROM pg_prepared_xacts
     WHERE database = current_database() AND prepared < clock_timestamp() - $1 * interval '1 millisecond'
     ORDER BY pg_prepared_xacts.prepared LIMIT 10`,
    [longTransactionMs],
  );
  return found.map(({ gid, owner, since, age_s }) => ({
    level: 'warn',
    check: 'postgres.prepared-transaction',
    what: `The transaction ${gid} of ${owner} was prepared at ${since}, and has been open for ${minutes(age_s)}.`,
    advice: `${ADVICE} Ask whoever prepared it whether it is to be COMMIT PREPARED; if nobody knows, ROLLBACK PREPARED.`,
    repair: `ROLLBACK PREPARED ${gid}; -- or COMMIT PREPARED ${gid};`,
  }));
}

interface Slot {
  /** As a literal. */
  readonly name: string;
  readonly active: boolean;
  readonly xids: string;
  /** Of ordinary tables, and not only of catalogs. */
  readonly rows: boolean;
  readonly lost: boolean;
  readonly wal_bytes: string | null;
}

/** An active slot holds rows back only for a standby that asks for it. */
async function slots(database: Database, { limits }: SettledOptions): Promise<readonly CheckFinding[]> {
  const found = await rowsBySql<Slot>(
    database,
    `SELECT quote_literal(slot_name) AS name, active, coalesce(greatest(age(xmin), age(catalog_xmin)), 0)::text AS xids,
       xmin IS NOT NULL AS rows, coalesce(wal_status IN ('lost', 'unreserved'), false) AS lost,
       pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn() ELSE pg_current_wal_lsn() END, restart_lsn)::text AS wal_bytes
     FROM pg_replication_slots ORDER BY slot_name`,
  );
  return found.flatMap(({ name, active, xids, rows, lost, wal_bytes }) => {
    const findings: CheckFinding[] = [];
    const drop = `SELECT pg_drop_replication_slot(${name});`;
    if (!active && Number(xids) > limits.horizonXids)
      findings.push({
        level: 'warn',
        check: 'postgres.replication-slot',
        what: `The replication slot ${name} is inactive and holds back ${xids} transactions.`,
        advice: `Start its reader, or drop it: ${drop}`,
        repair: drop,
      });
    if (active && rows && Number(xids) > limits.horizonXids)
      findings.push(standbyFeedback(`of the slot ${name}`, xids));
    if (lost || Number(wal_bytes ?? 0) > limits.slotWalBytes)
      findings.push({
        level: 'warn',
        check: 'postgres.slot-wal',
        what: lost
          ? `The replication slot ${name} has lost WAL that its reader needs, or is about to.`
          : `The replication slot ${name} keeps ${(Number(wal_bytes) / 1_073_741_824).toFixed(1)} GiB of WAL.`,
        advice: `Start its reader, or drop it: ${drop} max_slot_wal_keep_size sets a limit.`,
        repair: drop,
      });
    return findings;
  });
}

async function standbys(database: Database, { limits }: SettledOptions): Promise<readonly CheckFinding[]> {
  const found = await rowsBySql<{ readonly who: string; readonly xids: string }>(
    database,
    `SELECT concat_ws(' at ', nullif(application_name, ''), host(client_addr)) AS who, age(backend_xmin)::text AS xids
     FROM pg_stat_replication WHERE age(backend_xmin) > $1 ORDER BY age(backend_xmin) DESC`,
    [limits.horizonXids],
  );
  return found.map(({ who, xids }) => standbyFeedback(who, xids));
}

function standbyFeedback(who: string, xids: string): CheckFinding {
  return {
    level: 'warn',
    check: 'postgres.standby-feedback',
    what: `A query on the standby ${who} holds back ${xids} transactions.`,
    advice: `${ADVICE} End the query there, or turn hot_standby_feedback off there, whereupon long queries are cancelled instead.`,
    repair: 'ALTER SYSTEM SET hot_standby_feedback = off; SELECT pg_reload_conf(); -- on the standby',
  };
}

async function unseenSessions(database: Database): Promise<readonly CheckFinding[]> {
  const [row] = await rowsBySql<{ readonly role: string; readonly sees: boolean }>(
    database,
    `SELECT quote_ident(current_user) AS role, pg_has_role('pg_read_all_stats', 'USAGE') AS sees`,
  );
  if (row === undefined || row.sees) return [];
  return [
    {
      level: 'note',
      check: 'doctor.unseen',
      what: `The role ${row.role} sees of the sessions of other roles, and of standbys, only that they are there: not who holds the xmin horizon or hangs.`,
      advice: 'Give it pg_monitor, which changes nothing and sees no rows of tables.',
      repair: `GRANT pg_monitor TO ${row.role};`,
    },
  ];
}

function minutes(seconds: number): string {
  return seconds < 7_200 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3_600).toFixed(1)} hours`;
}
