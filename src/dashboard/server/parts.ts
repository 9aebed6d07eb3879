/**
 * Puts the parts of the dashboard's server together.
 */
import type { Clock } from '../../runtime/clock.ts';
import { packageVersion } from '../../runtime/version.ts';
import type { AllDatabases } from './all-databases.ts';
import type { ApiRoute, ApiServices, ProcessServices } from './api-route.ts';
import { createApp, type Fetch } from './app.ts';
import { createDatabasePart, type DatabasePart } from './database-part.ts';
import { createLiveStreams, namedSource } from './live.ts';
import { createLoginLimit } from './login-limit.ts';
import { openapiDocument } from './openapi.ts';
import { settleDashboard, type DashboardOptions } from './options.ts';
import { ACT_ROUTES } from './routes-act.ts';
import { ALERT_ROUTES } from './routes-alerts.ts';
import { ALL_ROUTES } from './routes-all.ts';
import { FIND_ROUTES } from './routes-find.ts';
import { LOOK_ROUTES } from './routes-look.ts';
import { MEND_ROUTES } from './routes-mend.ts';
import { PLAN_ROUTES } from './routes-plan.ts';
import { RESTART_ROUTES } from './routes-restart.ts';
import { SESSION_ROUTES } from './routes-session.ts';
import { SIGN_ON_ROUTES } from './routes-sign-on.ts';
import { createSessions, type Sessions } from './sessions.ts';
import { createSignOnFlow } from './sign-on.ts';
import { shippedPage } from './shipped-page.ts';
import { createStaticPage, pageOfFolder } from './static-page.ts';
import { createAskers } from './who-asks.ts';

/** Every route there is. A test goes through all of them, with every role and method. */
export const ROUTES: readonly ApiRoute[] = [
  ...SESSION_ROUTES,
  ...ALL_ROUTES,
  ...LOOK_ROUTES,
  ...ALERT_ROUTES,
  ...FIND_ROUTES,
  ...ACT_ROUTES,
  ...MEND_ROUTES,
  ...PLAN_ROUTES,
  ...RESTART_ROUTES,
  ...SIGN_ON_ROUTES,
];

export interface DashboardParts {
  readonly fetch: Fetch;
  /** By the names of the databases. */
  readonly databases: ReadonlyMap<string, ApiServices>;
  readonly hasPage: boolean;
  readonly close: () => Promise<void>;
}

/** Throws HF_CONFIG, HF_OPTION_UNKNOWN or HF_DURATION. */
export function createParts(options: DashboardOptions): DashboardParts {
  const settled = settleDashboard(options);
  const { authenticators, anonymous, basePath, clock, log } = settled;
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
  const { alerts } = settled;
  const parts = [...settled.databases].map(([name, database]) =>
    createDatabasePart({ name, database, clock, log, alerts, sessions, doctor: options.doctor }),
  );
  const all = togetherOf(parts, { clock, sessions });
  const version = packageVersion();
  const databases = parts.map(({ name, schema }) => ({ name, schema }));
  const process: ProcessServices = {
    all,
    sessions,
    askers,
    signOn,
    basePath,
    redact: settled.redact,
    sagas: options.sagas ?? null,
    facts: { version, schema: databases[0]?.schema ?? '', databases, redact: options.hidePayloads === true },
    openapi: () => openapiDocument({ routes: ROUTES, version, basePath, databases: databases.map(({ name }) => name) }),
  };
  const services = new Map(parts.map((part): [string, ApiServices] => [part.name, { ...process, ...part }]));
  const page = createStaticPage(
    options.pageFolder === undefined ? shippedPage() : pageOfFolder(options.pageFolder),
    basePath,
  );
  const { trustedProxies, hosts } = settled;
  return {
    databases: services,
    hasPage: page !== null,
    fetch: createApp({ routes: ROUTES, process, databases: services, page, trustedProxies, hosts, log }),
    async close() {
      all.live.close();
      await Promise.all(parts.map((part) => part.close()));
    },
  };
}

function togetherOf(
  parts: readonly DatabasePart[],
  { clock, sessions }: { readonly clock: Clock; readonly sessions: Sessions },
): AllDatabases {
  const sources = parts.map(({ name, overview }) => namedSource(name, overview));
  const live = createLiveStreams({ clock, sources, sessions });
  return {
    reads: new Map(parts.map(({ name, reads }) => [name, reads])),
    overviews: new Map(parts.map(({ name, overview }) => [name, overview])),
    live,
    recheck() {
      for (const each of [live, ...parts.map((part) => part.live)]) each.recheck();
    },
  };
}
