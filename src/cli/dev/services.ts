/**
 * The process below `holdfast dev`: relay, worker, consumers and dashboard, as far as the project has them. It is started anew when code
 * changes. What is to be known of it goes to the process above it; its log is JSON lines.
 */
import { isHoldfastError } from '../../errors.ts';
import type { HoldfastConfig } from '../../operations/config.ts';
import { consumersPart } from '../daemon/consumers-part.ts';
import { runDaemon } from '../daemon/daemon.ts';
import { dashboardPart } from '../daemon/dashboard-part.ts';
import { relayPart } from '../daemon/relay-daemon.ts';
import { workerPart } from '../daemon/worker-daemon.ts';
import { loadConsumers } from '../config/load-consumers.ts';
import { loadedFiles } from '../config/load-modules.ts';
import { loadSagas } from '../config/load-sagas.ts';
import type { Given } from '../config/options.ts';
import { resolveProcess } from '../config/process.ts';
import { resolveAlertSettings } from '../config/resolve-alerts.ts';
import { resolveDashboard } from '../config/resolve-dashboard.ts';
import { resolveRelay, type RelaySettings } from '../config/resolve.ts';
import { resolveWorker } from '../config/resolve-worker.ts';
import { sagasPathOf } from '../config/sagas-path.ts';
import { createTransports, sayUnreachable, type Transports } from '../config/transports.ts';
import { databaseOf, redactorOf, type Context } from '../verb.ts';
import { daemonLogger } from '../verbs/relay.ts';
import { consumersPathOf } from '../verbs/worker.ts';
import type { ServicesReport } from './report.ts';

/** Resolves with the exit code, once it has stopped. Rejects before anything runs with what is wrong with the project. */
export async function devServices(context: Context): Promise<number> {
  const { given, config } = context;
  const database = databaseOf(context);
  let warn = (_error: Error): void => undefined;
  const transports = createTransports({
    given,
    config,
    database,
    onTransportError: (error) => warn(error),
    ...(hasRoutes(given, config) ? { fallback: 'postgres' } : {}),
  });
  const settings = resolveProcess({ given, config, noHttp: given.httpPort === undefined && !config.http });
  const alerts = resolveAlertSettings({ given, config, env: process.env });
  const page = resolveDashboard({ given, config, env: process.env });
  const { relay, worker, sagas, consumers } = await loadAndTell(context, transports);
  const log = await daemonLogger(settings, true, redactorOf(context));
  warn = (error) => log.warn({ err: error }, 'the transport has trouble');
  void sayUnreachable(transports.all(), log);
  const running = runDaemon({
    name: 'holdfast-dev',
    settings,
    database,
    transports: transports.all(),
    // Done by the process above.
    migrateFirst: false,
    alerts,
    log,
    parts: [
      ...(relay === null ? [] : [relayPart(relay.subscriptions)]),
      ...(worker === null ? [] : [workerPart({ ...worker, sagas })]),
      ...(consumers.length === 0 ? [] : [consumersPart(consumers)]),
      dashboardPart(page, { sagas, doctor: settings.doctor?.options }),
    ],
    onRunning: () =>
      tell({
        kind: 'ready',
        sagas: sagas.map(({ name, version }) => (version === 1 ? name : `${name}@${version}`)),
        consumers: consumers.map(({ name }) => name),
        routes: routesOf(relay),
        transport: transports.all()[0]?.kind ?? null,
      }),
  });
  return running.catch((error: unknown) => {
    if (isTaken(error, page.port)) tell({ kind: 'port taken' });
    throw error;
  });
}

/** Whether a server could not listen because somebody else does. */
function isTaken(error: unknown, port: number): boolean {
  const { code, port: wanted } = (isHoldfastError(error) ? (error.cause ?? {}) : {}) as {
    readonly code?: string;
    readonly port?: number;
  };
  return code === 'EADDRINUSE' && wanted === port;
}

/** A project may have any of these, and none. */
async function loadProject({ given, config }: Context, transports: Transports) {
  const relay = hasRoutes(given, config) ? resolveRelay({ given, config, transports, env: process.env }) : null;
  const hasSagas = sagasPathOf(given, config) !== undefined;
  const { path = '', ...worker } = hasSagas ? resolveWorker({ given, config, transports, env: process.env }) : {};
  const sagas = hasSagas ? await loadSagas(path, process.cwd()) : [];
  const consumersPath = consumersPathOf(given, config);
  const consumers = consumersPath === undefined ? [] : await loadConsumers(consumersPath, process.cwd());
  return { relay, worker: hasSagas ? worker : null, sagas, consumers };
}

function hasRoutes({ route }: Given, { routes = [], subscriptions = [] }: HoldfastConfig): boolean {
  return route !== undefined || routes.length > 0 || subscriptions.length > 0;
}

function routesOf(relay: RelaySettings | null): readonly string[] {
  return (relay?.subscriptions ?? []).flatMap(({ routes }) =>
    routes.map(({ topics, to }) => `${typeof topics === 'string' ? topics : topics.join(', ')} → ${to}`),
  );
}

/** Of code that cannot be loaded as well: it is looked at until it can. */
async function loadAndTell(context: Context, transports: Transports): ReturnType<typeof loadProject> {
  try {
    return await loadProject(context, transports);
  } finally {
    tell({ kind: 'files', files: await loadedFiles() });
  }
}

function tell(report: ServicesReport): void {
  process.send?.(report);
}
