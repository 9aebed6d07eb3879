/**
 * Looks for what will hurt: settings, leases, sessions and retention that make messages late, lost or the database slow. Every
 * finding says why it hurts and what to do. docs/doctor.md lists what is looked for.
 */
import { isHoldfastError } from '../../errors.ts';
import type { Database } from '../../postgres/database.ts';
import { migrationStatus } from '../../postgres/migrator.ts';
import { classifySqlError, sqlStateOf, translateSqlError } from '../../postgres/sql-state.ts';
import { missingPackage } from '../../runtime/missing-package.ts';
import { checkConnections } from './doctor-connections.ts';
import { checkDrift } from './doctor-drift.ts';
import { checkFlow } from './doctor-flow.ts';
import { checkGrants } from './doctor-grants.ts';
import { checkSessions } from './doctor-horizon.ts';
import { checkServer } from './doctor-postgres.ts';
import { checkJobs } from './doctor-jobs.ts';
import { checkOwnQueues, checkTransports } from './doctor-queues.ts';
import { checkRoles } from './doctor-roles.ts';
import { checkRoutes } from './doctor-routes.ts';
import { checkRuns } from './doctor-sagas.ts';
import { checkSettings } from './doctor-settings.ts';
import { checkStorage } from './doctor-storage.ts';
import { checkTables } from './doctor-tables.ts';
import { checkEnvironment } from './environment.ts';
import {
  explained,
  settleDoctorOptions,
  type Check,
  type DoctorOptions,
  type Finding,
  type CheckFinding,
} from './finding.ts';
import { limitedDatabase } from './limited-database.ts';

/** What {@link doctor} found. */
export interface Diagnosis {
  readonly findings: readonly Finding[];
  /** Names of all the checks that were made. */
  readonly checks: readonly string[];
}

type NamedCheck = readonly [name: string, check: Check];

const OF_SERVER: readonly NamedCheck[] = [
  ['server', checkServer],
  ['settings', checkSettings],
  ['sessions', checkSessions],
  ['connections', checkConnections],
];
/** They need the tables as this version knows them. */
const OF_TABLES: readonly NamedCheck[] = [
  ['environment', checkEnvironment],
  ['tables', checkTables],
  ['storage', checkStorage],
  ['flow', checkFlow],
  ['routes', checkRoutes],
  ['sagas', checkRuns],
  ['jobs', checkJobs],
  ['roles', checkRoles],
];
/** They compare the tables with what this version makes, which newer ones are not. */
const OF_VERSION: readonly NamedCheck[] = [
  ['drift', checkDrift],
  ['grants', checkGrants],
];

/** Rejects only when the database cannot be asked at all: HF_DATABASE_UNAVAILABLE, HF_PERMISSION for a login that is refused. */
export async function doctor(database: Database, options: DoctorOptions = {}): Promise<Diagnosis> {
  const settled = settleDoctorOptions(options);
  const limited = limitedDatabase(database);
  const found: CheckFinding[] = [];
  const checks: string[] = [];
  const make = async ([name, check]: NamedCheck): Promise<readonly CheckFinding[]> => {
    checks.push(name);
    const made = await check(limited, settled).catch((error: unknown) => [notMade(name, error)]);
    found.push(...made);
    return made;
  };
  const schema = await make(['schema', checkSchema]);
  for (const each of OF_SERVER) await make(each);
  const has = (check: CheckFinding['check']): boolean => schema.some((each) => each.check === check);
  const usable = !has('schema.pending') && !has('schema.changed');
  if (usable) for (const each of OF_TABLES) await make(each);
  if (usable && !has('schema.newer')) for (const each of OF_VERSION) await make(each);
  // It brings the clients of brokers, which a doctor of the database alone need not load.
  if (settled.redisUrls.length > 0)
    await make(['redis', async (...given) => (await import('./doctor-redis.ts')).checkRedis(...given)]);
  await make(['queues', checkOwnQueues]);
  if (settled.transports.length > 0) await make(['transports', checkTransports]);
  const rank = { error: 0, warn: 1, note: 2 };
  return { findings: found.map(explained).toSorted((a, b) => rank[a.level] - rank[b.level]), checks };
}

/** What one check could not see is no reason not to tell of the rest. Throws when the database is away. */
function notMade(name: string, error: unknown): CheckFinding {
  const kind = classifySqlError(error);
  if (kind === 'connection') throw translateSqlError(error);
  const said = error instanceof Error ? messageOf(error) : String(error);
  if (kind === 'permission' || isHoldfastError(error, 'HF_PERMISSION')) {
    // A login that is refused: nothing can be asked.
    if (sqlStateOf(error)?.startsWith('28') === true) throw translateSqlError(error);
    return {
      level: 'note',
      check: 'doctor.unseen',
      what: `The role that asks may not see all of what the check '${name}' looks at: ${said}`,
      advice: 'Ask as a role with the rights of a viewer (docs/roles.md), or as the owner of the schema.',
    };
  }
  return {
    level: 'note',
    check: 'doctor.unfinished',
    what: `The check '${name}' was not finished: ${said}`,
    advice:
      missingPackage(error, ['bullmq', 'ioredis']) === undefined
        ? 'What else is found may be the reason. Ask again when the database is less busy.'
        : 'Its client is not installed with holdfast: npm install bullmq ioredis',
  };
}

function messageOf(error: Error): string {
  return error.cause instanceof Error && isHoldfastError(error) ? error.cause.message : error.message;
}

const checkSchema: Check = async (database) => {
  const migrations = await migrationStatus(database);
  const names = (state: string) => migrations.filter((each) => each.state === state).map((each) => each.name);
  const findings: CheckFinding[] = [];
  const [pending, changed, unknown] = [names('pending'), names('changed'), names('unknown')];
  if (pending.length > 0) {
    const what =
      pending.length === migrations.length
        ? `There are no Holdfast tables in the schema "${database.schema}".`
        : `Migrations are pending: ${pending.join(', ')}.`;
    findings.push({
      level: 'error',
      check: 'schema.pending',
      what,
      advice: 'Run `holdfast migrate`.',
      repair: 'holdfast migrate',
    });
  }
  if (changed.length > 0) {
    findings.push({
      level: 'error',
      check: 'schema.changed',
      what: `Applied migrations differ from their files: ${changed.join(', ')}.`,
      advice: 'Reinstall the package; never edit a shipped migration.',
    });
  }
  if (unknown.length > 0) {
    findings.push({
      level: 'note',
      check: 'schema.newer',
      what: `The tables are newer than this package: ${unknown.join(', ')}.`,
      advice: 'Fine during a deployment; upgrade what is left of the older version.',
    });
  }
  return findings;
};
