/**
 * The process `holdfast relay`: puts database, relay, pages and signals together, and decides how it ends.
 */
import { collectDefaultMetrics, Registry } from 'prom-client';
import { HoldfastError } from '../../errors.ts';
import { assertSchema, migrate } from '../../postgres/migrator.ts';
import { openDatabase, type Database, type DatabaseOptions } from '../../postgres/database.ts';
import { createRelay, type Relay } from '../../relay/relay.ts';
import { systemClock } from '../../runtime/clock.ts';
import type { Logger } from '../../runtime/log.ts';
import { promMetrics } from '../../runtime/prom-metrics.ts';
import { backoffMs } from '../../runtime/retry.ts';
import { withTimeout } from '../../runtime/timeout.ts';
import type { RelaySettings } from '../config/resolve.ts';
import { explainDatabaseError, isUnreachable } from '../database-error.ts';
import { EXIT } from '../exit-codes.ts';
import { createGauges } from './gauges.ts';
import { judgeLiveness, judgeReadiness, type ReadinessFacts } from './health.ts';
import { createHttpServer, createPages } from './http.ts';
import { listenForStop } from './stop-signals.ts';

export interface DaemonOptions {
  readonly settings: RelaySettings;
  readonly database: DatabaseOptions;
  /** Apply pending migrations before the start. */
  readonly migrateFirst: boolean;
  readonly log: Logger;
}

/** After the hard stop, how long the pieces may take to let go, in milliseconds. */
const LETTING_GO_MS = 3_000;
const READY_TIMEOUT_MS = 3_000;
const RECONNECT = { attempts: Infinity, baseMs: 200, capMs: 5_000, factor: 2, withinMs: Infinity };
/** A database that stays away is told of this often, in milliseconds. */
const TELL_EVERY_MS = 15_000;

/** Runs until it is told to stop. Resolves with the exit code, except for errors before anything runs, which it rejects with. */
export async function runRelayDaemon({
  settings,
  database: databaseOptions,
  migrateFirst,
  log,
}: DaemonOptions): Promise<number> {
  const clock = systemClock;
  dieOfTheUnforeseen(log);
  const stop = listenForStop({
    deadlineMs: settings.shutdownDeadlineMs,
    clock,
    log,
    onSecond: () => process.exit(EXIT.forced),
  });
  const database = openDatabase({
    ...databaseOptions,
    applicationName: 'holdfast-relay',
    onIdleError: (error) => log.debug({ err: error }, 'an idle connection was lost'),
  });
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const relay = createRelay({ database, subscriptions: settings.subscriptions, log, metrics: promMetrics(registry) });
  const gauges = createGauges({ registry, database, states: () => relay.states, clock });
  let phase: ReadinessFacts['phase'] = 'starting';
  const app = createPages(
    {
      // Before the start no runner can show a sign of life; the start has its own patience.
      live: () => judgeLiveness(phase === 'running' ? relay.states : [], clock.monotonic()),
      ready: async () =>
        judgeReadiness({ phase, databaseTrouble: await databaseTrouble(database), states: relay.states }),
      async metrics() {
        await gauges.refresh();
        return { text: await registry.metrics(), contentType: registry.contentType };
      },
    },
    log,
  );
  const http = settings.http === null ? null : createHttpServer({ app, ...settings.http, log });

  try {
    await http?.start();
    if (!(await startWhenPossible(relay, database, { migrateFirst, log, soft: stop.soft }))) return EXIT.ok;
    phase = 'running';
    await aborted(stop.soft);
    phase = 'stopping';
    const startedAtMs = clock.monotonic();
    const drained = await drain(relay, stop.hard);
    const tookMs = Math.round(clock.monotonic() - startedAtMs);
    if (drained) log.info({ tookMs }, 'stopped: everything in flight is done, the leases are given back');
    else log.error({ tookMs }, 'stopped by force: what was in flight will be published again');
    return drained ? EXIT.ok : EXIT.forced;
  } finally {
    stop.dispose();
    const closed = Promise.allSettled([
      http?.stop(),
      ...settings.transports.map((transport) => transport.close()),
      database.close(),
    ]);
    await atMost(closed, LETTING_GO_MS);
  }
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
  relay: Relay,
  database: Database,
  { migrateFirst, log, soft }: StartOptions,
): Promise<boolean> {
  let toldAtMs = -Infinity;
  for (let attempt = 1; !soft.aborted; attempt += 1) {
    try {
      if (migrateFirst) {
        const applied = await migrate(database);
        for (const { version, name } of applied) log.info({ version, name }, 'migration applied');
      }
      await relay.start();
      if (attempt > 1) log.info({ attempt }, 'the database answers');
      return true;
    } catch (error) {
      if (!isUnreachable(error)) {
        await relay.stop().catch(() => {});
        throw explainDatabaseError(error);
      }
      const delayMs = backoffMs(RECONNECT, attempt, Math.random);
      if (systemClock.monotonic() - toldAtMs >= TELL_EVERY_MS) {
        toldAtMs = systemClock.monotonic();
        const reason = error instanceof Error && error.message !== '' ? error.message : String(error);
        log.warn({ reason, attempt }, 'the database cannot be reached; waiting for it');
      }
      await systemClock.sleep(delayMs, soft);
    }
  }
  return false;
}

/** Resolves with false when it took a hard stop. */
async function drain(relay: Relay, hard: AbortSignal): Promise<boolean> {
  const stopped = relay.stop({ signal: hard });
  // After the hard stop, only so long as it takes what obeys its signal to let go.
  await Promise.race([stopped, aborted(hard).then(() => atMost(stopped, LETTING_GO_MS))]);
  return !hard.aborted;
}

async function databaseTrouble(database: Database): Promise<string | null> {
  try {
    await withTimeout(() => assertSchema(database), {
      timeoutMs: READY_TIMEOUT_MS,
      onTimeout: () => new HoldfastError('HF_DATABASE_UNAVAILABLE', `It did not answer within ${READY_TIMEOUT_MS} ms.`),
    });
    return null;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
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
