/**
 * `holdfast worker` and `holdfast start`: the daemons that run sagas.
 */
import type { HoldfastConfig } from '../../operations/config.ts';
import { runDaemon } from '../daemon/daemon.ts';
import { consumersPart } from '../daemon/consumers-part.ts';
import { relayPart } from '../daemon/relay-daemon.ts';
import { workerPart } from '../daemon/worker-daemon.ts';
import { loadConsumers } from '../config/load-consumers.ts';
import { loadSagas } from '../config/load-sagas.ts';
import { resolveAlertSettings } from '../config/resolve-alerts.ts';
import { resolveProcess } from '../config/process.ts';
import { resolveRelay } from '../config/resolve.ts';
import { resolveWorker } from '../config/resolve-worker.ts';
import { createTransports, sayUnreachable } from '../config/transports.ts';
import type { Given } from '../config/options.ts';
import { daemonLogger } from './relay.ts';
import { databaseOf, redactorOf, type Context } from '../verb.ts';

/** Resolves with the exit code, once it has stopped. Rejects before anything runs with what is wrong with configuration or sagas. */
export async function worker(context: Context): Promise<number> {
  return run(context, { relay: false });
}

/** The same, with relay and consumers beside it. */
export async function start(context: Context): Promise<number> {
  return run(context, { relay: true });
}

/** From flag, environment or file; undefined: there are none to run. */
export function consumersPathOf(given: Given, config: HoldfastConfig): string | undefined {
  return given.consumers ?? config.consumers;
}

async function run(context: Context, { relay: withRelay }: { readonly relay: boolean }): Promise<number> {
  const { given, config, flags, json } = context;
  const database = databaseOf(context);
  // Transports are made before the log is, since what is wrong with the configuration comes first.
  let warn = (_error: Error): void => undefined;
  const transports = createTransports({ given, config, database, onTransportError: (error) => warn(error) });
  const settings = resolveProcess({ given, config, noHttp: flags['http'] === false });
  const alerts = resolveAlertSettings({ given, config, env: process.env });
  const relay = withRelay ? resolveRelay({ given, config, transports, env: process.env }) : null;
  const { path, ...options } = resolveWorker({ given, config, transports, env: process.env });
  const sagas = await loadSagas(path, process.cwd());
  const consumersPath = withRelay ? consumersPathOf(given, config) : undefined;
  const consumers = consumersPath === undefined ? [] : await loadConsumers(consumersPath, process.cwd());
  const log = await daemonLogger(settings, json, redactorOf(context));
  warn = (error) => log.warn({ err: error }, 'the transport has trouble');
  // What a worker takes replies from says so by itself.
  if (withRelay) void sayUnreachable(transports.all(), log);
  return runDaemon({
    name: withRelay ? 'holdfast' : 'holdfast-worker',
    settings,
    database,
    transports: transports.all(),
    migrateFirst: flags['migrate'] === true,
    alerts,
    log,
    parts: [
      ...(relay === null ? [] : [relayPart(relay.subscriptions)]),
      workerPart({ ...options, sagas }),
      ...(consumers.length === 0 ? [] : [consumersPart(consumers)]),
    ],
  });
}
