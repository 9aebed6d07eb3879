/**
 * The doctor's look at PostgreSQL: its version and settings, sessions that hold up vacuum, and the tables themselves.
 */
import { strayFunctions } from '../../postgres/at-home.ts';
import type { Database } from '../../postgres/database.ts';
import { sequencesBehind } from '../../postgres/sequences.ts';
import { translateSqlError } from '../../postgres/sql-state.ts';
import type { Check, Finding } from './finding.ts';

const OLDEST_MAJOR = 14;

async function ask<R extends object>(database: Database, sql: string, values: readonly unknown[] = []): Promise<R[]> {
  const { rows } = await database.query(sql, values).catch((error: unknown) => {
    throw translateSqlError(error);
  });
  return rows as R[];
}

export const checkServer: Check = async (database) => {
  const settings = new Map(
    (
      await ask<{ name: string; setting: string }>(
        database,
        `SELECT name, setting FROM pg_settings WHERE name IN ('server_version_num', 'fsync', 'full_page_writes', 'synchronous_commit',
           'autovacuum', 'default_transaction_read_only', 'max_connections', 'idle_in_transaction_session_timeout', 'server_version', 'server_encoding')`,
      )
    ).map(({ name, setting }) => [name, setting]),
  );
  const [facts] = await ask<{ standby: boolean; connections: number }>(
    database,
    `SELECT pg_is_in_recovery() AS standby,
       (SELECT count(*)::int FROM pg_stat_activity WHERE backend_type = 'client backend') AS connections`,
  );
  return judgeServer(settings, facts ?? { standby: false, connections: 0 });
};

interface Weakness extends Finding {
  readonly setting: string;
}

/** Settings that someone turned off, and what that does. */
const WEAKNESSES: readonly Weakness[] = [
  {
    setting: 'fsync',
    level: 'error',
    check: 'postgres.fsync',
    what: 'fsync is off: a power failure can corrupt or lose what was committed.',
    advice: 'Turn it on: ALTER SYSTEM SET fsync = on.',
  },
  {
    setting: 'full_page_writes',
    level: 'warn',
    check: 'postgres.full-page-writes',
    what: 'full_page_writes is off: a power failure can tear pages.',
    advice: 'Turn it on, unless the file system writes pages whole.',
  },
  {
    setting: 'synchronous_commit',
    level: 'warn',
    check: 'postgres.synchronous-commit',
    what: 'synchronous_commit is off: a crash of the server can take back the last commits, with their messages.',
    advice: 'Turn it on for services that send messages. The relay turns it off by itself where that is safe.',
  },
  {
    setting: 'autovacuum',
    level: 'warn',
    check: 'postgres.autovacuum',
    what: 'autovacuum is off: pruned rows and moved cursors pile up.',
    advice: 'Turn it on: ALTER SYSTEM SET autovacuum = on.',
  },
];

interface ServerFacts {
  readonly standby: boolean;
  readonly connections: number;
}

/** Pure. */
export function judgeServer(settings: ReadonlyMap<string, string>, facts: ServerFacts): readonly Finding[] {
  const weaknesses = WEAKNESSES.filter(({ setting }) => settings.get(setting) === 'off');
  return [
    judgeVersion(settings),
    judgeWrites(settings, facts),
    judgeEncoding(settings),
    ...weaknesses.map(({ level, check, what, advice }): Finding => ({ level, check, what, advice })),
    judgeConnections(settings, facts),
  ].filter((finding) => finding !== null);
}

function judgeVersion(settings: ReadonlyMap<string, string>): Finding | null {
  if (Math.floor(Number(settings.get('server_version_num') ?? 0) / 10_000) >= OLDEST_MAJOR) return null;
  const version = settings.get('server_version') ?? 'of unknown version';
  return {
    level: 'error',
    check: 'postgres.version',
    what: `PostgreSQL is ${version}.`,
    advice: `Holdfast needs ${OLDEST_MAJOR} or later.`,
  };
}

function judgeWrites(settings: ReadonlyMap<string, string>, { standby }: ServerFacts): Finding | null {
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
  };
}

function judgeEncoding(settings: ReadonlyMap<string, string>): Finding | null {
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

function judgeConnections(settings: ReadonlyMap<string, string>, { connections }: ServerFacts): Finding | null {
  const most = Number(settings.get('max_connections') ?? 0);
  if (most === 0 || connections <= most * 0.85) return null;
  return {
    level: 'warn',
    check: 'postgres.connections',
    what: `${connections} of ${most} connections are in use.`,
    advice: 'Raise max_connections, or lower the pools; a relay uses two per subscription and shard, and a few more.',
  };
}

interface Holder {
  readonly who: string;
  readonly what: string;
  readonly age_s: number;
  readonly end: string;
}

/** Open transactions do not hold up the relay, but they keep vacuum from removing what it leaves behind. */
export const checkSessions: Check = async (database, { longTransactionMs }) => {
  const holders = await ask<Holder>(
    database,
    `SELECT format('pid %s (%s%s)', pid, usename, CASE WHEN application_name <> '' THEN ', ' || application_name ELSE '' END) AS who,
       state || ': ' || left(regexp_replace(query, '\\s+', ' ', 'g'), 80) AS what,
       extract(epoch FROM clock_timestamp() - xact_start)::float8 AS age_s,
       format('SELECT pg_terminate_backend(%s)', pid) AS end
     FROM pg_stat_activity
     WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
       AND (backend_xmin IS NOT NULL OR backend_xid IS NOT NULL) AND xact_start < clock_timestamp() - $1 * interval '1 millisecond'
     UNION ALL
     SELECT format('prepared transaction %L (%s)', gid, owner), 'PREPARE TRANSACTION',
       extract(epoch FROM clock_timestamp() - prepared)::float8, format('COMMIT PREPARED %L, or ROLLBACK PREPARED', gid)
     FROM pg_prepared_xacts
     WHERE database = current_database() AND prepared < clock_timestamp() - $1 * interval '1 millisecond'
     ORDER BY 3 DESC LIMIT 10`,
    [longTransactionMs],
  );
  const slots = await ask<{ slot_name: string; xids: number }>(
    database,
    `SELECT slot_name, greatest(age(xmin), age(catalog_xmin)) AS xids FROM pg_replication_slots
     WHERE NOT active AND greatest(age(xmin), age(catalog_xmin)) > 1000000`,
  );
  return [
    ...holders.map(({ who, what, age_s, end }): Finding => ({
      level: 'warn',
      check: 'postgres.long-transaction',
      what: `${who} has a transaction open for ${Math.round(age_s / 60)} min: ${what}`,
      advice: `Publishing goes on, but vacuum cannot clean up behind it. End it: ${end}.`,
    })),
    ...slots.map(({ slot_name, xids }): Finding => ({
      level: 'warn',
      check: 'postgres.replication-slot',
      what: `The replication slot ${slot_name} is inactive and holds back ${xids} transactions.`,
      advice: `Start its reader, or drop it: SELECT pg_drop_replication_slot('${slot_name}').`,
    })),
  ];
};

export const checkTables: Check = async (database) => {
  const findings: Finding[] = [];
  const caches = await ask<{ name: string; cache: number }>(
    database,
    `SELECT c.relname AS name, s.seqcache::int AS cache FROM pg_sequence s
     JOIN pg_class c ON c.oid = s.seqrelid JOIN pg_namespace n ON n.oid = c.relnamespace
     JOIN pg_depend d ON d.objid = c.oid AND d.deptype = 'i' JOIN pg_class t ON t.oid = d.refobjid AND t.relname = 'outbox'
     WHERE n.nspname = $1 AND s.seqcache <> 1`,
    [database.schema],
  );
  for (const { name, cache } of caches) {
    findings.push({
      level: 'error',
      check: 'tables.sequence-cache',
      what: `The sequence ${name} hands out ${cache} numbers at a time, so the order of the log is not the order of writing.`,
      advice: `ALTER SEQUENCE "${database.schema}"."${name}" CACHE 1.`,
    });
  }
  for (const { name, last, needed } of await sequencesBehind(database, database.schema)) {
    findings.push({
      level: 'error',
      check: 'tables.sequence-behind',
      what: `The sequence ${name} is at ${last}, but ${needed} is in use: what is written next may be refused, or lie where no reader looks.`,
      advice: 'Run `holdfast migrate`, which raises it; so does the start of a relay.',
    });
  }
  const stray = await strayFunctions(database, database.schema);
  if (stray.length > 0) {
    findings.push({
      level: 'error',
      check: 'tables.stray-functions',
      what: `Functions of the schema "${database.schema}" write into "${stray[0]?.schema}": it was renamed or copied.`,
      advice: `Run \`holdfast migrate --schema ${database.schema}\`, which points them at their own tables.`,
    });
  }
  const broken = await ask<{ name: string; problem: 'unlogged' | 'invalid' }>(
    database,
    `SELECT c.relname AS name, CASE WHEN c.relpersistence = 'u' THEN 'unlogged' ELSE 'invalid' END AS problem
     FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_index i ON i.indexrelid = c.oid
     WHERE n.nspname = $1 AND ((c.relpersistence = 'u' AND c.relkind = 'r') OR NOT i.indisvalid)`,
    [database.schema],
  );
  for (const { name, problem } of broken) {
    findings.push({
      level: 'error',
      check: `tables.${problem}`,
      what:
        problem === 'unlogged' ? `The table ${name} is unlogged: a crash empties it.` : `The index ${name} is invalid.`,
      advice:
        problem === 'unlogged'
          ? `ALTER TABLE "${database.schema}"."${name}" SET LOGGED.`
          : `REINDEX INDEX CONCURRENTLY "${database.schema}"."${name}".`,
    });
  }
  return findings;
};
