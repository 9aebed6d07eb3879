/**
 * The doctor's look at the server: its version, its settings, and whether it takes writes and connections.
 */
import type { CheckName } from './checks.ts';
import { rowsBySql } from '../reads/reads.ts';
import type { Check, CheckFinding } from './finding.ts';

const OLDEST_MAJOR = 14;

/** A role that may not see of what kind the sessions of others are sees that they have a database. */
const CLIENTS = `coalesce(backend_type, 'client backend') = 'client backend' AND datid IS NOT NULL`;

export const checkServer: Check = async (database) => {
  const rows = await rowsBySql<{ name: string; setting: string }>(
    database,
    `SELECT name, setting FROM pg_settings WHERE name IN ('server_version_num', 'fsync', 'full_page_writes', 'synchronous_commit',
       'autovacuum', 'track_counts', 'default_transaction_read_only', 'max_connections', 'server_version', 'server_encoding',
       'synchronous_standby_names')`,
  );
  const [facts] = await rowsBySql<ServerFacts>(
    database,
    `SELECT pg_is_in_recovery() AS standby,
       (SELECT count(*)::int FROM pg_stat_activity WHERE ${CLIENTS}) AS connections,
       (SELECT count(*)::int FROM pg_stat_replication WHERE sync_state IN ('sync', 'quorum')) AS synchronous,
       pg_has_role('pg_read_all_stats', 'USAGE') AS "seesAll"`,
  );
  const limits = await rowsBySql<ConnectionLimit>(
    database,
    `SELECT 'role' AS "of", r.rolname::text AS name, r.rolconnlimit::int AS most, count(a.pid)::int AS used
     FROM pg_roles r JOIN pg_stat_activity a ON a.usesysid = r.oid AND ${CLIENTS}
     WHERE r.rolconnlimit >= 0 AND NOT r.rolsuper AND has_schema_privilege(r.oid, to_regnamespace(quote_ident($1))::oid, 'USAGE')
     GROUP BY 2, 3
     UNION ALL
     SELECT 'database', d.datname::text, d.datconnlimit::int, count(a.pid)::int
     FROM pg_database d JOIN pg_stat_activity a ON a.datid = d.oid AND ${CLIENTS}
     WHERE d.datname = current_database() AND d.datconnlimit >= 0 GROUP BY 2, 3`,
    [database.schema],
  );
  const settings = new Map(rows.map(({ name, setting }) => [name, setting]));
  const none: ServerFacts = { standby: false, connections: 0, synchronous: 0, seesAll: false };
  return [...judgeServer(settings, facts ?? none), ...limits.flatMap(judgeConnectionLimit)];
};

interface Weakness extends CheckFinding {
  readonly setting: string;
}

const switchedOn = (setting: string): string => `ALTER SYSTEM SET ${setting} = on; SELECT pg_reload_conf();`;

/** Settings that someone turned off, and what that does. */
const WEAKNESSES: readonly Weakness[] = [
  {
    setting: 'fsync',
    level: 'error',
    check: 'postgres.fsync',
    what: 'fsync is off: a power failure can corrupt or lose what was committed.',
    advice: 'Turn it on: ALTER SYSTEM SET fsync = on.',
    repair: switchedOn('fsync'),
  },
  {
    setting: 'full_page_writes',
    level: 'warn',
    check: 'postgres.full-page-writes',
    what: 'full_page_writes is off: a power failure can tear pages.',
    advice: 'Turn it on, unless the file system writes pages whole.',
    repair: switchedOn('full_page_writes'),
  },
  {
    setting: 'synchronous_commit',
    level: 'warn',
    check: 'postgres.synchronous-commit',
    what: 'synchronous_commit is off: a crash of the server can take back the last commits, with their messages.',
    advice: 'Turn it on for services that send messages. The relay turns it off by itself where that is safe.',
    repair: switchedOn('synchronous_commit'),
  },
  {
    setting: 'autovacuum',
    level: 'warn',
    check: 'postgres.autovacuum',
    what: 'autovacuum is off: pruned rows and moved cursors pile up.',
    advice: 'Turn it on: ALTER SYSTEM SET autovacuum = on.',
    repair: switchedOn('autovacuum'),
  },
  {
    setting: 'track_counts',
    level: 'warn',
    check: 'postgres.track-counts',
    what: 'track_counts is off: autovacuum does not know what was changed, and does nothing.',
    advice: 'Turn it on: ALTER SYSTEM SET track_counts = on.',
    repair: switchedOn('track_counts'),
  },
];

interface ServerFacts {
  readonly standby: boolean;
  readonly connections: number;
  /** Standbys that a commit can wait for. */
  readonly synchronous: number;
  /** Whether the role may see these. */
  readonly seesAll: boolean;
}

/** Pure. */
export function judgeServer(settings: ReadonlyMap<string, string>, facts: ServerFacts): readonly CheckFinding[] {
  const weaknesses = WEAKNESSES.filter(({ setting }) => settings.get(setting) === 'off');
  return [
    judgeVersion(settings),
    judgeWrites(settings, facts),
    judgeEncoding(settings),
    ...weaknesses.map(({ setting: _setting, ...found }): CheckFinding => found),
    judgeConnections(settings, facts),
    judgeStandbys(settings, facts),
  ].filter((finding) => finding !== null);
}

function judgeVersion(settings: ReadonlyMap<string, string>): CheckFinding | null {
  if (Math.floor(Number(settings.get('server_version_num') ?? 0) / 10_000) >= OLDEST_MAJOR) return null;
  const version = settings.get('server_version') ?? 'of unknown version';
  return {
    level: 'error',
    check: 'postgres.version',
    what: `PostgreSQL is ${version}.`,
    advice: `Holdfast needs ${OLDEST_MAJOR} or later.`,
  };
}

function judgeWrites(settings: ReadonlyMap<string, string>, { standby }: ServerFacts): CheckFinding | null {
  if (standby) {
    return {
      level: 'error',
      check: 'postgres.standby',
      what: 'This server is a standby: it takes no writes.',
      advice: 'Connect to the server that takes writes, by a name or proxy that follows the primary.',
    };
  }
  if (settings.get('default_transaction_read_only') !== 'on') return null;
  return {
    level: 'error',
    check: 'postgres.read-only',
    what: 'default_transaction_read_only is on.',
    advice: 'Turn it off for the roles of services and relays.',
    repair: 'ALTER SYSTEM RESET default_transaction_read_only; SELECT pg_reload_conf();',
  };
}

function judgeEncoding(settings: ReadonlyMap<string, string>): CheckFinding | null {
  const encoding = settings.get('server_encoding') ?? 'UTF8';
  if (encoding === 'UTF8') return null;
  return {
    level: 'warn',
    check: 'postgres.encoding',
    what: `The database is in ${encoding}: what it cannot write, such as an emoji, is refused, and makes a run stuck.`,
    advice:
      "Move to a database in UTF8 (CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0), or keep such text out of messages and runs.",
  };
}

function judgeConnections(settings: ReadonlyMap<string, string>, { connections }: ServerFacts): CheckFinding | null {
  const most = Number(settings.get('max_connections') ?? 0);
  if (most === 0 || connections <= most * NEARLY_ALL) return null;
  return {
    level: 'warn',
    check: 'postgres.connections',
    what: `${connections} of ${most} connections are in use.`,
    advice: 'Raise max_connections, or lower the pools; a relay uses two per subscription and shard, and a few more.',
    repair: `ALTER SYSTEM SET max_connections = ${most * 2}; -- then restart the server`,
  };
}

/** Of a limit of connections. */
const NEARLY_ALL = 0.85;

function judgeStandbys(settings: ReadonlyMap<string, string>, facts: ServerFacts): CheckFinding | null {
  const names = settings.get('synchronous_standby_names') ?? '';
  // Nobody who may not see them can tell that there are none; and what nobody waits for does not matter.
  const waits = !['off', 'local'].includes(settings.get('synchronous_commit') ?? 'on');
  if (names === '' || facts.synchronous > 0 || !facts.seesAll || facts.standby || !waits) return null;
  return {
    level: 'error',
    check: 'postgres.synchronous-standby',
    what: `synchronous_standby_names is '${names}', and no such standby is connected: each commit waits for one.`,
    advice: 'Start the standby. Until it is there, commits can go on without it, and a loss of this server loses them.',
    repair: "ALTER SYSTEM SET synchronous_standby_names = ''; SELECT pg_reload_conf();",
  };
}

/** Of a role or of the database. */
interface ConnectionLimit {
  readonly of: 'role' | 'database';
  readonly name: string;
  readonly most: number;
  readonly used: number;
}

function judgeConnectionLimit({ of, name, most, used }: ConnectionLimit): readonly CheckFinding[] {
  if (used <= most * NEARLY_ALL) return [];
  const check: CheckName = 'postgres.role-connections';
  return [
    {
      level: 'warn',
      check,
      what: `The ${of} ${name} has ${used} of the ${most} connections that it may have.`,
      advice: 'Raise the limit, or lower the pools of what uses it.',
      repair: `ALTER ${of.toUpperCase()} "${name.replaceAll('"', '""')}" CONNECTION LIMIT ${Math.max(10, most * 2)};`,
    },
  ];
}
