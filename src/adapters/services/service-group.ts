/**
 * The services of one application as one: started in the order in which they are given, stopped the other way round, with one answer for
 * its probes. What the integrations of frameworks hang on the framework's own start and stop.
 */
import { databaseTrouble } from '../../operations/health/database-trouble.ts';
import { judgeReadiness, type ReadinessFacts } from '../../operations/health/judgements.ts';
import type { Database } from '../../postgres/database.ts';
import { systemClock } from '../../runtime/clock.ts';
import { parseDuration, type Duration } from '../../runtime/duration.ts';
import { createLifecycle } from '../../runtime/lifecycle.ts';
import { badOption, refuseUnknownOptions } from '../../runtime/options.ts';
import type { Service } from '../../runtime/service.ts';
import { sharedAnswer } from '../../runtime/shared-answer.ts';
import { timeLimit } from '../../runtime/time-limit.ts';
import { livenessOf, readinessOf, type GroupHealth } from './group-health.ts';

/** Options of {@link createServiceGroup}. */
export interface ServiceGroupOptions {
  /** Asked by `ready`. */
  readonly database: Database;
  /** Relays, consumers, participants, workers: whatever has `start` and `stop`. */
  readonly services: readonly Service[];
  /**
   * After this long a stop is hard: work in flight is aborted, and done again later.
   *
   * @defaultValue '10s'
   */
  readonly stopTimeout?: Duration | undefined;
}

/** Several services as one. Made by {@link createServiceGroup}. */
export interface ServiceGroup extends Service {
  /** Whether a restart would help: not when the database is away. */
  live(): Promise<GroupHealth>;
  /** Whether all of them do their work, and the database answers and has its tables. */
  ready(): Promise<GroupHealth>;
}

/** How long the same is said of the database, in milliseconds: probes are to cost nothing. */
const PROBE_MS = 1_000;

/**
 * One service of several. A start that fails stops those that had started, and rejects. A stop goes on when one of them fails to stop, and
 * rejects at the end.
 *
 * @throws HoldfastError HF_CONFIG, HF_OPTION_UNKNOWN, HF_DURATION
 * @example
 * const relay = createRelay({
 *   database,
 *   subscriptions: [{ name: 'main', transport, routes: [{ topics: '**', to: 'shipping' }] }],
 * });
 * const group = createServiceGroup({ database, services: [relay, createWorker({ database, sagas: [placeOrder] })] });
 * await group.start();
 * console.log((await group.ready()).ok);
 * await group.stop();
 */
export function createServiceGroup(options: ServiceGroupOptions): ServiceGroup {
  refuseUnknownOptions(options, ['database', 'services', 'stopTimeout'], 'createServiceGroup');
  const { database, services, stopTimeout = '10s' } = options;
  if (typeof database?.transaction !== 'function')
    throw badOption('createServiceGroup', 'has no database', 'Give database: openDatabase({ url }).');
  if (!areServices(services))
    throw badOption(
      'createServiceGroup',
      'has services that cannot be started',
      'Give a list of what create… has made.',
    );
  const stopMs = parseDuration(stopTimeout, 'createServiceGroup.stopTimeout');
  let phase: ReadinessFacts['phase'] = 'starting';
  const trouble = sharedAnswer(
    () => databaseTrouble(database),
    PROBE_MS,
    () => systemClock.monotonic(),
  );

  const { start, stop } = createLifecycle<readonly Service[]>({
    make: () => services,
    async start() {
      phase = 'starting';
      for (const service of services) await service.start();
      phase = 'running';
    },
    async stop(_services, { signal }) {
      phase = 'stopping';
      const hard = AbortSignal.any([signal, timeLimit(stopMs)]);
      const failures: unknown[] = [];
      for (const service of services.toReversed()) {
        await service.stop({ signal: hard }).catch((error: unknown) => failures.push(error));
      }
      if (failures.length > 0) throw failures[0];
    },
  });

  return {
    start,
    stop,
    async live() {
      if (phase !== 'running') return livenessOf([], 0);
      const verdict = livenessOf(services, systemClock.monotonic());
      if (verdict.ok) return verdict;
      // Signs of life need the database; without it a restart would not help.
      const away = await trouble();
      return away === null ? verdict : { ok: true, body: { ...verdict.body, status: 'alive', database: away } };
    },
    ready: async () => judgeReadiness({ phase, databaseTrouble: await trouble(), parts: readinessOf(services) }),
  };
}

function areServices(value: unknown): boolean {
  return Array.isArray(value) && value.every(isService);
}

function isService(value: unknown): value is Service {
  if (typeof value !== 'object' || value === null) return false;
  const { start, stop } = value as Partial<Service>;
  return typeof start === 'function' && typeof stop === 'function';
}
