/**
 * The process of a daemon: puts database, parts (relay, worker), pages and signals together, and decides how it ends.
 */
import { Registry } from 'prom-client';
import type { AlertSettings, WatchedWorker } from '../../operations/alerts/options.ts';
import { migrate } from '../../postgres/migrator.ts';
import { openDatabase, type Database } from '../../postgres/database.ts';
import type { DatabaseOptions } from '../../postgres/pool-settings.ts';
import { systemClock } from '../../runtime/clock.ts';
import type { Logger } from '../../runtime/log.ts';
import type { Metrics } from '../../runtime/metrics.ts';
import { safeLogger, safeMetrics } from '../../runtime/observers.ts';
import { collectProcessMetrics, createPromMetrics } from '../../runtime/prom-metrics.ts';
import { backoffMs, RECONNECT } from '../../runtime/retry.ts';
import type { Service } from '../../runtime/service.ts';
import type { Transport } from '../../transport/port.ts';
import type { ProcessSettings } from '../config/process.ts';
import { explainDatabaseError, isWorthWaitingFor, whatIsAwaited } from '../database-error.ts';
import { EXIT } from '../exit-codes.ts';
import { databaseTrouble } from '../../operations/health/database-trouble.ts';
import { createDoctorGauges } from './doctor-gauges.ts';
import type { Gauges } from './gauges.ts';
import {
  joinLiveness,
  judgeReadiness,
  type PartReadiness,
  type ReadinessFacts,
  type ProbeAnswer,
} from '../../operations/health/judgements.ts';
import { sharedAnswer } from '../../runtime/shared-answer.ts';
import { startInTurn, TELL_EVERY_MS, type NamedService } from './start-in-turn.ts';
import { listenForStop } from './stop-signals.ts';

/** What a part is given to be made of. */
export interface DaemonKit {
  readonly database: Database;
  readonly registry: Registry;
  readonly metrics: Metrics;
  readonly log: Logger;
}

/** What a daemon runs. */
export interface DaemonPart extends NamedService {
  /** Asked only between start and stop. `nowMs`: monotonic. */
  live(nowMs: number): ProbeAnswer | Promise<ProbeAnswer>;
  ready(): PartReadiness;
  readonly gauges: Gauges;
  /** Whose lease alerts watch. */
  readonly worker?: WatchedWorker;
  /** What becomes of work that is cut off, for the last line of the log. */
  readonly whenForced: string;
}

export interface DaemonOptions {
  /** Names its connections, and itself on its pages. */
  readonly name: string;
  readonly settings: ProcessSettings;
  readonly database: DatabaseOptions;
  /** Closed at the end. */
  readonly transports: readonly Transport[];
  /** Apply pending migrations before the start. */
  readonly migrateFirst: boolean;
  /** Null: nobody is to be told of anything. */
  readonly alerts: AlertSettings | null;
  readonly log: Logger;
  readonly parts: readonly ((kit: DaemonKit) => DaemonPart)[];
  /** All parts have started. */
  readonly onRunning?: (() => void) | undefined;
}

/** After the hard stop, how long the pieces may take to let go, in milliseconds. */
const LETTING_GO_MS = 3_000;
/** How long the pages give the same answer about the database, in milliseconds. */
const PROBE_MS = 1_000;

/** Runs until it is told to stop. Resolves with the exit code, except for errors before anything runs, which it rejects with. */
export async function runDaemon(options: DaemonOptions): Promise<number> {
  const { name, settings, migrateFirst } = options;
  const log = safeLogger(options.log);
  const clock = systemClock;
  dieOfTheUnforeseen(log);
  const stop = listenForStop({
    deadlineMs: settings.shutdownDeadlineMs,
    clock,
    log,
    onSecond: () => process.exit(EXIT.forced),
  });
  const database = openDatabase({
    ...options.database,
    applicationName: name,
    onIdleError: (error) => log.debug({ err: error }, 'an idle connection was lost'),
  });
  const registry = new Registry();
  collectProcessMetrics(registry);
  let http: Service | null = null;
  let asking: Service | null = null;

  try {
    const kit = { database, registry, metrics: safeMetrics(createPromMetrics(registry), log), log };
    const parts = options.parts.map((make) => make(kit));
    // Alerts first: while the others wait for a database that does not answer, somebody has to say so.
    const services = [...(await alertsOf(options.alerts, kit, parts)), ...parts];
    const progress: Progress = { phase: 'starting' };
    if (settings.http !== null) {
      http = await startPages({ name, http: settings.http, kit, parts, progress });
      if (settings.doctor !== null) asking = createDoctorGauges({ ...kit, ...settings.doctor, clock });
    }
    if (!(await startWhenPossible(services, database, { migrateFirst, log, soft: stop.soft }))) return EXIT.ok;
    progress.phase = 'running';
    options.onRunning?.();
    await asking?.start();
    await aborted(stop.soft);
    progress.phase = 'stopping';
    const startedAtMs = clock.monotonic();
    const drained = await drain(
      services.map(({ service }) => service),
      stop.hard,
    );
    const tookMs = Math.round(clock.monotonic() - startedAtMs);
    if (drained) log.info({ tookMs }, 'stopped: everything in flight is done, the leases are given back');
    else log.error({ tookMs }, `stopped by force: ${parts.map(({ whenForced }) => whenForced).join('; ')}`);
    return drained ? EXIT.ok : EXIT.forced;
  } finally {
    stop.dispose();
    const closed = Promise.allSettled([
      http?.stop(),
      asking?.stop({ signal: AbortSignal.abort() }),
      ...options.transports.map((transport) => transport.close()),
      database.close(),
    ]);
    await atMost(closed, LETTING_GO_MS);
  }
}

/** Loaded where they are asked for. */
async function alertsOf(
  settings: AlertSettings | null,
  { database, log }: DaemonKit,
  parts: readonly DaemonPart[],
): Promise<readonly NamedService[]> {
  if (settings === null) return [];
  const { createAlerts } = await import('../../operations/alerts/alerts.ts');
  const workers = parts.flatMap(({ worker }) => (worker === undefined ? [] : [worker]));
  return [{ name: 'telling of alerts', service: createAlerts({ ...settings, database, workers, log }) }];
}

/** Where the daemon is in its life. Its pages look at it. */
interface Progress {
  phase: ReadinessFacts['phase'];
}

interface PagesOptions {
  readonly name: string;
  readonly http: NonNullable<ProcessSettings['http']>;
  readonly kit: DaemonKit;
  readonly parts: readonly DaemonPart[];
  readonly progress: Progress;
}

/** Probes and figures. Resolves with the server that shows them, which listens. */
async function startPages({ name, http, kit, parts, progress }: PagesOptions): Promise<Service> {
  const { database, registry, log } = kit;
  const now = (): number => systemClock.monotonic();
  const trouble = sharedAnswer(() => databaseTrouble(database), PROBE_MS, now);
  const figures = sharedAnswer(
    async () => {
      await Promise.all(parts.map(({ gauges }) => gauges.refresh()));
      return { text: await registry.metrics(), contentType: registry.contentType };
    },
    PROBE_MS,
    now,
  );
  const { createHttpServer, createPages } = await import('./http.ts');
  const pages = createPages(
    {
      name,
      // Before the start no part can show a sign of life; the start has its own patience.
      live: async () =>
        joinLiveness(
          progress.phase === 'running' ? await Promise.all(parts.map(async (part) => part.live(now()))) : [],
        ),
      ready: async () => {
        const answer = await trouble();
        const { phase } = progress;
        return judgeReadiness({ phase, databaseTrouble: answer, parts: parts.map((part) => part.ready()) });
      },
      metrics: figures,
    },
    log,
  );
  const server = createHttpServer({ app: pages, ...http, log });
  await server.start();
  return server;
}

/** Resolves when `work` does, or after `ms`; leaves no timer behind that would keep the process. */
async function atMost(work: Promise<unknown>, ms: number): Promise<void> {
  const done = new AbortController();
  await Promise.race([work, systemClock.sleep(ms, done.signal)]);
  done.abort();
}

interface StartOptions {
  readonly migrateFirst: boolean;
  readonly log: Logger;
  readonly soft: AbortSignal;
}

/** Waits for a database that cannot be reached yet, however long. Resolves with false when told to stop meanwhile. */
async function startWhenPossible(
  services: readonly NamedService[],
  database: Database,
  { migrateFirst, log, soft }: StartOptions,
): Promise<boolean> {
  let toldAtMs = -Infinity;
  for (let attempt = 1; !soft.aborted; attempt += 1) {
    try {
      if (migrateFirst) {
        const applied = await migrate(database, { onRepair: ({ what }) => log.warn({}, what) });
        for (const { version, name } of applied) log.info({ version, name }, 'migration applied');
      }
      await startInTurn(services, { clock: systemClock, log });
      if (attempt > 1) log.info({ attempt }, 'started: what was waited for is there');
      return true;
    } catch (error) {
      if (!isWorthWaitingFor(error)) {
        await Promise.allSettled(services.map(({ service }) => service.stop()));
        throw explainDatabaseError(error);
      }
      const delayMs = backoffMs(RECONNECT, attempt, Math.random);
      if (systemClock.monotonic() - toldAtMs >= TELL_EVERY_MS) {
        toldAtMs = systemClock.monotonic();
        const reason = error instanceof Error && error.message !== '' ? error.message : String(error);
        log.warn({ reason, attempt }, `${whatIsAwaited(error)}; waiting for it`);
      }
      await systemClock.sleep(delayMs, soft);
    }
  }
  return false;
}

/** Resolves with false when it took a hard stop. */
async function drain(services: readonly Service[], hard: AbortSignal): Promise<boolean> {
  const stopped = Promise.all(services.map((service) => service.stop({ signal: hard })));
  // After the hard stop, only so long as it takes what obeys its signal to let go.
  await Promise.race([stopped, aborted(hard).then(() => atMost(stopped, LETTING_GO_MS))]);
  return !hard.aborted;
}

/** A process half of which has died is worse than one that is started anew. */
function dieOfTheUnforeseen(log: Logger): void {
  const die = (kind: string) => (error: unknown) => {
    log.error({ err: error, fatal: true }, `${kind}: ending, to be started anew`);
    process.exit(EXIT.unexpected);
  };
  process.on('uncaughtException', die('uncaught exception'));
  process.on('unhandledRejection', die('unhandled rejection'));
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
