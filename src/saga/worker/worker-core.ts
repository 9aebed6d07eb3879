/**
 * The worker, on whatever keeps the runs: its loops (lease, claims and run messages, takeovers), its client, and its stop. worker.ts makes it
 * for PostgreSQL, the test kit for memory.
 */
import type { OpenBreaker } from '../engine/admission.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { CrashPoint } from '../../runtime/crash-point.ts';
import { describeError } from '../../runtime/describe-error.ts';
import type { Logger } from '../../runtime/log.ts';
import { createLifecycle } from '../../runtime/lifecycle.ts';
import { createLoop, type Loop } from '../../runtime/loop.ts';
import type { Counter, Gauge, Metrics } from '../../runtime/metrics.ts';
import { backoffMs, RECONNECT } from '../../runtime/retry.ts';
import type { Service } from '../../runtime/service.ts';
import { HoldfastError, isHoldfastError } from '../../errors.ts';
import { createDeadlines } from '../../runtime/deadlines.ts';
import { createSagasOn, type Sagas } from '../client/client.ts';
import type { RunSettings } from '../run/run-settings.ts';
import type { AnySaga, Registry, Saga } from '../definition/definition.ts';
import { EndReports } from './end-reports.ts';
import { openLeaseSession, type LeaseSession } from './lease-session.ts';
import { Lapses } from './lapses.ts';
import type { LeaseKeeper } from './lease-keeper.ts';
import { PollPace } from './poll-pace.ts';
import type { Run } from '../run/run.ts';
import type { ClientStore, ShownSettings, StartRequest, WorkerStore } from '../store/store.ts';

/** What a worker has under way. */
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
  /** Of the present lease session; changes when the lease was lost. Empty while there is none. */
  readonly id: string;
  readonly sagas: Sagas<Tx>;
  readonly progress: WorkerProgress;
  /** Circuit breakers of steps that hold attempts up. */
  readonly openBreakers: readonly OpenBreaker[];
  /** One look at the store: timers, run messages, claims. */
  tick(): Promise<void>;
  /** Looks at the store at once: something was written there. */
  wake(): void;
  /** As `take` of ReplyDoor. */
  takeReply(runId: string, text: string): Promise<boolean> | null;
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
  /** What it runs with, to be shown to people. */
  readonly shown?: ShownSettings | undefined;
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
  /** How long nothing must happen before it asks to be woken, in milliseconds. Default: as a store that is a server has it. */
  readonly asleepAfterMs?: number | undefined;
}

/** What is left of a stop after its deadline: aborted steps may settle, and what is known is committed. Milliseconds. */
const HARD_STOP_MS = 1_500;

export function createWorkerCore<Tx>(options: WorkerCoreOptions<Tx>): WorkerOn<Tx> {
  return new WorkerCore(options);
}

class WorkerCore<Tx> implements WorkerOn<Tx> {
  readonly start: Service['start'];
  readonly stop: Service['stop'];
  readonly sagas: Sagas<Tx>;
  readonly #options: WorkerCoreOptions<Tx>;
  readonly #limits: ReturnType<typeof createDeadlines>;
  readonly #commits: Counter;
  readonly #inMemory: Gauge;
  readonly #pace: PollPace;
  readonly #ends: EndReports;
  readonly #pollLoop: Loop;
  readonly #leaseLoop: Loop;
  readonly #takeoverLoop: Loop;
  readonly #lapses: Lapses;
  #session: LeaseSession | null = null;
  /** When it was opened, by the monotonic clock. */
  #sessionSinceMs = 0;
  /** When the poll loop looks again, by the monotonic clock; Infinity while it looks, and while that is not known. */
  #nextLookMs = Infinity;
  #keeper: LeaseKeeper | null = null;
  #lastAliveAtMs: number;
  #commitCount = 0;
  #failure: string | null = null;
  #stopping = false;

  constructor(options: WorkerCoreOptions<Tx>) {
    const { clock, log, metrics, registry } = options;
    this.#options = options;
    this.#limits = createDeadlines(clock);
    this.#lapses = new Lapses(options.leaseMs);
    this.#commits = metrics.counter('holdfast_saga_commits_total', 'Group commits.');
    this.#inMemory = metrics.gauge('holdfast_saga_in_memory', 'Runs in memory.');
    this.#lastAliveAtMs = clock.monotonic();
    this.#pace = new PollPace(options);
    this.#pollLoop = this.#loop('worker.poll', () => this.#look());
    this.#leaseLoop = this.#loop('worker.lease', () => this.#keepLease());
    this.#takeoverLoop = this.#loop('worker.takeover', () => this.#takeOver());
    const { sagas, watch } = createSagasOn(options.clientStore, {
      registry,
      maxBytes: options.settings.maxBytes,
      clock,
      where: 'createWorker',
      here: (id) => this.#session?.engine.has(id) ?? false,
      startFast: (request, saga) => this.#startFast(request, saga),
    });
    this.sagas = sagas;
    this.#ends = new EndReports(watch, log, metrics);
    const lifecycle = createLifecycle({
      make: () => null,
      start: () => this.#start(),
      stop: (_run, stopOptions) => this.#stop(stopOptions),
    });
    this.start = lifecycle.start;
    this.stop = lifecycle.stop;
  }

  get id(): string {
    return this.#session?.id ?? '';
  }

  get progress(): WorkerProgress {
    return {
      lastAliveAtMs: this.#lastAliveAtMs,
      inMemory: this.#session?.engine.inMemory ?? 0,
      waiting: this.#session?.engine.waiting ?? 0,
      commits: this.#commitCount,
      failure: this.#failure,
    };
  }

  get openBreakers(): readonly OpenBreaker[] {
    return this.#session?.engine.openBreakers ?? [];
  }

  tick(): Promise<void> {
    return this.#pollLoop.tick();
  }

  wake(): void {
    this.#pace.stir();
    this.#pollLoop.wake();
  }

  takeReply(runId: string, text: string): Promise<boolean> | null {
    return this.#session?.takeReply(runId, text) ?? null;
  }

  async #start(): Promise<void> {
    this.#stopping = false;
    this.#pace.reset();
    this.#keeper = this.#options.keeper?.(() => this.#session?.engine.underWay ?? []) ?? null;
    await this.#openSession();
    await Promise.all([this.#leaseLoop.start(), this.#takeoverLoop.start(), this.#pollLoop.start()]);
  }

  async #stop(stopOptions: { readonly signal: AbortSignal }): Promise<void> {
    const { log } = this.#options;
    this.#stopping = true;
    const first = this.#session;
    first?.engine.stopBeginning();
    await Promise.all([this.#pollLoop.stop(stopOptions), this.#takeoverLoop.stop(stopOptions)]);
    if (this.#session !== null) await this.#handOver(this.#session, stopOptions.signal);
    await this.#leaseLoop.stop(stopOptions);
    // One that was just being opened, or one whose lease was over meanwhile.
    const last = this.#session ?? first;
    this.#session = null;
    await this.#signOff(last);
    this.#limits.close();
    await this.#keeper?.close();
    this.#keeper = null;
    log.info({}, 'worker stopped');
  }

  /** `last`, and sessions before it that were over without that: the store may have prolonged a lease without being heard. */
  async #signOff(last: LeaseSession | null): Promise<void> {
    const { clock, log, store } = this.#options;
    const open = new Map(this.#lapses.keptUntil(clock.monotonic()).map((id) => [id, true]));
    if (last !== null) {
      // A commit that takes long: what is in it is not recorded for whoever takes these runs up, so it may have happened. So may what was
      // under way when the lease was over by the own clock.
      const lost = last.over || last.engine.inMemory > 0;
      last.end(new HoldfastError('HF_STOPPED', 'The worker is stopped.'));
      open.set(last.id, lost);
    }
    const retire = ([id, lost]: readonly [string, boolean]): Promise<void> =>
      store.retire(id, lost).catch((error: unknown) => {
        log.warn({ err: error, worker: id }, 'could not sign off; the lease will end by itself');
      });
    await Promise.all([...open].map(retire));
  }

  /** Steps under way may end; then, or when the deadline of the stop has passed, everything is given back. */
  async #handOver(session: LeaseSession, signal: AbortSignal): Promise<void> {
    const { engine } = session;
    await engine.drain(signal);
    if (session.over || engine.inMemory === 0) return;
    engine.abort(new HoldfastError('HF_STOPPED', 'The worker is stopping.'));
    const grace = new AbortController();
    void this.#options.clock.sleep(HARD_STOP_MS).then(() => grace.abort());
    await engine.drain(grace.signal);
  }

  async #openSession(): Promise<void> {
    const { clock, leaseMs, log, registry } = this.#options;
    const sinceMs = clock.monotonic();
    const next = await openLeaseSession({
      ...this.#options,
      leaseMs: this.#lapses.leaseMs,
      keptMs: leaseMs,
      lapsed: this.#lapses.ids,
      keeper: this.#keeper,
      limits: this.#limits,
      onLeft: (run, stored) => this.#onLeft(run, stored),
      onTimer: () => this.#wakeForTimer(),
      onPosted: () => this.wake(),
      onCommit: (runs) => {
        this.#commitCount += 1;
        this.#commits.inc({});
        if (runs > 0) this.#isAlive();
      },
      onOver: (error) => {
        if (this.#session === next) this.#session = null;
        if (!isHoldfastError(error, 'HF_STOPPED'))
          this.#lapses.note({ id: next.id, sinceMs }, clock.monotonic(), isHoldfastError(error, 'HF_LEASE_LOST'));
        if (this.#stopping) return;
        this.#failure = describeError(error);
        log.warn({ err: error, worker: next.id }, 'the lease session of the worker is over; it opens a new one');
        this.#leaseLoop.wake();
      },
    });
    this.#session = next;
    this.#sessionSinceMs = sinceMs;
    this.#isAlive();
    log.info(
      { worker: next.id, sagas: registry.all.map(({ name, version }) => `${name}@${version}`) },
      'worker registered',
    );
  }

  #onLeft(run: Run, stored: boolean): void {
    this.#inMemory.set({}, this.#session?.engine.inMemory ?? 0);
    if (stored && run.over) this.#ends.tell(run);
    // Room for another one; those that wait for it should not wait for the next look.
    if (!this.#stopping && this.#session?.room === 1) this.#pollLoop.wake();
  }

  /** With the commits of this worker, when it has room. */
  async #startFast(request: StartRequest, saga: AnySaga): Promise<void> {
    const session = this.#session;
    if (session === null || this.#stopping || session.roomFor(saga) <= 0) {
      await this.#options.clientStore.start(null, [request]);
      this.#pollLoop.wake();
      return;
    }
    const { id, version, deadlineMs } = request;
    const deadlineAt = deadlineMs === null ? null : Math.floor(session.now()) + deadlineMs;
    const start = {
      id,
      saga: request.saga,
      version,
      held: true,
      status: 'running',
      deadlineAt,
      parent: null,
    } as const;
    await session.engine.start(saga as Saga, start, request.input, request.trace ?? null);
  }

  /** One look at the store. Resolves with the wait for the next one, in milliseconds. */
  async #look(): Promise<number> {
    this.#nextLookMs = Infinity;
    if (this.#session === null) return Infinity;
    const found = await this.#session.poll();
    this.#isAlive();
    const waitMs =
      found > 0
        ? await this.#pace.afterFind()
        : await this.#pace.afterNothing(this.#untilTimer(), () => this.#untilDue());
    this.#nextLookMs = this.#options.clock.monotonic() + waitMs;
    return waitMs;
  }

  /** The timeout of a command alone in memory is the earliest timer, and long after the next look: it is no reason for one. */
  #wakeForTimer(): void {
    if (this.#options.clock.monotonic() + this.#untilTimer() < this.#nextLookMs) this.#pollLoop.wake();
  }

  /** Until something is due in memory, in milliseconds; Infinity when the lease session has ended meanwhile. */
  #untilTimer(): number {
    return this.#session === null ? Infinity : Math.max(0, this.#session.engine.nextTimer - this.#session.now());
  }

  async #untilDue(): Promise<number> {
    const { store, registry } = this.#options;
    const due = await store.nextDue(
      registry.all.map(({ name, version }) => ({ saga: name, version })),
      this.#session?.id,
    );
    return due === null || this.#session === null ? Infinity : Math.max(0, due - this.#session.now());
  }

  async #keepLease(): Promise<number> {
    if (this.#session === null) {
      if (this.#stopping) return Infinity;
      await this.#openSession();
      this.#pollLoop.wake();
    } else {
      this.#lapses.lived(this.#options.clock.monotonic() - this.#sessionSinceMs);
      await this.#session.renew(this.#lapses.leaseMs);
    }
    this.#isAlive();
    return this.#options.leaseMs / 3;
  }

  async #takeOver(): Promise<number> {
    const { store, log, leaseMs } = this.#options;
    const taken = await store.takeOver();
    if (taken.workers > 0) {
      log.warn(taken, 'took over from workers that were lost');
      this.#pollLoop.wake();
    }
    return leaseMs / 3;
  }

  #isAlive(): void {
    this.#lastAliveAtMs = this.#options.clock.monotonic();
    this.#failure = null;
  }

  #loop(name: string, tick: () => Promise<number>): Loop {
    const { clock, log, random } = this.#options;
    const onError = (error: unknown, failures: number): number => {
      this.#failure = describeError(error);
      log.warn({ err: error }, 'the store of runs does not answer as it should; trying again');
      return backoffMs(RECONNECT, failures, random);
    };
    return createLoop({ name, clock, log, tick, onError });
  }
}
