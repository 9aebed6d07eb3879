/**
 * `holdfast dev`: one command for a project on one's own machine. It starts a database where none is named, brings the tables up to date,
 * runs relay, worker, consumers and dashboard in a process below itself, starts that anew when code changes, runs the user's own program
 * beside, and says what happens. Nothing of it is left when it ends, however it ends.
 */
import { resolve } from 'node:path';
import { HoldfastError } from '../../errors.ts';
import { openDatabase } from '../../postgres/database.ts';
import { migrate } from '../../postgres/migrator.ts';
import { isLock, takeLock, type FolderLock } from '../../servers/folder-lock.ts';
import { dismissKeeper } from '../../servers/keeper.ts';
import { sagasPathOf } from '../config/sagas-path.ts';
import { watchParent } from '../daemon/lost-parent.ts';
import { explainDatabaseError } from '../database-error.ts';
import { EXIT } from '../exit-codes.ts';
import { createStyle, wantsColor } from '../output/style.ts';
import { consumersPathOf } from '../verbs/worker.ts';
import type { Context } from '../verb.ts';
import { startCompanion } from './companion.ts';
import { openDevDatabase, type DevDatabase } from './dev-database.ts';
import { chooseDashboardPort, companionEnv, servicesEnv, type DevEnvironment } from './environment.ts';
import { followActivity } from './follow-activity.ts';
import { LOCK, makeHome } from './home.ts';
import type { ReadyReport } from './report.ts';
import { createDevScreen, type DevScreen } from './screen.ts';
import { logEntry, toldOf } from './services-log.ts';
import { createServicesProcess } from './services-process.ts';
import { watchFiles } from './watch-files.ts';

/** A key pressed twice in this time is one that a terminal and npm both sent. */
const SAME_SIGNAL_MS = 500;
/** What is said of the transports that have a name in the configuration, by their kind. */
const CARRIERS: Readonly<Record<string, string>> = {
  'bullmq-postgres': 'BullMQ on the same PostgreSQL',
  'bullmq-redis': 'BullMQ on Redis',
  'redis-streams': 'Redis Streams',
  nats: 'NATS',
  rabbitmq: 'RabbitMQ',
};
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** Resolves with the exit code, once all of it has ended. Rejects with what is in the way of a start. `command`: the user's program. */
export async function dev(context: Context, command: readonly string[]): Promise<number> {
  const ui = { style: createStyle(wantsColor(process.stdout, process.env)), width: process.stdout.columns ?? Infinity };
  const screen = createDevScreen({ json: context.json, ui, write: (text) => void process.stdout.write(text) });
  const home = makeHome(process.cwd());
  const lock = takeDevLock(home);
  const stop = listenForStop(screen);
  const closing: (() => Promise<void>)[] = [];
  try {
    const database = await openDevDatabase(context, home, (what) => screen.say(what));
    closing.push(() => database.stop());
    if (stop.signal.aborted) return EXIT.ok;
    const serverEnded = database.gone.then((why): number => {
      if (stop.signal.aborted) return EXIT.ok;
      screen.say(`PostgreSQL has ended: ${why}`, 'bad');
      return EXIT.unexpected;
    });
    await bringUpToDate(database, screen);
    const environment: DevEnvironment = {
      ...context,
      env: process.env,
      databaseUrl: database.options.url,
      dashboardPort: await chooseDashboardPort(context.given, context.config),
      color: wantsColor(process.stdout, process.env),
    };
    runProject({ context, command, screen, database, environment, lock, closing });
    return await Promise.race([serverEnded, aborted(stop.signal).then(() => EXIT.ok)]);
  } finally {
    // What works with something ends before it.
    for (const close of closing.toReversed()) {
      // oxlint-disable-next-line no-await-in-loop
      await close().catch((error: unknown) => screen.say(String(error), 'bad'));
    }
    // What could not be ended above is ended by the keeper, before the next `holdfast dev` may have the folder.
    await dismissKeeper();
    stop.dispose();
    lock.release();
    if (stop.signal.aborted) screen.say('ended; the data are kept');
  }
}

function takeDevLock(home: string): FolderLock {
  const taken = takeLock(home, LOCK);
  if (isLock(taken)) return taken;
  const { dashboard } = taken.says;
  throw new HoldfastError('HF_CONFIG', `holdfast dev runs in this folder already, as process ${taken.pid}.`, {
    advice: `${dashboard === undefined ? 'Use that one' : `Its dashboard is ${dashboard}`}; or end it: kill ${taken.pid}.`,
  });
}

async function bringUpToDate({ options }: DevDatabase, screen: DevScreen): Promise<void> {
  const database = openDatabase({ ...options, applicationName: 'holdfast-dev' });
  try {
    const applied = await migrate(database, { onRepair: ({ what }) => screen.say(what, 'notable') });
    if (applied.length > 0) screen.say(`${applied.length} migrations applied to the schema ${database.schema}`);
  } catch (error) {
    throw explainDatabaseError(error);
  } finally {
    await database.close();
  }
}

interface Project {
  readonly context: Context;
  readonly command: readonly string[];
  readonly screen: DevScreen;
  readonly database: DevDatabase;
  readonly environment: DevEnvironment;
  readonly lock: FolderLock;
  /** Told what to end, in the order of the starts. */
  readonly closing: (() => Promise<void>)[];
}

function runProject({ context, command, screen, database, environment, lock, closing }: Project): void {
  const { given, config } = context;
  let { dashboardPort } = environment;
  const dashboard = (): string => dashboardUrl(environment, dashboardPort);
  let isFirst = true;
  let isPortTaken = false;
  const onReady = (report: ReadyReport): void => {
    if (!isFirst)
      return screen.say(`reloaded: ${[...report.sagas, ...report.consumers].join(', ') || 'nothing to run'}`, 'good');
    isFirst = false;
    lock.say({
      ...(database.options.url === undefined ? {} : { databaseUrl: database.options.url }),
      dashboard: dashboard(),
    });
    screen.head(headOf(report, { about: database.about, dashboard: dashboard(), command }), {
      dashboard: dashboard(),
      databaseUrl: database.options.url ?? null,
      sagas: report.sagas,
      consumers: report.consumers,
      routes: report.routes,
    });
    if (command.length > 0) {
      const companion = startCompanion(command, companionEnv(environment), {
        onLine: (line) => screen.printed('app', line),
        onEnd: (why) => screen.say(`${command.join(' ')}: ${why}. All else goes on.`, 'bad'),
      });
      closing.push(() => companion.stop());
    }
  };

  const watch = watchFiles({
    onChange: (file) => {
      screen.say(`${file.replace(`${process.cwd()}/`, '')} changed: starting again`);
      void services.restart();
    },
    onTrouble: (folder, error) => screen.say(`changes in ${folder} are not noticed: ${error.message}`, 'notable'),
  });
  const services = createServicesProcess(
    () => ({ args: servicesArgs(command, dashboardPort), env: servicesEnv(environment) }),
    {
      onReport: (report) => {
        if (report.kind === 'ready') onReady(report);
        else if (report.kind === 'files') watch.add(report.files, []);
        else isPortTaken = true;
      },
      onLine: (line, stream) => {
        const entry = stream === 'stdout' ? logEntry(line) : null;
        const told = entry === null ? null : toldOf(entry, given.logLevel ?? config.log?.level ?? 'warn');
        if (told !== null) screen.say(told.what, told.tone);
        if (entry === null) screen.printed('code', line);
      },
      onEnd: (why, againInMs) =>
        screen.say(
          againInMs === null
            ? 'waiting for a change of the code'
            : `the services ended by themselves (${why}); started again in ${Math.round(againInMs / 1_000)} s`,
          'bad',
        ),
      onSlow: (seconds) =>
        screen.say(`the services are not ready after ${seconds} s: loading the code, or starting`, 'notable'),
      onUnfit: async () => {
        // Another process took the port between the look and the start. It may have given it back since.
        if (!isFirst || !isPortTaken) return false;
        isPortTaken = false;
        const next = await chooseDashboardPort(given, config).catch(() => null);
        dashboardPort = next ?? dashboardPort;
        return next !== null;
      },
    },
  );
  closing.push(async () => watch.close());
  closing.push(() => services.stop());
  const own = ['ts', 'mts', 'js', 'mjs'].map((ending) => resolve(`holdfast.config.${ending}`));
  const paths = [sagasPathOf(given, config), consumersPathOf(given, config)].flatMap((path) => path ?? []);
  watch.add(
    [...own, ...(given.config === undefined ? [] : [resolve(given.config)])],
    paths.map((path) => resolve(path)),
  );
  services.start();

  const following = new AbortController();
  const reader = openDatabase({ ...database.options, max: 1, applicationName: 'holdfast-dev' });
  const followed = followActivity(
    reader,
    {
      onLine: (line) => screen.happened(line),
      onTooMuch: () => screen.say(`too much lies in the tables to follow it here; look at ${dashboard()}`, 'notable'),
    },
    following.signal,
  );
  closing.push(async () => {
    following.abort();
    await followed;
    await reader.close();
  });
}

/** The same command for the process below, without the user's program. */
function servicesArgs(command: readonly string[], dashboardPort: number): readonly string[] {
  const [, main = '', , ...given] = process.argv;
  const divider = given.indexOf('--');
  const flags = given.slice(0, divider === -1 ? given.length - command.length : divider);
  // The last one counts.
  return [main, 'dev', '--services-only', ...flags, '--port', String(dashboardPort)];
}

function dashboardUrl({ given, config }: DevEnvironment, dashboardPort: number): string {
  const host = given.host ?? config.dashboard?.host ?? '127.0.0.1';
  const path = given.basePath ?? config.dashboard?.basePath ?? '';
  return `http://${host.includes(':') ? `[${host}]` : host}:${dashboardPort}${path}/`;
}

interface HeadFacts {
  readonly about: string;
  readonly dashboard: string;
  readonly command: readonly string[];
}

function headOf(report: ReadyReport, { about, dashboard, command }: HeadFacts): (readonly [string, string])[] {
  const { sagas, consumers, routes, transport } = report;
  const list = (names: readonly string[], none: string): string => (names.length === 0 ? none : names.join(', '));
  const isEmpty = sagas.length === 0 && consumers.length === 0 && routes.length === 0;
  return [
    ['database', about],
    ...(isEmpty
      ? [['project', 'nothing to run yet: holdfast init writes a first saga, or see docs/dev.md'] as const]
      : [
          ['sagas', list(sagas, 'none')] as const,
          ['consumers', list(consumers, 'none')] as const,
          [
            'messages',
            routes.length === 0
              ? 'no routes, so no relay'
              : `${list(routes, '')}, by ${CARRIERS[transport ?? ''] ?? transport ?? '?'}`,
          ] as const,
        ]),
    ...(command.length === 0 ? [] : [['beside', command.join(' ')] as const]),
    ['dashboard', dashboard],
  ];
}

interface Stop {
  readonly signal: AbortSignal;
  dispose(): void;
}

/** The first signal asks for an end in order, a second one ends at once; what started this may end as well. */
function listenForStop(screen: DevScreen): Stop {
  const told = new AbortController();
  let toldAtMs = 0;
  const stopSoon = (): void => {
    if (told.signal.aborted) {
      if (performance.now() - toldAtMs > SAME_SIGNAL_MS) process.exit(EXIT.forced);
      return;
    }
    toldAtMs = performance.now();
    screen.say('stopping …');
    told.abort();
  };
  for (const signal of SIGNALS) process.on(signal, stopSoon);
  const unwatch = watchParent(() => (told.signal.aborted ? undefined : stopSoon()));
  return {
    signal: told.signal,
    dispose() {
      unwatch();
      for (const signal of SIGNALS) process.off(signal, stopSoon);
    },
  };
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((done) => {
    if (signal.aborted) done();
    else signal.addEventListener('abort', () => done(), { once: true });
  });
}
