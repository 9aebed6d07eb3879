/**
 * Puts the parts of the dashboard's server together.
 */
import { doctor } from '../../operations/doctor/doctor.ts';
import { openDatabase, type Database } from '../../postgres/database.ts';
import type { Logger } from '../../runtime/log.ts';
import { sharedAnswer } from '../../runtime/shared-answer.ts';
import { packageVersion } from '../../runtime/version.ts';
import { HoldfastError } from '../../errors.ts';
import type { ApiRoute, ApiServices } from './api-route.ts';
import { createApp, type Fetch } from './app.ts';
import { createJobDesk } from './job-desk.ts';
import { createLiveStreams } from './live.ts';
import { createLoginLimit } from './login-limit.ts';
import { openapiDocument } from './openapi.ts';
import { settleDashboard, type DashboardOptions } from './options.ts';
import { createOverviewReader } from './overview.ts';
import { createPoller } from './poller.ts';
import { ACT_ROUTES } from './routes-act.ts';
import { ALERT_ROUTES } from './routes-alerts.ts';
import { FIND_ROUTES } from './routes-find.ts';
import { LOOK_ROUTES } from './routes-look.ts';
import { MEND_ROUTES } from './routes-mend.ts';
import { PLAN_ROUTES } from './routes-plan.ts';
import { RESTART_ROUTES } from './routes-restart.ts';
import { SESSION_ROUTES } from './routes-session.ts';
import { SIGN_ON_ROUTES } from './routes-sign-on.ts';
import { createSessions } from './sessions.ts';
import { createSignOnFlow } from './sign-on.ts';
import { shippedPage } from './shipped-page.ts';
import { createStaticPage, pageOfFolder } from './static-page.ts';
import { createAskers } from './who-asks.ts';

/** Every route there is. A test goes through all of them, with every role and method. */
export const ROUTES: readonly ApiRoute[] = [
  ...SESSION_ROUTES,
  ...LOOK_ROUTES,
  ...ALERT_ROUTES,
  ...FIND_ROUTES,
  ...ACT_ROUTES,
  ...MEND_ROUTES,
  ...PLAN_ROUTES,
  ...RESTART_ROUTES,
  ...SIGN_ON_ROUTES,
];

const POLL_MS = 2_000;
const LINGER_MS = 5_000;
const DOCTOR_MS = 10_000;

export interface DashboardParts {
  readonly fetch: Fetch;
  readonly services: ApiServices;
  readonly hasPage: boolean;
  readonly close: () => Promise<void>;
}

/** Throws HF_CONFIG, HF_OPTION_UNKNOWN or HF_DURATION. */
export function createParts(options: DashboardOptions): DashboardParts {
  const settled = settleDashboard(options);
  const { authenticators, anonymous, basePath, clock, log } = settled;
  // Looks may not take the connections of acts, and neither those of anybody else.
  const reads = ownPool(options.database, { max: 2, statementMs: 10_000 }, log);
  const acts = ownPool(options.database, { max: 1, statementMs: 60_000 }, log);
  // Chunks of jobs take their turns on one connection, beside the acts of people.
  const jobPool = ownPool(options.database, { max: 1, statementMs: 60_000 }, log);
  const jobs = createJobDesk({ database: jobPool, clock, log });
  const overview = createPoller({
    clock,
    read: createOverviewReader({ database: reads, clock, alerts: settled.alerts }),
    intervalMs: POLL_MS,
    lingerMs: LINGER_MS,
  });
  const sessions = createSessions({
    clock,
    lifeMs: settled.sessionTimeMs,
    basePath,
    key: settled.sessionKey,
    fingerprint: authenticators.map(({ name, fingerprint = '' }) => `${name}:${fingerprint}`).join('\n'),
  });
  const limit = createLoginLimit(clock);
  const askers = createAskers({ authenticators, anonymous, sessions, limit });
  const key = settled.sessionKey;
  const signOn =
    settled.signOn === null ? null : createSignOnFlow({ signOn: settled.signOn, clock, log, limit, basePath, key });
  const live = createLiveStreams({ clock, overview, sessions });
  const version = packageVersion();
  const services: ApiServices = {
    reads,
    acts,
    overview,
    live,
    sessions,
    askers,
    signOn,
    basePath,
    redact: settled.redact,
    doctor: sharedAnswer(
      () => doctor(reads, options.doctor),
      DOCTOR_MS,
      () => clock.monotonic(),
    ),
    jobs,
    sagas: options.sagas ?? null,
    facts: { version, schema: options.database.schema, redact: options.hidePayloads === true },
    openapi: () => openapiDocument({ routes: ROUTES, version, basePath }),
  };
  const page = createStaticPage(
    options.pageFolder === undefined ? shippedPage() : pageOfFolder(options.pageFolder),
    basePath,
  );
  const { trustedProxies, hosts } = settled;
  return {
    services,
    hasPage: page !== null,
    fetch: createApp({ routes: ROUTES, services, page, trustedProxies, hosts, log }),
    async close() {
      live.close();
      overview.close(new HoldfastError('HF_STOPPED', 'The dashboard is closed.'));
      await jobs.close();
      await Promise.all([reads.close(), acts.close(), jobPool.close()]);
    },
  };
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
