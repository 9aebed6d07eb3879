/**
 * What the dashboard has for each of its databases: connections of its own, one reader of the overview for all who look, and a desk for jobs.
 */
import { HoldfastError } from '../../errors.ts';
import { doctor } from '../../operations/doctor/doctor.ts';
import type { DoctorOptions } from '../../operations/doctor/finding.ts';
import { readQueues, type QueuePlaces } from '../../operations/doctor/read-queues.ts';
import { openDatabase, type Database } from '../../postgres/database.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { Logger } from '../../runtime/log.ts';
import { sharedAnswer } from '../../runtime/shared-answer.ts';
import type { SettledAlerts } from './alerts-view.ts';
import type { ApiServices, ProcessServices } from './api-route.ts';
import { createJobDesk } from './job-desk.ts';
import { createLiveStreams, overviewSource } from './live.ts';
import { createOverviewReader } from './overview.ts';
import { createPoller } from './poller.ts';
import type { Sessions } from './sessions.ts';

const POLL_MS = 2_000;
const LINGER_MS = 5_000;
const DOCTOR_MS = 10_000;
const QUEUES_MS = 5_000;

export interface DatabasePart extends Omit<ApiServices, keyof ProcessServices> {
  readonly schema: string;
  close(): Promise<void>;
}

export interface DatabasePartOptions {
  readonly name: string;
  readonly database: Database;
  readonly clock: Clock;
  readonly log: Logger;
  readonly alerts: SettledAlerts;
  readonly sessions: Sessions;
  readonly doctor: DoctorOptions | undefined;
}

/** Opens no connection before something is asked for, but for the look for jobs that were left. */
export function createDatabasePart(options: DatabasePartOptions): DatabasePart {
  const { name, database, clock, log, alerts, sessions } = options;
  // Looks may not take the connections of acts, and neither those of anybody else.
  const reads = ownPool(database, { max: 2, statementMs: 10_000 }, log);
  const acts = ownPool(database, { max: 1, statementMs: 60_000 }, log);
  // Chunks of jobs take their turns on one connection, beside the acts of people.
  const jobPool = ownPool(database, { max: 1, statementMs: 60_000 }, log);
  const jobs = createJobDesk({ database: jobPool, clock, log });
  const overview = createPoller({
    clock,
    read: createOverviewReader({ database: reads, clock, alerts }),
    intervalMs: POLL_MS,
    lingerMs: LINGER_MS,
  });
  const live = createLiveStreams({ clock, sources: [overviewSource(overview)], sessions });
  return {
    name,
    schema: database.schema,
    reads,
    acts,
    overview,
    live,
    jobs,
    doctor: sharedAnswer(
      () => doctor(reads, options.doctor),
      DOCTOR_MS,
      () => clock.monotonic(),
    ),
    queues: sharedAnswer(
      () => readQueues(reads, placesOf(options.doctor)),
      QUEUES_MS,
      () => clock.monotonic(),
    ),
    async close() {
      live.close();
      overview.close(new HoldfastError('HF_STOPPED', 'The dashboard is closed.'));
      await jobs.close();
      await Promise.all([reads.close(), acts.close(), jobPool.close()]);
    },
  };
}

function placesOf({ redisUrls = [], redisPrefix, transports = [] }: DoctorOptions = {}): QueuePlaces {
  return { redisUrls, redisPrefix, transports };
}

interface OwnPool {
  readonly max: number;
  /** Longest run of a statement, in milliseconds. */
  readonly statementMs: number;
}

/** With the settings of the given one, which may be kept busy by whoever gave it. */
function ownPool({ pool, schema, environment }: Database, { max, statementMs }: OwnPool, log: Logger): Database {
  const { options } = pool;
  // The pool hides the password from enumeration.
  const password = options.password === undefined ? {} : { password: options.password };
  return openDatabase({
    pool: { ...options, ...password, min: 0, statement_timeout: statementMs },
    max,
    schema,
    environment,
    applicationName: 'holdfast-dashboard',
    onIdleError: (error) => log.debug({ err: error }, 'an idle connection was lost'),
  });
}
