/**
 * `holdfast relay`: the daemon.
 */
import type { Logger } from '../../runtime/log.ts';
import type { Redactor } from '../../runtime/redact.ts';
import { resolveAlertSettings } from '../config/resolve-alerts.ts';
import { resolveProcess, type ProcessSettings } from '../config/process.ts';
import { resolveRelay } from '../config/resolve.ts';
import { createTransports, sayUnreachable } from '../config/transports.ts';
import { runDaemon } from '../daemon/daemon.ts';
import { relayPart } from '../daemon/relay-daemon.ts';
import { databaseOf, redactorOf, type Context } from '../verb.ts';

/** Resolves with the exit code, once it has stopped. Rejects before anything runs with what is wrong with the configuration. */
export async function relay(context: Context): Promise<number> {
  const { given, config, flags, json } = context;
  const database = databaseOf(context);
  // Transports are made before the log is, since what is wrong with the configuration comes first.
  let warn = (_error: Error): void => undefined;
  const transports = createTransports({ given, config, database, onTransportError: (error) => warn(error) });
  const { subscriptions } = resolveRelay({ given, config, transports, env: process.env });
  const settings = resolveProcess({ given, config, noHttp: flags['http'] === false });
  const alerts = resolveAlertSettings({ given, config, env: process.env });
  const log = await daemonLogger(settings, json, redactorOf(context));
  warn = (error) => log.warn({ err: error }, 'the transport has trouble');
  void sayUnreachable(transports.all(), log);
  return runDaemon({
    name: 'holdfast-relay',
    settings,
    database,
    transports: transports.all(),
    migrateFirst: flags['migrate'] === true,
    alerts,
    log,
    parts: [relayPart(subscriptions)],
  });
}

/** Shared by the daemons. With --json, JSON lines on a terminal as well. */
export async function daemonLogger(
  { logLevel: level, logFormat }: ProcessSettings,
  json: boolean,
  redact: Redactor,
): Promise<Logger> {
  const format = json ? 'json' : (logFormat ?? (process.stdout.isTTY ? 'pretty' : 'json'));
  if (format === 'json') return (await import('../../runtime/json-logger.ts')).createJsonLogger({ level, redact });
  return (await import('../../runtime/pino-logger.ts')).createLogger({ level, pretty: true, redact });
}
