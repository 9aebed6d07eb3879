/**
 * The worker, on whatever keeps the runs: its loops (lease, claims and run messages, takeovers), its client, and its stop. worker.ts makes it
 * for PostgreSQL, the test kit for memory.
 */
import type { Clock } from '../../runtime/clock.ts';
import type { CrashPoint } from '../../runtime/crash-point.ts';
import { describeError } from '../../runtime/describe-error.ts';
import type { Logger } from '../../runtime/log.ts';
import { createLifecycle } from '../../runtime/lifecycle.ts';
import { createLoop } from '../../runtime/loop.ts';
import type { Metrics } from '../../runtime/metrics.ts';
import { backoffMs, RECONNECT } from '../../runtime/retry.ts';
import type { Service } from '../../runtime/service.ts';
import { HoldfastError } from '../../errors.ts';
import { createDeadlines } from '../../runtime/deadlines.ts';
import { createSagasOn, type Sagas } from '../client/client.ts';
import type { RunSettings } from '../run/run-settings.ts';
import type { Registry, Saga } from '../definition/definition.ts';
import { endError } from '../journal/end-error.ts';
import { openLeaseSession, type LeaseSession } from './lease-session.ts';
import type { LeaseKeeper } from './lease-keeper.ts';
import type { Run } from '../run/run.ts';
import { valueOf } from '../journal/state.ts';
import { logEnd } from '../decide/tell-log.ts';
import type { ClientStore, WorkerStore } from '../store/store.ts';

export interface WorkerProgress {
  /** Monotonic time of the last commit, renewal of the lease or look at the store that succeeded, in milliseconds. */
  readonly lastAliveAtMs: number;
  /** Runs in memory, those that only wait among them. */
  readonly inMemory: number;
  readonly waiting: number;
  readonly commits: number;
  /** Why the store did not answer as it should; null once it has answered again. */
  readonly failure: string | null;
}

export interface WorkerOn<Tx> extends Service {
  /** Of the present life; changes when a lease was lost. Empty while there is none. */
  readonly id: string;
  readonly sagas: Sagas<Tx>;
  readonly progress: WorkerProgress;
  /** One look at the store: timers, run messages, claims. */
  tick(): Promise<void>;
  /** Looks at the store at once: something was written there. */
  wake(): void;
}

export interface WorkerCoreOptions<Tx> {
  readonly store: WorkerStore;
  readonly clientStore: ClientStore<Tx>;
  readonly registry: Registry;
  readonly name: string;
  readonly leaseMs: number;
  readonly concurrency: number;
  readonly mostWaiting: number;
  readonly settings: RunSettings;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly crashPoint: CrashPoint;
  /** Made at each start: prolongs the lease while the event loop stands still. Default: nothing does. */
  readonly keeper?: ((underWay: () => readonly string[]) => LeaseKeeper) | undefined;
  /** Longest wait between two looks at the store when nothing happens, in milliseconds. */
  readonly idlePollMs: number;
  /** Asks to be woken, or not any more; resolves whether it will be. */
  readonly setAsleep: (asleep: boolean) => Promise<boolean>;
}

/** While something happens, in milliseconds. */
const BUSY_POLL_MS = 5;
/** While nothing does, and nobody would wake us. */
const QUIET_POLL_MS = 50;
/** What comes is not found later than it took to come, by more than this part of that. */
const LATE_BY = 0.1;
/** How long nothing must happen before the worker asks to be woken, in milliseconds. */
const ASLEEP_AFTER_MS = 1_000;

export function createWorkerCore<Tx>(options: WorkerCoreOptions<Tx>): WorkerOn<Tx> {
  const { store, registry, leaseMs, clock, log, random } = options;
  const limits = createDeadlines(clock);
  const ended = options.metrics.counter('holdfast_saga_runs_total', 'Runs that left a worker finished or stuck.', [
    'saga',
    'status',
  ]);
  const commits = options.metrics.counter('holdfast_saga_commits_total', 'Group commits.');
  const inMemory = options.metrics.gauge('holdfast_saga_in_memory', 'Runs in memory.');
  let life: LeaseSession | null = null;
  let keeper: LeaseKeeper | null = null;
  let lastAliveAtMs = clock.monotonic();
  let commitCount = 0;
  let failure: string | null = null;
  let quietSinceMs = clock.monotonic();
  let asleep = false;
  let stopping = false;

  const alive = (): void => {
    lastAliveAtMs = clock.monotonic();
    failure = null;
  };

  async function begin(): Promise<void> {
    const next = await openLeaseSession({
      ...options,
      keeper,
      limits,
      onLeft,
      onTimer: () => pollLoop.wake(),
      onPosted() {
        quietSinceMs = clock.monotonic();
        pollLoop.wake();
      },
      onCommit(runs) {
        commitCount += 1;
        commits.inc({});
        if (runs > 0) alive();
      },
      onOver(error) {
        if (life === next) life = null;
        if (stopping) return;
        failure = describeError(error);
        log.warn({ err: error, worker: next.id }, 'this life of the worker is over; it begins another');
        leaseLoop.wake();
      },
    });
    life = next;
    alive();
    log.info(
      { worker: next.id, sagas: registry.all.map(({ name, version }) => `${name}@${version}`) },
      'worker registered',
    );
  }

  function onLeft(run: Run, stored: boolean): void {
    inMemory.set({}, life?.engine.inMemory ?? 0);
    if (stored && run.over) {
      ended.inc({ saga: run.saga.name, status: run.status });
      logEnd(log, run);
      tellEnd(run);
    }
    // Room for another one; those that wait for it should not wait for the next look.
    if (!stopping && life !== null && life.room === 1) pollLoop.wake();
  }

  function tellEnd(run: Run): void {
    if (!client.watch.waitsFor(run.id)) return client.watch.note(run.id);
    const { state } = run;
    client.watch.tell({
      id: run.id,
      saga: run.saga.name,
      version: run.saga.version,
      key: null,
      status: run.status,
      reason: state.reason,
      pivoted: state.pivoted,
      result: valueOf(state.result),
      error: endError(state),
      skipped: state.skipped,
      refused: state.refused,
      startedAt: 0,
      finishedAt: run.status === 'stuck' ? null : run.rowAt,
      growth: run.growth,
    });
  }

  const client = createSagasOn(options.clientStore, {
    registry,
    maxBytes: options.settings.maxBytes,
    clock,
    where: 'createWorker',
    here: (id) => life?.engine.has(id) ?? false,
    async startFast(request, saga) {
      const held = life !== null && !stopping && life.roomFor(saga) > 0;
      if (!held || life === null) {
        await options.clientStore.start(null, [request]);
        pollLoop.wake();
        return;
      }
      const { id, version, deadlineMs } = request;
      const deadlineAt = deadlineMs === null ? null : Math.floor(life.now()) + deadlineMs;
      const start = {
        id,
        saga: request.saga,
        version,
        held: true,
        status: 'running',
        deadlineAt,
        parent: null,
      } as const;
      await life.engine.start(saga as Saga, start, request.input);
    },
  });

  async function look(): Promise<number> {
    if (life === null) return Infinity;
    const found = await life.poll();
    alive();
    if (found > 0) {
      quietSinceMs = clock.monotonic();
      if (asleep) await stayAwake();
      return BUSY_POLL_MS;
    }
    const untilTimer = life === null ? Infinity : Math.max(0, life.engine.nextTimer - life.now());
    const quietMs = clock.monotonic() - quietSinceMs;
    if (quietMs < ASLEEP_AFTER_MS) return Math.min(untilTimer, pollMs(quietMs));
    const wasAsleep = asleep;
    asleep = await options.setAsleep(true);
    // Whoever wrote just before does not wake us: one look more.
    if (!asleep || !wasAsleep) return Math.min(untilTimer, QUIET_POLL_MS);
    const due = await store.nextDue(
      registry.all.map(({ name, version }) => ({ saga: name, version })),
      life?.id,
    );
    const untilDue = due === null || life === null ? Infinity : Math.max(0, due - life.now());
    return Math.min(untilTimer, untilDue, options.idlePollMs);
  }

  async function stayAwake(): Promise<void> {
    asleep = false;
    await options.setAsleep(false);
  }

  const onError = (error: unknown, failures: number): number => {
    failure = describeError(error);
    log.warn({ err: error }, 'the store of runs does not answer as it should; trying again');
    return backoffMs(RECONNECT, failures, random);
  };
  const pollLoop = createLoop({ name: 'worker.poll', clock, log, tick: look, onError });
  const leaseLoop = createLoop({
    name: 'worker.lease',
    clock,
    log,
    tick: async () => {
      if (life === null) {
        if (stopping) return Infinity;
        await begin();
        pollLoop.wake();
      } else await life.renew();
      alive();
      return leaseMs / 3;
    },
    onError,
  });
  const takeoverLoop = createLoop({
    name: 'worker.takeover',
    clock,
    log,
    tick: async () => {
      const taken = await store.takeOver();
      if (taken.workers > 0) {
        log.warn(taken, 'took over from workers that were lost');
        pollLoop.wake();
      }
      return leaseMs / 3;
    },
    onError,
  });

  const lifecycle = createLifecycle({
    make: () => null,
    async start() {
      stopping = false;
      asleep = false;
      quietSinceMs = clock.monotonic();
      keeper = options.keeper?.(() => life?.engine.underWay ?? []) ?? null;
      await begin();
      await Promise.all([leaseLoop.start(), takeoverLoop.start(), pollLoop.start()]);
    },
    async stop(_run, stopOptions) {
      stopping = true;
      life?.engine.stopBeginning();
      await Promise.all([pollLoop.stop(stopOptions), takeoverLoop.stop(stopOptions)]);
      if (life !== null) await handOver(life, stopOptions.signal);
      await leaseLoop.stop(stopOptions);
      const last = life;
      life = null;
      if (last !== null) {
        last.end(new HoldfastError('HF_STOPPED', 'The worker is stopped.'));
        await store.retire(last.id).catch((error: unknown) => {
          log.warn({ err: error, worker: last.id }, 'could not sign off; the lease will end by itself');
        });
      }
      limits.close();
      await keeper?.close();
      keeper = null;
      log.info({}, 'worker stopped');
    },
  });

  return {
    get id() {
      return life?.id ?? '';
    },
    sagas: client.sagas,
    get progress() {
      return {
        lastAliveAtMs,
        inMemory: life?.engine.inMemory ?? 0,
        waiting: life?.engine.waiting ?? 0,
        commits: commitCount,
        failure,
      };
    },
    tick: () => pollLoop.tick(),
    wake() {
      quietSinceMs = clock.monotonic();
      pollLoop.wake();
    },
    start: lifecycle.start,
    stop: lifecycle.stop,
  };

  /** Steps under way may end; then, or when the deadline of the stop has passed, everything is given back. */
  async function handOver(ending: LeaseSession, signal: AbortSignal): Promise<void> {
    await ending.engine.drain(signal);
    if (ending.over || ending.engine.inMemory === 0) return;
    ending.engine.abort(new HoldfastError('HF_STOPPED', 'The worker is stopping.'));
    const grace = new AbortController();
    void clock.sleep(HARD_STOP_MS).then(() => grace.abort());
    await ending.engine.drain(grace.signal);
  }
}

/** What is left of a stop after its deadline: aborted steps may settle, and what is known is committed. Milliseconds. */
const HARD_STOP_MS = 1_500;

/** Pure. The wait for the next look when nothing has happened for so long, in milliseconds. */
export function pollMs(quietMs: number): number {
  return Math.min(QUIET_POLL_MS, Math.max(BUSY_POLL_MS, quietMs * LATE_BY));
}
