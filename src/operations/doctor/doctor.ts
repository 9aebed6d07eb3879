/**
 * Looks for what will hurt: settings, leases, sessions and retention that make messages late, lost or the database slow. Every
 * finding says what to do.
 */
import type { Database } from '../../postgres/database.ts';
import { parseDuration } from '../../runtime/duration.ts';
import { migrationStatus } from '../../postgres/migrator.ts';
import { refuseUnknownOptions } from '../../runtime/options.ts';
import { checkServer, checkSessions, checkTables } from './doctor-postgres.ts';
import { checkOwnQueues } from './doctor-queues.ts';
import { checkRoles } from './doctor-roles.ts';
import { checkFlow } from './doctor-flow.ts';
import { checkRuns } from './doctor-sagas.ts';
import { checkEnvironment } from './environment.ts';
import type { Check, DoctorOptions, Finding } from './finding.ts';

/** What {@link doctor} found. */
export interface Diagnosis {
  readonly findings: readonly Finding[];
  /** Names of all the checks that were made. */
  readonly checks: readonly string[];
}

/** Rejects only when the database cannot be asked at all: HF_DATABASE_UNAVAILABLE, HF_PERMISSION. */
export async function doctor(database: Database, options: DoctorOptions = {}): Promise<Diagnosis> {
  refuseUnknownOptions(options, ['redisUrls', 'redisPrefix', 'longTransaction'], 'doctor');
  const settled = {
    redisPrefix: options.redisPrefix,
    redisUrls: options.redisUrls ?? [],
    longTransactionMs: parseDuration(options.longTransaction ?? '5m', 'doctor.longTransaction'),
  };
  const schema = await checkSchema(database, settled);
  const findings: Finding[] = [...schema];
  const checks = ['schema', 'server', 'sessions', 'redis'];
  findings.push(...(await checkServer(database, settled)), ...(await checkSessions(database, settled)));
  // The rest reads the tables.
  if (!schema.some(({ level }) => level === 'error')) {
    checks.push('environment', 'tables', 'flow', 'sagas', 'roles');
    findings.push(...(await checkEnvironment(database, settled)));
    findings.push(...(await checkTables(database, settled)), ...(await checkFlow(database, settled)));
    findings.push(...(await checkRuns(database, settled)), ...(await checkRoles(database, settled)));
  }
  // It brings the clients of brokers, which a doctor of the database alone need not load.
  if (settled.redisUrls.length > 0) {
    const { checkRedis } = await import('./doctor-redis.ts');
    findings.push(...(await checkRedis(database, settled)));
  }
  findings.push(...(await checkOwnQueues(database, settled)));
  const rank = { error: 0, warn: 1, note: 2 };
  return { findings: findings.toSorted((a, b) => rank[a.level] - rank[b.level]), checks };
}

const checkSchema: Check = async (database) => {
  const migrations = await migrationStatus(database);
  const names = (state: string) => migrations.filter((each) => each.state === state).map((each) => each.name);
  const findings: Finding[] = [];
  const [pending, changed, unknown] = [names('pending'), names('changed'), names('unknown')];
  if (pending.length > 0) {
    const what =
      pending.length === migrations.length
        ? `There are no Holdfast tables in the schema "${database.schema}".`
        : `Migrations are pending: ${pending.join(', ')}.`;
    findings.push({ level: 'error', check: 'schema.pending', what, advice: 'Run `holdfast migrate`.' });
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
