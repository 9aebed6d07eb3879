/**
 * `holdfast dashboard`: the web page and the service API, as a process of its own.
 */
import { createDashboard } from '../../dashboard/dashboard.ts';
import { createDashboardServer } from '../../dashboard/server/http-server.ts';
import { openDatabase } from '../../postgres/database.ts';
import { systemClock } from '../../runtime/clock.ts';
import { loadSagas } from '../config/load-sagas.ts';
import { resolveProcess } from '../config/process.ts';
import { resolveDashboard, TOKENS_VARIABLE } from '../config/resolve-dashboard.ts';
import { sagasPathOf } from '../config/sagas-path.ts';
import { resolveRedisUrls } from '../config/servers.ts';
import { askableTransports } from '../config/transports.ts';
import { listenForStop } from '../daemon/stop-signals.ts';
import { EXIT } from '../exit-codes.ts';
import { redactorOf, type Context } from '../verb.ts';
import { daemonLogger } from './relay.ts';

/** Resolves with the exit code, once it has stopped. Rejects before anything runs with what is wrong with the configuration. */
export async function dashboard(context: Context): Promise<number> {
  const { given, config, json } = context;
  const { host, port, basePath, options } = resolveDashboard({ given, config, env: process.env });
  const settings = resolveProcess({ given, config, noHttp: true });
  const path = sagasPathOf(given, config);
  const sagas = path === undefined ? undefined : await loadSagas(path, process.cwd());
  const log = await daemonLogger(settings, json, redactorOf(context));
  // Never used for more than their settings: the dashboard opens connections of its own.
  const databases = context.databases.map(({ name, options: own }) => [name, openDatabase(own)] as const);
  const redisPrefix = config.redis?.prefix;
  const made = createDashboard({
    ...options,
    databases: Object.fromEntries(databases),
    basePath,
    sagas,
    doctor: {
      redisUrls: resolveRedisUrls(given, config),
      redisPrefix,
      transports: askableTransports(given, config),
    },
    log,
  });
  const server = createDashboardServer({ handler: made.nodeHandler, host, port, basePath, log });
  const stop = listenForStop({
    deadlineMs: settings.shutdownDeadlineMs,
    clock: systemClock,
    log,
    onSecond: () => process.exit(EXIT.forced),
  });
  try {
    await server.start();
    if (options.anonymous !== undefined) {
      log.warn(
        { role: options.anonymous },
        `nobody has to log in: whoever uses this machine may do everything; ${TOKENS_VARIABLE} says who may`,
      );
    }
    await new Promise<void>((resolve) => {
      if (stop.soft.aborted) resolve();
      else stop.soft.addEventListener('abort', () => resolve(), { once: true });
    });
    await server.stop();
    log.info({}, 'stopped');
    return EXIT.ok;
  } finally {
    stop.dispose();
    await Promise.allSettled([made.close(), ...databases.map(([, database]) => database.close())]);
  }
}
