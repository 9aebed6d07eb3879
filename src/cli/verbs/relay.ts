/**
 * `holdfast relay`: the daemon.
 */
import type { Logger } from '../../runtime/log.ts';
import { createLogger, type LogLevel } from '../../runtime/pino-logger.ts';
import { resolveRelay } from '../config/resolve.ts';
import { runRelayDaemon } from '../daemon/relay-daemon.ts';
import type { Context } from '../verb.ts';

/** Resolves with the exit code, once it has stopped. Rejects before anything runs with what is wrong with the configuration. */
export async function relay(context: Context): Promise<number> {
  const { given, config, database, flags, json } = context;
  // Transports are made before the log is, since what is wrong with the configuration comes first.
  let warn = (_error: Error): void => undefined;
  const settings = resolveRelay({
    given,
    config,
    database,
    noHttp: flags['http'] === false,
    onTransportError: (error) => warn(error),
  });
  const log = createRelayLogger(settings.logLevel, json ? 'json' : settings.logFormat);
  warn = (error) => log.warn({ err: error }, 'the transport has trouble');
  return runRelayDaemon({ settings, database, log, migrateFirst: flags['migrate'] === true });
}

function createRelayLogger(level: LogLevel, format: 'pretty' | 'json' | null): Logger {
  return createLogger({ level, ...(format === null ? {} : { pretty: format === 'pretty' }) });
}
