/**
 * The doctor's look at settings that a server, a database or a role has for all its sessions, and that a relay, worker or service does
 * not expect.
 */
import type { Database } from '../../postgres/database.ts';
import { quoteIdentifier } from '../../postgres/quoting.ts';
import { rowsBySql } from '../reads/reads.ts';
import type { CheckName } from './checks.ts';
import type { Check, CheckFinding } from './finding.ts';

/** A setting, and for whom it holds. Both null: for the whole server. */
export interface GivenSetting {
  readonly role: string | null;
  readonly database: string | null;
  readonly name: string;
  /** As it was given: '5s', '250', 'off'. */
  readonly value: string;
}

interface Judgement {
  readonly level: CheckFinding['level'];
  readonly check: CheckName;
  readonly hurts: (value: string) => boolean;
  readonly so: string;
}

const timeLimit = (shortestMs: number, so: string): Judgement => ({
  level: 'warn',
  check: 'settings.timeout',
  hurts: (value) => {
    const ms = milliseconds(value);
    return ms !== null && ms > 0 && ms < shortestMs;
  },
  so,
});

/** By name. Time limits at which our own work would be cut off; longer ones are the user's choice. */
const JUDGED: Readonly<Record<string, Judgement>> = {
  statement_timeout: timeLimit(5_000, 'pages of the log, commits of runs and retention are cut off and done again.'),
  transaction_timeout: timeLimit(30_000, 'transactions of handlers and steps are cut off in the middle.'),
  lock_timeout: timeLimit(500, 'what waits for a lock for a moment, as every writer may, fails.'),
  idle_in_transaction_session_timeout: timeLimit(
    10_000,
    'the session of a handler that waits for something while its transaction is open is ended.',
  ),
  // Never shorter than what listens looks at its connection, which is every 15 seconds.
  idle_session_timeout: timeLimit(60_000, 'sessions that listen, and those of pools, are ended while nothing happens.'),
  default_transaction_isolation: {
    level: 'warn',
    check: 'settings.isolation',
    hurts: (value) => !['read committed', 'read uncommitted'].includes(value.toLowerCase()),
    so: 'statements that would have waited for each other fail and are repeated.',
  },
  default_transaction_read_only: {
    level: 'warn',
    check: 'settings.read-only',
    hurts: isOn,
    so: 'each write is refused.',
  },
  synchronous_commit: {
    level: 'warn',
    check: 'settings.synchronous-commit',
    hurts: isOff,
    so: 'a crash of the server takes back the last commits, with their messages.',
  },
  session_replication_role: {
    level: 'error',
    check: 'settings.replication-role',
    hurts: (value) => value.toLowerCase() !== 'origin',
    so: 'triggers do not fire: the audit can be changed, and a run that has ended can be begun again.',
  },
};

/** Told of by checkServer where they hold for the one who asks. */
const OF_SERVER = new Set(['default_transaction_read_only', 'synchronous_commit']);

export const checkSettings: Check = async (database) => {
  const given = await rowsBySql<GivenSetting>(
    database,
    `SELECT r.rolname::text AS role, d.datname::text AS database, split_part(setting, '=', 1) AS name,
       substr(setting, strpos(setting, '=') + 1) AS value
     FROM pg_db_role_setting s CROSS JOIN LATERAL unnest(s.setconfig) AS setting
     LEFT JOIN pg_roles r ON r.oid = s.setrole LEFT JOIN pg_database d ON d.oid = s.setdatabase
     WHERE (s.setdatabase = 0 OR d.datname = current_database()) AND (s.setrole = 0 OR r.oid IS NOT NULL
       AND has_schema_privilege(r.oid, to_regnamespace(quote_ident($1))::oid, 'USAGE'))
     ORDER BY 1, 2, 3`,
    [database.schema],
  );
  const own = await rowsBySql<{
    readonly name: string;
    readonly value: string;
    readonly role: string;
    readonly database: string;
  }>(
    database,
    // What a new session of this role has: this one has limits of the doctor's own.
    `SELECT name, reset_val AS value, current_user::text AS role, current_database()::text AS database
     FROM pg_settings WHERE name = ANY ($1::text[])`,
    [Object.keys(JUDGED)],
  );
  return judgeSettings([...ofServer(own, given, database), ...given]);
};

/** What neither the role nor the database nor whoever opened the connection has set. */
function ofServer(
  own: readonly { readonly name: string; readonly value: string; readonly role: string; readonly database: string }[],
  given: readonly GivenSetting[],
  { pool }: Database,
): readonly GivenSetting[] {
  const options: Readonly<Record<string, unknown>> = { ...pool.options };
  return own
    .filter(
      ({ name, role, database }) =>
        !OF_SERVER.has(name) &&
        // By the driver's names of them, or in its text of options.
        (options[name] === undefined || options[name] === false) &&
        !JSON.stringify([options['options'], options['connectionString']]).includes(name) &&
        !given.some(
          (each) =>
            each.name === name &&
            (each.role === null || each.role === role) &&
            (each.database === null || each.database === database),
        ),
    )
    .map(({ name, value }) => ({ role: null, database: null, name, value }));
}

/** Pure. */
export function judgeSettings(given: readonly GivenSetting[]): readonly CheckFinding[] {
  return given.flatMap((setting): readonly CheckFinding[] => {
    const judgement = JUDGED[setting.name];
    if (judgement === undefined || !judgement.hurts(setting.value)) return [];
    const { level, check, so } = judgement;
    const { who, repair } = placeOf(setting);
    return [
      {
        level,
        check,
        what: `${setting.name} is '${setting.value}' for ${who}: ${so}`,
        advice: 'Take it back, or give the roles of Holdfast another value; sessions that are open keep the old one.',
        repair,
      },
    ];
  });
}

function placeOf({ role, database, name }: GivenSetting): { readonly who: string; readonly repair: string } {
  if (role !== null) {
    const where = database === null ? '' : ` IN DATABASE ${quoteIdentifier(database)}`;
    return {
      who: `the role ${role}${database === null ? '' : ` in the database ${database}`}`,
      repair: `ALTER ROLE ${quoteIdentifier(role)}${where} RESET ${name};`,
    };
  }
  if (database !== null)
    return { who: `the database ${database}`, repair: `ALTER DATABASE ${quoteIdentifier(database)} RESET ${name};` };
  return { who: 'the whole server', repair: `ALTER SYSTEM RESET ${name}; SELECT pg_reload_conf();` };
}

const UNITS: Readonly<Record<string, number>> = {
  us: 0.001,
  ms: 1,
  s: 1_000,
  min: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/** A time as PostgreSQL reads it; without a unit, milliseconds. Null: it is none. */
function milliseconds(value: string): number | null {
  const [, number, unit = 'ms'] = /^'?\s*(\d+(?:\.\d+)?)\s*(us|ms|s|min|h|d)?\s*'?$/.exec(value) ?? [];
  return number === undefined ? null : Number(number) * (UNITS[unit] ?? 1);
}

function isOn(value: string): boolean {
  return ['on', 'true', 'yes', '1', 't', 'y'].includes(value.toLowerCase());
}

function isOff(value: string): boolean {
  return ['off', 'false', 'no', '0', 'f', 'n'].includes(value.toLowerCase());
}
