/**
 * `holdfast worker`, `holdfast start` and `holdfast dev`: the daemons that run sagas.
 */
import type { HoldfastConfig } from '../../operations/config.ts';
import { runDaemon } from '../daemon/daemon.ts';
import type { dashboardPart } from '../daemon/dashboard-part.ts';
import { relayPart } from '../daemon/relay-daemon.ts';
import { workerPart } from '../daemon/worker-daemon.ts';
import { loadSagas } from '../config/load-sagas.ts';
import { resolveAlertSettings } from '../config/resolve-alerts.ts';
import { resolveProcess } from '../config/process.ts';
import { resolveRelay } from '../config/resolve.ts';
import { resolveWorker } from '../config/resolve-worker.ts';
import { createTransports, sayUnreachable } from '../config/transports.ts';
import type { Given } from '../config/options.ts';
import { daemonLogger } from './relay.ts';
import { redactorOf, type Context } from '../verb.ts';

/** Resolves with the exit code, once it has stopped. Rejects before anything runs with what is wrong with configuration or sagas. */
export async function worker(context: Context): Promise<number> {
  return run(context, { relay: false, dashboard: false });
}

/** The same, with the relay beside it. */
export async function start(context: Context): Promise<number> {
  return run(context, { relay: true, dashboard: false });
}

/** The same with the dashboard, migrations first. Sagas without commands need no route, and so no relay. */
export async function dev(context: Context): Promise<number> {
  return run(context, { relay: hasRoutes(context.given, context.config), dashboard: true });
}

function hasRoutes({ route }: Given, { routes = [], subscriptions = [] }: HoldfastConfig): boolean {
  return route !== undefined || routes.length > 0 || subscriptions.length > 0;
}

interface Parts {
  readonly relay: boolean;
  readonly dashboard: boolean;
}

async function run(context: Context, { relay: withRelay, dashboard: withDashboard }: Parts): Promise<number> {
  const { given, config, database, flags, json } = context;
  // Transports are made before the log is, since what is wrong with the configuration comes first.
  let warn = (_error: Error): void => undefined;
  const transports = createTransports({ given, config, database, onTransportError: (error) => warn(error) });
  const settings = resolveProcess({ given, config, noHttp: flags['http'] === false });
  const alerts = resolveAlertSettings({ given, config, env: process.env });
  const relay = withRelay ? resolveRelay({ given, config, transports }) : null;
  const { path, ...options } = resolveWorker({ given, config, transports });
  const page = withDashboard
    ? (await import('../config/resolve-dashboard.ts')).resolveDashboard({ given, config, env: process.env })
    : null;
  const sagas = await loadSagas(path, process.cwd());
  const log = await daemonLogger(settings, json, redactorOf(context));
  warn = (error) => log.warn({ err: error }, 'the transport has trouble');
  // What a worker takes replies from says so by itself.
  if (withRelay) void sayUnreachable(transports.all(), log);
  return runDaemon({
    name: withRelay ? 'holdfast' : 'holdfast-worker',
    settings,
    database,
    transports: transports.all(),
    migrateFirst: withDashboard || flags['migrate'] === true,
    alerts,
    log,
    parts: [
      ...(relay === null ? [] : [relayPart(relay.subscriptions)]),
      workerPart({ ...options, sagas }),
      ...(page === null ? [] : [await pagePart(page, { sagas, doctor: settings.doctor?.options })]),
    ],
  });
}

/** Loaded where it is asked for, with hono and zod. */
async function pagePart(...of: Parameters<typeof dashboardPart>): Promise<ReturnType<typeof dashboardPart>> {
  return (await import('../daemon/dashboard-part.ts')).dashboardPart(...of);
}
